//! What is no batch, or hardly one. Each has a clear answer and the right code, and loses nothing: what is
//! refused leaves no trace, what is taken is counted and kept.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    path::Path,
};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::harness::{
    http::Client,
    program::{PATIENCE, Place, Server},
};

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn nested(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

/// Inputs that are refused as a whole, by format: the bytes, and what is said of them.
fn refused() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let ann = r#"{"name":"Ann","email":"ann@refused.example","optIn":true}"#;
    let row = "Ann,ann@refused.example,true";
    let packed = gzip(format!("[{ann}]").as_bytes());
    let mut damaged = packed.clone();
    let end = damaged.len() - 8;
    damaged[end] ^= 1;
    let texts = [
        ("json", String::new(), "input is empty"),
        ("json", " \r\n\t".to_owned(), "input is empty"),
        ("json", "\u{feff}".to_owned(), "input is empty"),
        ("json", "[]".to_owned(), "no record"),
        ("json", "[ \n ]".to_owned(), "no record"),
        ("json", ann.to_owned(), "the input is an object"),
        ("json", "null".to_owned(), "the input is null"),
        ("json", "true".to_owned(), "the input is a boolean"),
        ("json", "-17".to_owned(), "the input is a number"),
        ("json", "\"text\"".to_owned(), "the input is a string"),
        ("json", "name,email\n".to_owned(), "a list of records is expected"),
        ("json", format!("[{ann}"), "ends in the middle of the record"),
        ("json", format!("[{ann},"), "the list ends early"),
        ("json", "[".to_owned(), "the list ends early"),
        ("json", format!("[{ann},]"), "a record is missing"),
        ("json", format!("[,{ann}]"), "a record is missing"),
        ("json", format!("[{ann}]]"), "outside of the list"),
        ("json", format!("[{ann}]\n[{ann}]"), "outside of the list, on line 2"),
        ("json", "[".repeat(100_000), "ends in the middle of the record"),
        ("ndjson", String::new(), "input is empty"),
        ("ndjson", "\n\n \r\n".to_owned(), "input is empty"),
        ("csv", "name,email,optIn\r\n".to_owned(), "no record"),
        ("csv", format!("name,email,optIn,Opt In\n{row},no\n"), "both mean the field optIn"),
        ("csv", format!("name,email,optIn,e-mail\n{row},\n"), "both mean the field email"),
        ("csv", format!("name,email,optIn,city,city\n{row},,\n"), "columns 4 and 5 both are named"),
        ("csv", format!("name,email,\"optIn\n{row}\n"), "is not closed before the input ends"),
        ("csv", format!("\"name\"s,email,optIn\n{row}\n"), "text stands behind the closing quote of field 1"),
    ];
    let packs = [
        ("json", packed[..packed.len() / 2].to_vec(), "gzip that ends early or is damaged"),
        ("json", packed[..packed.len() - 4].to_vec(), "gzip that ends early or is damaged"),
        ("json", damaged, "gzip that ends early or is damaged"),
        ("json", gzip(b""), "input is empty"),
        ("json", gzip(b"{}"), "the input is an object"),
    ];
    texts.into_iter().map(|(format, text, said)| (format, text.into_bytes(), said)).chain(packs).collect()
}

fn media(format: &str) -> &'static str {
    match format {
        "json" => "application/json",
        "ndjson" => "application/x-ndjson",
        _ => "text/csv",
    }
}

/// S2-002 S2-003: exit code 2, in a file.
#[test]
fn a_file_that_is_no_batch_is_refused() {
    let place = Place::new();
    for (format, bytes, said) in refused() {
        let file = place.file("input", &bytes);
        let ended = place.run([Path::new("process"), &file, Path::new("--format"), Path::new(format)]);
        ended.check(2, &[said]);
        assert_eq!(ended.stdout, "", "{said}");
    }
    check_nothing_is_kept(&place);
}

/// S2-002 S2-003: 400, in a request.
#[test]
fn a_body_that_is_no_batch_is_refused() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = Client::new(&server.base);
    for (format, bytes, said) in refused() {
        let mut headers = vec![("content-type", media(format))];
        if bytes.starts_with(&[0x1f, 0x8b]) {
            headers.push(("content-encoding", "gzip"));
        }
        let answer = api.post("/records", &headers, &bytes);
        check_problem(&answer, 400, said);
    }
    assert_eq!(api.show("/batches")["batches"], json!([]));
    drop(server);
    check_nothing_is_kept(&place);
}

/// Fails unless the answer is a problem of this status that says this.
#[track_caller]
pub(crate) fn check_problem(answer: &crate::harness::http::Answer, status: u16, said: &str) {
    assert_eq!(answer.status, status, "{said}: {answer:?}");
    assert_eq!(answer.headers["content-type"], "application/problem+json", "{answer:?}");
    assert_eq!(answer.body["status"], status, "{answer:?}");
    assert!(answer.body["type"].as_str().unwrap().starts_with("urn:crmflow:problem:"), "{answer:?}");
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(detail.to_lowercase().contains(&said.to_lowercase()), "{said:?} is missing: {detail}");
    assert!(answer.headers.contains_key("x-request-id"));
}

