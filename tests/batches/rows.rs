//! The records of a batch by outcome, as the command line and the API show them: line, record, and the one that won.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    harness::{
        http::Client,
        program::{Place, Server},
    },
    records::bad_input::check_problem,
};

#[derive(Deserialize)]
struct Case {
    name: String,
    file: String,
    text: String,
    /// Members of each record that has the outcome, in order.
    outcomes: BTreeMap<String, Vec<Map<String, Value>>>,
}

#[track_caller]
fn check(rows: &[Value], outcome: &str, expected: &[Map<String, Value>]) {
    assert_eq!(rows.len(), expected.len(), "{outcome}: {rows:?}");
    for (row, expected) in rows.iter().zip(expected) {
        assert_eq!(row["outcome"], outcome);
        for (name, value) in expected {
            assert_eq!(&row[name], value, "{row}");
        }
    }
}

#[test]
fn every_outcome_lists_its_records() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("batches.json")).unwrap();
    for Case { name, file, text, outcomes } in &cases {
        let place = Place::new();
        let id = place.process(&place.file(file, text))["batchId"].as_str().unwrap().to_owned();
        let server = Server::start(&place);
        let api = Client::new(&server.base);
        let all = place.run(["batches", "records", &id, "--json"]).json();
        assert_eq!(
            all.as_array().unwrap().len() as u64,
            api.show(&format!("/batches/{id}"))["received"],
            "{name}"
        );
        for (outcome, expected) in outcomes {
            let listed = place.run(["batches", "records", &id, "--outcome", outcome, "--json"]).json();
            check(listed.as_array().unwrap(), outcome, expected);
            let paged = api.all(&format!("/batches/{id}/records?limit=1&outcome={outcome}"), "records");
            assert_eq!(&paged, listed.as_array().unwrap(), "{name}");
            let one: Vec<Value> = paged
                .iter()
                .map(|row| api.show(&format!("/batches/{id}/records/{}", row["index"])))
                .collect();
            check(&one, outcome, expected);
        }
        check_problem(&api.get(&format!("/batches/{id}/records?outcome=lost")), 400, "one of saved");
    }
}

#[test]
fn a_record_is_shown_as_it_came() {
    let place = Place::new();
    let long = r#"{"name":"Ann","email":"ann@rows.example","optIn":true,"id":12345678901234567890123}"#;
    let file = place.file("list.ndjson", format!("{long}\n{long}\n\u{1b}[2J\n"));
    let id = place.process(&file)["batchId"].as_str().unwrap().to_owned();
    for (record, said) in [
        ("/0", "line 1, record 0: saved"),
        ("/1", "line 2, record 1: duplicate of line 1, record 0"),
        ("/1", long),
        ("/2", "\\u{1b}[2J"),
        ("", "saved                 1"),
    ] {
        let shown = place.run(["batches", "show", &format!("{id}{record}")]);
        shown.check(0, &[]);
        assert!(shown.stdout.contains(said), "{said}: {shown:?}");
    }
    let listed = place.run(["batches", "records", &id]);
    assert!(
        listed.stdout.contains("line 2, record 1: duplicate of line 1") && !listed.stdout.contains("Ann")
    );
    place.run(["batches", "show", &format!("{id}/7")]).check(2, &["no decided record 7"]);
    place.run(["batches", "show", "01M7YM2KCGG4PCFGTA1N7X8JJC"]).check(2, &["no batch"]);
    place.run(["batches", "records", &id, "--outcome", "lost"]).check(2, &["the outcomes are saved,"]);
}

/// Two runs of one file: a batch of many chunks, with a duplicate of each record far behind it.
#[test]
fn a_large_batch_is_exported_whole() {
    let place = Place::new();
    let people = 30_000;
    let row = |n: u32| format!("Name {n},n{n}@rows.example,yes\n");
    let rows: String = (0..people).chain(0..people).map(row).collect();
    let file = place.file("large.csv", format!("name,email,optIn\n{rows}"));
    let id = place.process(&file)["batchId"].as_str().unwrap().to_owned();
    let out = place.path("duplicates.ndjson");
    let export = ["batches", "export", &id, "--outcome", "duplicate", "--output"].map(Path::new);
    place.run(export.into_iter().chain([out.as_path()])).check(0, &[]);
    let mut lines = Vec::new();
    for line in std::fs::read_to_string(out).unwrap().lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let (line, won) = (row["line"].as_u64().unwrap(), row["duplicateOfLine"].as_u64().unwrap());
        assert_eq!(
            (line - won, &row["record"]["name"]),
            (u64::from(people), &format!("Name {}", won - 2).into())
        );
        lines.push(line);
    }
    lines.sort_unstable();
    assert!(lines.into_iter().eq(u64::from(people) + 2..u64::from(people) * 2 + 2));
    let csv = place.run(["batches", "export", &id, "--outcome", "saved"]);
    assert_eq!(csv.stdout.lines().count(), 1 + people as usize);
    assert!(csv.stdout.starts_with("line,index,outcome,duplicateOf,"), "{csv:?}");
}
