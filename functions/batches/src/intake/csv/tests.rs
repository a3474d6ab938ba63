use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// A record from the framer: its line, its bytes, and its fault.
type Given = (u64, String, Option<String>);

#[derive(Debug, Default)]
struct Taken(Vec<Given>);

impl Sink for Taken {
    fn record(&mut self, line: u64, bytes: &[u8], fault: Option<Fault>) -> Result<(), Error> {
        let fault = fault.map(|fault| fault.message.into_owned());
        self.0.push((line, String::from_utf8_lossy(bytes).into_owned(), fault));
        Ok(())
    }
}

fn read(text: &str, piece: usize) -> Result<Vec<Given>, String> {
    let (mut framer, mut taken) = (CsvFramer::default(), Taken::default());
    let mut read = || {
        text.as_bytes().chunks(piece).try_for_each(|bytes| framer.push(bytes, &mut taken))?;
        framer.finish(&mut taken)
    };
    read().map_err(|error| error.to_string())?;
    Ok(taken.0)
}

/// Checks rows after the header `name,email,optIn`: names and addresses of the accepted ones, and the line, text and
/// fault of the others.
#[track_caller]
fn check(rows: &str, people: &[&str], broken: &[(u64, &str, &str)]) {
    check_after("name,email,optIn\n", rows, people, broken);
}