#[track_caller]
fn check_nothing_is_kept(place: &Place) {
    assert_eq!(place.run(["executions", "--json"]).json(), json!([]));
    assert_eq!(place.run(["quarantine", "list", "--json"]).json(), json!([]));
}

/// Without `--format` the content decides; what it cannot decide is refused.
#[test]
fn a_file_of_no_known_format_is_refused() {
    let place = Place::new();
    let list = "a list of records is expected";
    let neither = "neither a JSON list, nor";
    for (bytes, said) in [
        (&b"{\n  \"name\": \"Ann\"\n}"[..], list),
        (b"null", list),
        (b"hello\nworld\n", neither),
        (b"first;second\n1;2\n", neither),
        (b"\xff\xfe[\0]\0", neither),
        (b"\0\0\0\0", neither),
    ] {
        let file = place.file("input", bytes);
        place.run([Path::new("process"), &file]).check(2, &[said]);
    }
    place.run(["process", "nowhere.json"]).check(2, &["nowhere.json", "No such file"]);
    place.run(["process", "."]).check(2, &["is a folder"]);
}

/// Takes a file in which only the records `bad` are bad; gives the entries in quarantine.
#[track_caller]
fn check_taken(format: &str, bytes: impl AsRef<[u8]>, received: u64, bad: &[(u64, &str)]) -> Vec<Value> {
    let place = Place::new();
    let file = place.file("input", bytes);
    let ended = place.run([
        Path::new("process"),
        &file,
        Path::new("--format"),
        Path::new(format),
        Path::new("--json"),
    ]);
    let summary = ended.json();
    assert_eq!(summary["received"], received);
    assert_eq!(summary["outcomes"]["invalid"], bad.len());
    assert_eq!(summary["outcomes"]["saved"], received - bad.len() as u64);
    let entries = place.run(["quarantine", "list", "--json"]).json();
    let entries = entries.as_array().unwrap();
    let mut rules: Vec<_> = entries
        .iter()
        .map(|entry| (entry["index"].as_u64().unwrap(), entry["faults"][0]["rule"].as_str().unwrap()))
        .collect();
    rules.sort_unstable();
    assert_eq!(rules, bad);
    entries.clone()
}

const A: &str = r#"{"name":"A","email":"a@taken.example","optIn":true}"#;
const B: &str = r#"{"name":"B","email":"b@taken.example","optIn":true}"#;

#[test]
fn a_line_of_50_megabytes_is_one_invalid_record() {
    let long = "x".repeat(50_000_000);
    for (format, text) in [
        ("ndjson", format!("{A}\n\"{long}\"\n{B}\n")),
        ("json", format!("[{A},\n{{\"name\":\"{long}\",\"email\":\"l@taken.example\",\"optIn\":true}},{B}]")),
    ] {
        let entries = check_taken(format, &text, 3, &[(1, "size")]);
        let kept = entries[0]["text"].as_str().or(entries[0]["record"]["name"].as_str());
        assert!(kept.unwrap().len() >= long.len(), "it is kept whole");
    }
}

#[test]
fn a_line_of_more_than_64_mebibytes_refuses_the_input() {
    let place = Place::new();
    let file = place.file("input", format!("{A}\n\"{}", "x".repeat(65 << 20)));
    place.run([Path::new("process"), &file]).check(2, &["line 2 is longer than 64 MiB"]);
    check_nothing_is_kept(&place);
}

#[test]
fn deep_nesting_is_an_invalid_record() {
    for depth in [65, 40_000] {
        let objects = "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth);
        check_taken(
            "json",
            format!("[{A},{},{objects},{B}]", nested(depth)),
            4,
            &[(1, "depth"), (2, "depth")],
        );
        check_taken("ndjson", format!("{A}\n{}\n{B}\n", nested(depth)), 3, &[(1, "depth")]);
    }
    check_taken("ndjson", format!("{A}\n{}\n{B}\n", nested(100_000)), 3, &[(1, "depth")]);
    // Never closed: what is deeper than a record may be is not read as JSON at all.
    check_taken("ndjson", format!("{A}\n{}\n{B}\n", "[".repeat(100_000)), 3, &[(1, "depth")]);
}

