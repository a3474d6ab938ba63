//! Files large enough to be cut into chunks, in every format: the same outcomes, row by row.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    harness::{
        http::Client,
        program::{Place, Server, run},
    },
    records::{
        bad_input::gzip,
        people::{self, Fate},
    },
};

/// Two chunks.
const MANY: u64 = 25_000;

#[track_caller]
fn check_summary(summary: &Value, count: u64) {
    assert_eq!(summary["status"], "SUCCEEDED");
    assert_eq!(summary["received"], count);
    assert_eq!(summary["outcomes"], json!(people::counts(&people::fates(count))));
    assert!(summary["elapsedMs"].is_u64() && summary["batchId"].is_string());
}

/// Takes a file by its content alone, as it is and packed, from a path and from the standard input.
#[track_caller]
fn check(text: &str) {
    let place = Place::new();
    let file = place.file("people", text);
    check_summary(&place.process(&file), MANY);
    let place = Place::new();
    let ended = run(&mut place.command(["process", "-", "--json"]), &gzip(text.as_bytes()));
    check_summary(&ended.summary(), MANY);
}

#[test]
fn a_list_a_record_a_line() {
    check(&people::list(MANY));
}

#[test]
fn a_list_for_people_to_read() {
    check(&people::pretty(MANY));
}

#[test]
fn csv_with_commas() {
    check(&people::csv(MANY, ','));
}

#[test]
fn csv_with_semicolons() {
    check(&people::csv(MANY, ';'));
}

#[test]
fn csv_with_tabs() {
    check(&people::csv(MANY, '\t'));
}

/// S2-012: duplicates are found over the whole file; each row says what became of it.
#[test]
fn every_row_of_a_cut_batch_can_be_asked_for() {
    let place = Place::new();
    let file = place.file("people", people::ndjson(MANY));
    let summary = place.process(&file);
    check_summary(&summary, MANY);
    let batch = summary["batchId"].as_str().unwrap();
    let server = Server::start(&place);
    let api = Client::new(&server.base);
    assert!(api.show(&format!("/batches/{batch}"))["chunks"].as_u64().unwrap() > 1);
    for (index, fate) in (0..).zip(people::fates(MANY)) {
        // Every duplicate of a stretch, and some of all.
        if (index < 120) || index % 997 == 0 || index == MANY - 1 {
            check_row(&api.show(&format!("/batches/{batch}/records/{index}")), index, &fate);
        }
    }
    assert_eq!(api.get(&format!("/batches/{batch}/records/{MANY}")).status, 404);
}

#[track_caller]
fn check_row(row: &Value, index: u64, fate: &Fate) {
    assert_eq!(row["index"], index);
    assert_eq!(row["outcome"], fate.outcome, "{row}");
    assert_eq!(row["duplicateOf"].as_u64(), fate.duplicate_of, "{row}");
    assert_eq!(row["conflictsWith"].as_u64(), fate.conflicts_with, "{row}");
    let is_kept = fate.outcome == "invalid";
    assert_eq!(row["quarantined"]["line"].as_u64(), is_kept.then_some(index + 1), "{row}");
}

/// What is invalid is kept, with its line; sent again as it is it is invalid again, and counted up.
#[test]
fn the_quarantine_of_a_cut_batch() {
    let place = Place::new();
    let file = place.file("people", people::ndjson(MANY));
    let summary = place.process(&file);
    let invalid = summary["outcomes"]["invalid"].as_u64().unwrap();
    assert!(Path::new(summary["quarantine"].as_str().unwrap()).is_dir());
    let listed = place.run(["quarantine", "list", "--json"]).json();
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len() as u64, invalid);
    for entry in listed {
        assert_eq!(entry["line"].as_u64().unwrap(), entry["index"].as_u64().unwrap() + 1);
        assert_eq!(entry["index"].as_u64().unwrap() % 40, 7);
        assert_eq!(entry["retryCount"], 0);
    }
    let again = place.run(["quarantine", "replay", "--error-type", "address", "--json"]).json();
    assert_eq!(again["received"], again["outcomes"]["invalid"]);
    assert_eq!(again["received"], listed.iter().filter(|entry| entry["errorType"] == "address").count());
    let batch = again["batchId"].as_str().unwrap();
    let listed = place.run(["quarantine", "list", "--batch", batch, "--json"]).json();
    assert!(listed.as_array().unwrap().iter().all(|entry| entry["retryCount"] == 1));
    let open = place.run(["quarantine", "list", "--json"]).json();
    assert_eq!(open.as_array().unwrap().len() as u64, invalid, "what was sent again is not listed twice");
}
