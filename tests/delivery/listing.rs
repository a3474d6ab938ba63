//! Deliveries listed, and failed ones sent again: counted, queued once, and never where they were delivered.

use rusqlite::Connection;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    destinations::api::holds,
    harness::{
        http::Client,
        program::{Place, Server},
    },
};

/// What lies in the lane of destination `a`, commands in order, and what lies there then.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    lane: Vec<Row>,
    commands: Vec<Command>,
    then: Vec<Row>,
    /// How many messages wake the lane.
    wakes: u64,
}

/// A row. What a body leaves out is filled in where it is stored, and not looked at afterwards.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    sort: String,
    #[serde(default = "first")]
    version: u64,
    body: Value,
}

fn first() -> u64 {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    /// `deliveries replay --destination a`
    run: String,
    #[serde(default)]
    code: i32,
    /// What it prints, among other things; of one that fails a text out of what it says.
    says: Value,
}

#[test]
fn what_failed_is_sent_again() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("listing.json")).unwrap();
    for case in cases {
        check(&case);
    }
}

#[track_caller]
fn check(case: &Case) {
    let place = Place::new();
    made(&place);
    let store = Connection::open(place.data().join("crmflow.db")).unwrap();
    for Row { sort, version, body } in &case.lane {
        let row = "INSERT INTO deliveries (partition, sort, version, body) VALUES ('default/a', ?1, ?2, ?3)";
        store.execute(row, (sort, version, whole(sort, body).to_string())).unwrap();
    }
    for Command { run, code, says } in &case.commands {
        let context = format!("{}: {run}", case.name);
        let ended = place.run(run.split(' ').chain(["--json"]));
        assert_eq!(ended.code, Some(*code), "{context}: {ended:?}");
        match says.as_str() {
            Some(said) => ended.check(*code, &[said]),
            None => assert!(holds(&ended.json(), says), "{context}: {ended:?}"),
        }
    }
    let mut rows = store.prepare("SELECT sort, version, body FROM deliveries ORDER BY sort").unwrap();
    let found = rows.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let found: Vec<(String, u64, String)> = found.collect::<Result<_, _>>().unwrap();
    let names = |row: &Row| (row.sort.clone(), row.version);
    let sorts: Vec<_> = found.iter().map(|(sort, version, _)| (sort.clone(), *version)).collect();
    assert_eq!(sorts, case.then.iter().map(names).collect::<Vec<_>>(), "{}", case.name);
    for (Row { body, .. }, (sort, _, text)) in case.then.iter().zip(&found) {
        assert!(holds(&serde_json::from_str(text).unwrap(), body), "{}: {sort}: {text}", case.name);
    }
    let wakes = "SELECT count(*) FROM queue_messages WHERE queue = 'LanesQueue'";
    let wakes: u64 = store.query_row(wakes, (), |row| row.get(0)).unwrap();
    assert_eq!(wakes, case.wakes, "{}", case.name);
}

/// Who cannot do it is told who can; a dry run looks only.
#[test]
fn a_folder_that_is_served_is_replayed_by_its_server() {
    let place = Place::new();
    made(&place);
    let _server = Server::start(&place);
    let replay = ["deliveries", "replay", "--destination", "a"];
    place.run(replay).check(1, &["in use by another process", "POST /deliveries/replay"]);
    let counted = place.run(replay.into_iter().chain(["--dry-run"]));
    assert_eq!(counted.stdout, "0 failed deliveries would be sent again\n", "{counted:?}");
    let listed = place.run(["destinations", "list"]).stdout;
    assert_eq!(
        listed,
        "a  paused (by request)  0 wait  https://a.example/\noff  disabled (by request)  0 wait  https://a.example/\n"
    );
}

/// Makes destinations: `a` is paused, so that nothing is sent; `off` is disabled.
fn made(place: &Place) {
    let server = Server::start(place);
    let api = Client::new(&server.base);
    for (name, state) in [("a", "paused"), ("off", "disabled")] {
        let body =
            json!({"destinationName": name, "url": "https://a.example/", "type": "CDP", "state": state});
        assert_eq!(api.request("POST", "/destinations", Some(&body)).status, 200);
    }
}

/// A body with what every row of its kind has.
fn whole(sort: &str, body: &Value) -> Value {
    let mut whole = match sort.chars().next() {
        Some('!') => json!({}),
        Some('q') => {
            json!({"messageId": "m", "receivedAt": "2026-11-21T07:00:00Z", "tries": 0, "replays": 0})
        }
        _ => json!({
            "messageId": "m", "destination": "a", "status": "failed", "attempts": [],
            "receivedAt": "2026-11-21T07:00:00Z", "replays": 0
        }),
    };
    for (name, value) in body.as_object().unwrap() {
        whole[name] = value.clone();
    }
    whole
}
