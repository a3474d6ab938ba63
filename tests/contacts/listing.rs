//! Contacts listed, shown and exported, by the command line and by the API: both answer alike.

use std::fs;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    harness::{
        http::Client,
        program::{Place, Server},
    },
    records::bad_input::check_problem,
};

#[derive(Deserialize)]
struct Cases {
    /// Sent one after the other.
    batches: Vec<Value>,
    /// Filters, and the contacts that match.
    cases: Vec<Case>,
    csv: Csv,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    options: Vec<String>,
    query: String,
    emails: Vec<String>,
}

/// Exports, and the first four cells of each row, sorted.
#[derive(Deserialize)]
struct Csv {
    options: Vec<Vec<String>>,
    queries: Vec<String>,
    rows: Vec<Vec<String>>,
}

#[derive(Deserialize)]
struct Refused {
    options: Vec<String>,
    query: String,
    says: String,
}

fn cases() -> Cases {
    serde_json::from_str(include_str!("contacts.json")).unwrap()
}

/// A place that has the contacts of the cases.
fn filled(cases: &Cases) -> Place {
    let place = Place::new();
    for (at, batch) in cases.batches.iter().enumerate() {
        place.process(&place.file(&format!("{at}.json"), batch.to_string()));
    }
    place
}

fn command<'a>(verb: &'a str, options: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    ["contacts", verb]
        .into_iter()
        .chain(options.iter().map(String::as_str))
        .chain(more.iter().copied())
        .collect()
}

fn emails(contacts: &[Value]) -> Vec<&str> {
    let mut emails: Vec<_> = contacts.iter().map(|contact| contact["email"].as_str().unwrap()).collect();
    emails.sort_unstable();
    emails
}

#[track_caller]
fn check_rows(csv: &str, rows: &[String]) {
    let mut lines = csv.lines();
    let header = lines.next().unwrap();
    assert!(
        ["email,name,optIn,interests,since,source,batchId,index,extra", "phone,email,city,none"]
            .contains(&header)
    );
    let mut lines: Vec<_> = lines.collect();
    lines.sort_unstable();
    assert_eq!(lines.len(), rows.len(), "{csv}");
    for (line, row) in lines.iter().zip(rows) {
        assert!(line.starts_with(row.as_str()), "{line} does not begin with {row}");
    }
}

#[test]
fn a_filter_lists_the_same_contacts_everywhere() {
    let all = cases();
    let place = filled(&all);
    let server = Server::start(&place);
    let api = Client::new(&server.base);
    for Case { name, options, query, emails: expected } in &all.cases {
        let listed = place.run(command("list", options, &["--json"])).json();
        assert_eq!(&emails(listed.as_array().unwrap()), expected, "list: {name}");
        let exported = place.run(command("export", options, &["--format", "ndjson"]));
        let lines: Vec<Value> =
            exported.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(&emails(&lines), expected, "export: {name}");
        let paged = api.all(&format!("/contacts?limit=1&{query}"), "contacts");
        assert_eq!(&emails(&paged), expected, "GET: {name}");
        let ndjson = api.get(&format!("/contacts?format=ndjson&{query}"));
        assert_eq!(ndjson.headers["content-type"], "application/x-ndjson");
        assert_eq!(ndjson.text, exported.stdout, "{name}");
    }
    for Refused { options, query, says } in &all.refused {
        place.run(command("list", options, &[])).check(2, &[]);
        place.run(command("export", options, &[])).check(2, &[says]);
        check_problem(&api.get(&format!("/contacts?{query}")), 400, says);
    }
}

#[test]
fn a_cell_of_csv_is_no_formula() {
    let all = cases();
    let place = filled(&all);
    let Csv { options, queries, rows } = &all.csv;
    for (options, rows) in options.iter().zip(rows) {
        let exported = place.run(command("export", options, &[]));
        let said = if options.contains(&"--raw".to_owned()) { "" } else { "1 cell begins like a formula" };
        exported.check(0, &[said]);
        check_rows(&exported.stdout, rows);
    }
    let server = Server::start(&place);
    let api = Client::new(&server.base);
    for (query, rows) in queries.iter().zip(rows) {
        let answer = api.get_with(&format!("/contacts?{query}"), &[("accept", "text/csv")]);
        assert_eq!(answer.headers["content-type"], "text/csv; charset=utf-8; header=present");
        check_rows(&answer.text, rows);
    }
    let first = api.get_with("/contacts?limit=1&optIn=all", &[("accept", "text/csv")]);
    let link = first.headers["link"].to_str().unwrap();
    let next = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).unwrap();
    let second = api.get_with(next, &[("accept", "text/csv")]);
    assert_eq!(second.text.lines().count(), 2, "{second:?}");
    assert_ne!(second.text.lines().nth(1), first.text.lines().nth(1));
}

#[test]
fn an_exported_list_is_an_import_that_changes_nothing() {
    let all = cases();
    let place = filled(&all);
    let path = place.path("out/contacts.csv");
    place.run(["contacts", "export", "--output", path.to_str().unwrap()]).check(2, &["contacts.csv"]);
    fs::create_dir(place.path("out")).unwrap();
    let arguments = ["contacts", "export", "--text", "Ann", "--output", path.to_str().unwrap()];
    place.run(arguments).check(0, &[]);
    assert_eq!(fs::read_dir(place.path("out")).unwrap().count(), 1);
    let csv = fs::read_to_string(&path).unwrap();
    let four =
        |line: &str| line.split(",20").next().unwrap().replace(",since,source,batchId,index,extra", "");
    let columns: String = csv.lines().map(|line| four(line) + "\n").collect();
    let outcomes = &place.process(&place.file("again.csv", columns))["outcomes"];
    assert_eq!((&outcomes["saved"], &outcomes["unchanged"]), (&0.into(), &1.into()), "{csv}");
}

#[test]
fn a_parquet_export_has_every_field() {
    let all = cases();
    let place = filled(&all);
    let path = place.path("contacts.parquet");
    let arguments = ["contacts", "export", "--status", "all", "--output", path.to_str().unwrap()];
    place.run(arguments).check(0, &[]);
    let reader = parquet::file::reader::SerializedFileReader::new(fs::File::open(&path).unwrap()).unwrap();
    let mut rows: Vec<String> = reader.into_iter().map(|row| row.unwrap().to_string()).collect();
    rows.sort_unstable();
    for (row, part) in rows.iter().zip([
        r#"interests: ["music", "rock pop"]"#,
        r#"name: "=cmd|' /C calc'!A0", optIn: true, interests: null"#,
        r#"name: "Meyer, "Cleo"", optIn: false"#,
    ]) {
        assert!(row.contains(part), "{row}");
    }
    assert_eq!(rows.len(), 3);
    assert!(rows[0].contains("Zürich"), "{rows:?}");
}

#[test]
fn a_contact_is_shown_with_its_history() {
    let place = filled(&cases());
    let shown = place.run(["contacts", "show", "CLEO@list.example", "--json"]).json();
    assert_eq!((&shown["key"], &shown["optIn"]), (&"cleo@list.example".into(), &false.into()));
    assert_eq!(shown["history"].as_array().unwrap().len(), 2);
    let said = place.run(["contacts", "show", "cleo@list.example"]);
    said.check(0, &[]);
    assert!(said.stdout.contains("opted out") && said.stdout.contains("history\n"), "{said:?}");
    place.run(["contacts", "show", "dan@list.example"]).check(1, &["no contact"]);
    place.run(["contacts", "show", "nobody"]).check(2, &["e-mail address"]);
    Place::new().run(["contacts", "list"]).check(2, &["has no data"]);
}