#[test]
fn bytes_that_are_no_utf8_are_quarantined_unchanged() {
    let bad: &[u8] = b"{\"name\":\"\xff\xfe\",\"email\":\"c@taken.example\",\"optIn\":true}";
    let base64 = "eyJuYW1lIjoi//4iLCJlbWFpbCI6ImNAdGFrZW4uZXhhbXBsZSIsIm9wdEluIjp0cnVlfQ==";
    let join = |open: &str, between: &str, close: &str| {
        [
            open.as_bytes(),
            A.as_bytes(),
            between.as_bytes(),
            bad,
            between.as_bytes(),
            B.as_bytes(),
            close.as_bytes(),
        ]
        .concat()
    };
    let entries = check_taken("ndjson", join("", "\n", ""), 3, &[(1, "utf8")]);
    assert_eq!(entries[0]["base64"], base64);
    let entries = check_taken("json", join("[", ",", "]"), 3, &[(1, "utf8")]);
    assert_eq!(entries[0]["base64"], base64);
    let rows =
        b"name,email,optIn\nA,a@taken.example,true\n\xff,c@taken.example,true\nB,b@taken.example,true\n";
    check_taken("csv", rows, 3, &[(1, "utf8")]);
}

/// A lone surrogate is no text, and what holds one is no record; the others of its batch go on.
#[test]
fn a_lone_surrogate_is_one_invalid_record() {
    let bad = [
        r#"{"name":"\ud800","email":"c@taken.example","optIn":true}"#,
        r#"{"\udc00":1,"name":"D","email":"d@taken.example","optIn":true}"#,
        r#"{"name":"E","email":"e\ud800@taken.example","optIn":true}"#,
        r#"{"name":"F","email":"f@taken.example","optIn":true,"x":["\uD83D"]}"#,
    ];
    let whole = r#"{"name":"\ud83d\ude42","email":"g@taken.example","optIn":true,"x":"\uD83D\uDE42"}"#;
    let list = format!("[{A},{},{whole}]", bad.join(","));
    let entries = check_taken("json", list, 6, &[(1, "json"), (2, "json"), (3, "json"), (4, "json")]);
    assert_eq!(entries.iter().map(|entry| entry["text"].as_str().unwrap()).collect::<Vec<_>>(), bad);
}

#[test]
fn a_nul_is_no_json() {
    check_taken("ndjson", format!("{A}\n\0\n{B}"), 3, &[(1, "json")]);
}

/// Sends bytes to a server as they are, and reads what it answers until it has said enough.
fn raw(server: &Server, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.authority()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    // A connection that is reset has said what it had to say.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_length_that_lies_takes_nothing_in() {
    let place = Place::new();
    let server = Server::start(&place);
    let body = format!("[{A}]");
    let head = "POST /records HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let lengths = [
        // Longer than the body, which ends with the connection.
        format!("content-length: {}\r\n\r\n{body}", body.len() + 10),
        // Shorter: the list is cut off, and what is left over is no request.
        format!("content-length: {}\r\n\r\n{body}", body.len() - 10),
        format!("content-length: none\r\n\r\n{body}"),
        format!("content-length: -1\r\n\r\n{body}"),
        format!("content-length: 5\r\ncontent-length: {}\r\n\r\n{body}", body.len()),
        // Chunks that end in the middle, and one whose length is no number.
        format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}", body.len() + 10),
        format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n", body.len()),
        format!("transfer-encoding: chunked\r\n\r\nxyz\r\n{body}\r\n0\r\n\r\n"),
    ];
    for rest in lengths {
        let answer = raw(&server, format!("{head}{rest}").as_bytes());
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{rest}: {answer}");
    }
    let api = Client::new(&server.base);
    assert_eq!(api.show("/batches")["batches"], json!([]));
    assert_eq!(api.show("/health")["status"], "ok");
}

/// A gibibyte that arrives as one megabyte: gzip members may follow one another.
fn bomb(piece: &[u8]) -> Vec<u8> {
    let member = gzip(&piece.repeat((16 << 20) / piece.len()));
    member.repeat(64)
}

#[test]
fn a_zip_bomb_is_refused_before_it_takes_memory() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = Client::new(&server.base);
    for (media, piece) in [
        ("application/json", &b"0"[..]),
        ("application/x-ndjson", b"{\"email\":1}\n"),
        ("text/csv", b"email\n"),
    ] {
        let mut body = gzip(b"[");
        body.extend_from_slice(&bomb(piece));
        let answer = api.post("/records", &[("content-type", media), ("content-encoding", "gzip")], &body);
        check_problem(&answer, 413, "POST /uploads");
    }
    assert_eq!(api.show("/batches")["batches"], json!([]));
    if let Some(peak) = server.process.memory_kib("VmHWM") {
        let peak = peak / 1024;
        assert!(peak < 512, "{peak} MiB for three bombs of 1 GiB");
    }
}

#[test]
fn a_zip_bomb_of_one_record_is_refused() {
    let place = Place::new();
    let file = place.file("bomb.gz", bomb(b"0"));
    place
        .run([Path::new("process"), &file, Path::new("--format"), Path::new("ndjson")])
        .check(2, &["longer than 64 MiB"]);
    check_nothing_is_kept(&place);
}