#[track_caller]
fn check_after(header: &str, rows: &str, people: &[&str], broken: &[(u64, &str, &str)]) {
    let text = format!("{header}{rows}");
    for piece in [text.len(), 7, 1] {
        let given = read(&text, piece).unwrap();
        let is_taken = |given: &&Given| given.2.is_none();
        let record = |given: &Given| serde_json::from_str::<Value>(&given.1).unwrap();
        let found: Vec<String> = given
            .iter()
            .filter(is_taken)
            .map(|given| record(given)["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(found, people, "in pieces of {piece}: {given:#?}");
        let found: Vec<_> = given
            .iter()
            .filter_map(|(line, text, fault)| Some((*line, text.as_str(), fault.as_deref()?)))
            .collect();
        assert_eq!(found, broken, "in pieces of {piece}");
    }
}

const TEXT_AFTER: &str = "text stands behind the closing quote of field 1";
const ONE_QUOTE: &str = "field 1 has a quote without its other half";
const SEPARATE_ROWS: &str = "the lines behind it are read as rows of their own";

fn not_closed(field: u64, line: u64) -> String {
    format!(
        "the quote that opens field {field} on line {line} is not closed before the input ends; {SEPARATE_ROWS}"
    )
}

#[test]
fn sound_rows_are_read_exactly() {
    check(
        "Ann,a@x.org,true\r\n\"Bo, \"\"B\"\"\",b@x.org,true\r\n\n\"\"\"Cy\"\"\",c@x.org,true",
        &["Ann", "Bo, \"B\"", "\"Cy\""],
        &[],
    );
    check("\"two\nlines\",a@x.org,true\n\"\r\n\r\n\",b@x.org,true\n", &["two\nlines", "\r\n\r\n"], &[]);
    check("Ann,a@x.org,true\rBo,b@x.org,true\r", &["Ann", "Bo"], &[]);
    check("\"Meyer, Ann\", \"a@x.org\" , \"true\" \n", &["Meyer, Ann"], &[]);
    check("\"C:\\\",a@x.org,true\n", &["C:\\"], &[]);
}

#[test]
fn bare_quotes_stay_unchanged() {
    check(
        "Ann \"Annie\" Meyer,a@x.org,true\n5\" pipe,b@x.org,true\n6½\",c@x.org,true\n",
        &["Ann \"Annie\" Meyer", "5\" pipe", "6½\""],
        &[],
    );
    check("An\"n,a@x.org,true\nBo,b@x.org,true\n", &["Bo"], &[(2, "An\"n,a@x.org,true", ONE_QUOTE)]);
    check("Ann 5\",\"a@x.org\",true\n", &[], &[(2, "Ann 5\",\"a@x.org\",true", ONE_QUOTE)]);
}

#[test]
fn text_after_a_quote_damages_its_row_alone() {
    check("\"Ann\"a,a@x.org,true\nBo,b@x.org,true\n", &["Bo"], &[(2, "\"Ann\"a,a@x.org,true", TEXT_AFTER)]);
    check(
        "\"two\nlines\"x,a@x.org,true\nBo,b@x.org,true\n",
        &["Bo"],
        &[(2, "\"two\nlines\"x,a@x.org,true", TEXT_AFTER)],
    );
    let swallowed = "\"Ann,a@x.org,true\nBo,b@x.org,true\n\"Cy\",c@x.org,true\n";
    check(swallowed, &["Bo", "Cy"], &[(2, "\"Ann,a@x.org,true", TEXT_AFTER)]);
    check(
        &swallowed.replace("\"Cy\"", "Cy 5\" pipe"),
        &["Bo", "Cy 5\" pipe"],
        &[(2, "\"Ann,a@x.org,true", TEXT_AFTER)],
    );
    check(&swallowed.replace("\"Ann", "\"Ann”"), &["Bo", "Cy"], &[(2, "\"Ann”,a@x.org,true", TEXT_AFTER)]);
    check("\"Ann,a@x.org,true\n\"Bo\",b@x.org,true", &["Bo"], &[(2, "\"Ann,a@x.org,true", TEXT_AFTER)]);
}

#[test]
fn a_quote_that_is_not_closed_ends_with_its_line() {
    check(
        "Ann,a@x.org,true\n\"Bo,b@x.org,true\nCy,c@x.org,true\n",
        &["Ann", "Cy"],
        &[(3, "\"Bo,b@x.org,true", &not_closed(1, 3))],
    );
    check("\"Bo”,b@x.org,true", &[], &[(2, "\"Bo”,b@x.org,true", &not_closed(1, 2))]);
    let many = "Bo,b@x.org,true\n".repeat(scan::MAX_QUOTED_LINES + 1);
    let fault = format!(
        "the quote that opens field 1 on line 2 is not closed within 256 KiB or 10000 lines; {SEPARATE_ROWS}"
    );
    for rows in [many.clone(), many.replace("Bo", &"b".repeat(100))] {
        let given =
            read(&format!("name,email,optIn\n\"Ann,a@x.org,true\n{rows}\"Cy\",c@x.org,true\n"), 1 << 14)
                .unwrap();
        assert_eq!(given.len(), scan::MAX_QUOTED_LINES + 3);
        assert_eq!(given[0], (2, "\"Ann,a@x.org,true".to_owned(), Some(fault.clone())));
        assert_eq!(given.iter().filter(|given| given.2.is_some()).count(), 1);
    }
}

#[test]
fn a_long_text_in_quotes_is_one_field() {
    let text = "line\n".repeat(scan::MAX_QUOTED_LINES - 1);
    let given = read(&format!("name,email,optIn\n\"{text}\",a@x.org,true\n"), 1 << 14).unwrap();
    assert_eq!((given.len(), given[0].2.as_deref()), (1, None));
}

#[test]
fn a_backslash_is_no_escape() {
    check(
        "\"Ann \\\"A\\\" Meyer\",a@x.org,true\nBo,b@x.org,true\n",
        &["Bo"],
        &[(2, "\"Ann \\\"A\\\" Meyer\",a@x.org,true", TEXT_AFTER)],
    );
    check(
        "\"Ann \\\"\",a@x.org,true\nBo,b@x.org,true\n",
        &["Bo"],
        &[(2, "\"Ann \\\"\",a@x.org,true", &not_closed(1, 2))],
    );
    let fault = "field 1 has a quote behind a backslash; a quote inside a quoted field is written twice";
    check("Ann \\\"A\\\" Meyer,a@x.org,true\n", &[], &[(2, "Ann \\\"A\\\" Meyer,a@x.org,true", fault)]);
}

#[test]
fn rows_inside_a_field_are_recovered() {
    let fault = format!("a quoted field takes in lines that are rows by themselves; {SEPARATE_ROWS}");
    check(
        "\"Ann,a@x.org,true\nBo,b@x.org,true\nCy 5\",c@x.org,true\n",
        &["Bo", "Cy 5\""],
        &[(2, "\"Ann,a@x.org,true", &fault)],
    );
    check_after(
        "name,email,optIn,note\n",
        "Ann,a@x.org,true,\"hi\nBo,b@x.org,true,x\nCy,c@x.org,true,\"\nnote\"\n",
        &["Bo", "Cy"],
        &[(2, "Ann,a@x.org,true,\"hi", &fault)],
    );
    // Text that is no row stays in its field.
    check_after("note,name,email\n", "\"Dear, dear, all\nregards\",Ann,a@x.org\n", &["Ann"], &[]);
    check_after(
        "name,email,optIn,note\n",
        "Ann,a@x.org,true,\"as told:\nBo,b@x.org,true,x\nso far\"\n",
        &["Ann"],
        &[],
    );
    check("\"Hello,\nAnn\",a@x.org,true\n", &["Hello,\nAnn"], &[]);
}

#[test]
fn empty_surplus_and_empty_rows_are_ignored() {
    check("Ann,a@x.org,true,, \n,,\n , ,\nBo,b@x.org,true,\"\"\n", &["Ann", "Bo"], &[]);
    check(&format!("Ann,a@x.org,true{}\n", ",".repeat(300)), &["Ann"], &[]);
    check_after(
        "name,email,optIn,,\n",
        "Ann,a@x.org,true\nBo,b@x.org,true,,\nCy,c@x.org,true,x\n",
        &["Ann", "Bo", "Cy"],
        &[],
    );
}

#[track_caller]
fn check_header(header: &str, why: &str) {
    let rows = "Ann,a@x.org,true\n\"Bo\",b@x.org,false\n";
    let found = read(&format!("{header}\n{rows}"), 5).unwrap_err();
    assert_eq!(found, format!("the header of the CSV cannot be read: {why}"));
}

#[test]
fn damaged_or_ambiguous_headers_are_refused() {
    check_header(
        "name,email,optIn,Opt In",
        "columns 3 and 4, \"optIn\" and \"Opt In\", both mean the field optIn; remove one of them",
    );
    check_header(
        "E-Mail,name,email",
        "columns 1 and 3, \"E-Mail\" and \"email\", both mean the field email; remove one of them",
    );
    check_header(
        "name,email,city,city",
        "columns 3 and 4 both are named \"city\"; rename or remove one of them",
    );
    // It may be no header at all: no text of it is quoted.
    check_header("Ann,Ann", "columns 1 and 2 have one name; rename or remove one of them");
    check_header("\"name”,email,optIn", "text stands behind the closing quote of field 1");
    check_header("name\",email,optIn", "field 1 has a quote without its other half");
    check_header("\"name\"x,email,optIn", "text stands behind the closing quote of field 1");
    let more = ",".repeat(rows::MAX_COLUMNS) + "x";
    check_header(&format!("email{more}"), "it has more than 16384 columns");
    assert_eq!(
        read("name,email,\"optIn", 5).unwrap_err(),
        "the header of the CSV cannot be read: the quote that opens field 3 on line 1 is not closed before the input ends"
    );
    let found = read("name,email,\"optIn\nAnn,a@x.org,27\"\n", 5).unwrap_err();
    assert_eq!(found, "the header of the CSV cannot be read: a quoted name takes in lines that are rows");
    assert!(read("name,email,\"Opt\nIn\",,\nAnn,a@x.org,true\n", 5).is_ok());
}

/// One damage to a text.
#[derive(Clone, Copy, Debug)]
enum Mutation {
    Insert,
    Remove,
    Double,
    Typographic,
    Backslash,
}

fn cell() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => "[a-zåß .'-]{1,6}",
        1 => Just(",".to_owned()),
        1 => Just("\n".to_owned()),
        1 => Just("\"".to_owned()),
        1 => Just("\\".to_owned()),
        1 => Just("”".to_owned()),
        1 => Just(";".to_owned()),
    ];
    // A text of several lines that begins like the end of a field resembles that end from outside. If the quote before
    // it is lost, both readings have one damage, and no reader can decide between them.
    prop::collection::vec(piece, 0..5).prop_map(|pieces| {
        let text = pieces.concat();
        let looks_like_an_end = text.contains('\n') && text.starts_with([' ', '"', ',', '\n']);
        if looks_like_an_end { format!("x{text}") } else { text }
    })
}

/// A row: three texts, the place of its address among them, and how it is quoted.
fn row() -> impl Strategy<Value = ([String; 3], u8)> {
    ([cell(), cell(), cell()], 0..4_u8)
}

fn quoted(cell: &str, style: u8) -> String {
    let needs = cell.contains([',', '"', '\n']) || cell.starts_with(' ');
    match style {
        // A program that does not quote cannot write cells that need quotes, except for pairs of quotes.
        3 if needs => format!("x \"{}\" y", cell.replace([',', '"', '\n', '\\'], "")),
        0 | 3 if !needs => cell.to_owned(),
        1 if !needs && cell.len().is_multiple_of(2) => cell.to_owned(),
        _ => format!("\"{}\"", cell.replace('"', "\"\"")),
    }
}

/// The text of rows, and the end of each in it.
fn file(rows: &[([String; 3], u8)]) -> (String, Vec<usize>) {
    let (mut text, mut ends) = ("name,email,optIn,city,note\n".to_owned(), Vec::new());
    for (at, ([name, city, note], style)) in (0..).zip(rows) {
        let cells = [name, &format!("{}@x.org", char::from(b'a' + at)), "true", city, note];
        let cells: Vec<String> = cells.iter().map(|cell| quoted(cell, *style)).collect();
        text.push_str(&cells.join(","));
        text.push('\n');
        ends.push(text.len());
    }
    (text, ends)
}

fn damaged(text: &str, from: usize, mutation: Mutation, at: &prop::sample::Index) -> Option<(String, usize)> {
    let places: Vec<usize> = match mutation {
        Mutation::Insert => (from..text.len()).filter(|&at| text.is_char_boundary(at)).collect(),
        _ => memchr::memchr_iter(b'"', text.as_bytes()).filter(|&at| at >= from).collect(),
    };
    let at = *(!places.is_empty()).then(|| at.get(&places))?;
    let (front, behind) = text.split_at(at);
    let text = match mutation {
        Mutation::Insert | Mutation::Double => format!("{front}\"{behind}"),
        Mutation::Remove => format!("{front}{}", &behind[1..]),
        Mutation::Typographic => format!("{front}”{}", &behind[1..]),
        Mutation::Backslash => format!("{front}\\{behind}"),
    };
    Some((text, at))
}

proptest! {
    #[test]
    fn no_undamaged_row_is_missing_or_changed(
        rows in prop::collection::vec(row(), 1..8),
        mutation in prop_oneof![Just(Mutation::Insert), Just(Mutation::Remove), Just(Mutation::Double), Just(Mutation::Typographic), Just(Mutation::Backslash)],
        at in any::<prop::sample::Index>(),
        piece in 1..300_usize,
    ) {
        let (sound, ends) = file(&rows);
        let sound_given = read(&sound, piece).unwrap();
        prop_assert_eq!(sound_given.len(), rows.len(), "{}", sound);
        prop_assert!(sound_given.iter().all(|given| given.2.is_none()), "{}\n{:#?}", sound, sound_given);
        let begin = sound.find('\n').unwrap() + 1;
        let Some((text, place)) = damaged(&sound, begin, mutation, &at) else { return Ok(()) };
        let hit = ends.iter().position(|&end| place < end).unwrap();
        let given = read(&text, piece).unwrap();
        for (at, (_, record, _)) in sound_given.iter().enumerate().filter(|(at, _)| *at != hit) {
            let times = given.iter().filter(|given| given.1 == *record && given.2.is_none()).count();
            prop_assert_eq!(times, 1, "row {} of\n{}\nis missing in {:#?}", at, text, given);
        }
        // The damaged row is reported, unless RFC 4180 has no doubt: a backslash is a letter there.
        let is_same = given.iter().any(|given| given.1 == sound_given[hit].1);
        let is_reported = given.iter().any(|given| given.2.is_some());
        prop_assert!(is_same || is_reported || matches!(mutation, Mutation::Backslash), "{}\n{:#?}", text, given);
    }
}
