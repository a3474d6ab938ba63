//! Whatever is killed, and whenever: what was acknowledged is done, once (design, contracts 8 and 9).

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::{
    harness::{
        http::{Answer, Client, until},
        program::{Killed, Place, Server},
    },
    operations::queues::slow,
    records::{cases, people},
};

/// Everything that is stored of contacts, but for when and by which batch.
fn contacts(place: &Place) -> Vec<Vec<Option<String>>> {
    let file = Connection::open(place.data().join("crmflow.db")).unwrap();
    let columns = ["address", "name", "email", "opted_in", "interests", "extra", "record", "version"];
    let columns = columns.map(|name| format!("CAST({name} AS TEXT)")).join(", ");
    let mut read = file.prepare(&format!("SELECT {columns} FROM contacts ORDER BY address")).unwrap();
    let rows = read.query_map([], |row| (0..8).map(|column| row.get(column)).collect()).unwrap();
    rows.map(Result::unwrap).collect()
}

/// The body of batch `n`: twenty contacts of its own, one of them twice, and one that is invalid. Every
/// tenth is large enough to be cut.
fn body(n: usize) -> Vec<u8> {
    let contact =
        |i: usize| json!({"name": "N", "email": format!("n{n}.{i}@crash.example"), "optIn": true, "n": n});
    let mut records: Vec<Value> = (0..20).map(contact).collect();
    if n % 10 == 5 {
        records[0]["note"] = Value::from("n".repeat(200_000));
    }
    records.push(contact(7));
    records.push(json!({ "name": n }));
    Value::from(records).to_string().into_bytes()
}

fn post(api: &Client, n: usize) -> Result<Answer, ureq::Error> {
    let key = format!("batch-{n}");
    api.try_post("/records", &[("content-type", "application/json"), ("idempotency-key", &key)], &body(n))
}

const BATCHES: usize = 60;

/// Posts every batch until it is acknowledged. While those of `kills` are on their way, a `kill -9` is too,
/// so many milliseconds later; then the server is started again.
fn post_all(place: &Place, kills: &[(usize, u64)]) -> (Server, Vec<String>) {
    let mut server = Server::start(place);
    let mut api = Client::new(&server.base);
    let mut ids = Vec::new();
    for n in 0..BATCHES {
        let delay = kills.iter().find(|(at, _)| *at == n).map(|(_, delay)| *delay);
        let doomed = server.process.0.id();
        let killer = delay.map(|delay| {
            let kill = format!("sleep {}; kill -KILL {}", Duration::from_millis(delay).as_secs_f64(), doomed);
            Killed(std::process::Command::new("sh").args(["-c", &kill]).spawn().unwrap())
        });
        let answer = loop {
            match post(&api, n) {
                Ok(answer) if answer.status == 202 => break answer,
                Ok(answer) => panic!("{answer:?}"),
                Err(_) => (server, api) = again(place, server),
            }
        };
        ids.push(answer.body["batchId"].as_str().unwrap().to_owned());
        if let Some(mut killer) = killer {
            killer.wait();
            if server.process.0.id() == doomed {
                (server, api) = again(place, server);
            }
        }
    }
    (server, ids)
}

/// Starts the server again, once it is gone.
fn again(place: &Place, mut old: Server) -> (Server, Client) {
    old.process.wait();
    let server = Server::start(place);
    let api = Client::new(&server.base);
    (server, api)
}

/// S2-001: a 2xx survives `kill -9`.
#[test]
fn what_was_acknowledged_is_done_after_a_kill() {
    let calm = Place::new();
    let (server, _) = post_all(&calm, &[]);
    check_done(&server);
    drop(server);
    let place = Place::new();
    let kills: Vec<(usize, u64)> =
        (0..BATCHES).step_by(4).zip([0, 1, 2, 4, 6, 9, 13, 20].into_iter().cycle()).collect();
    let (server, ids) = post_all(&place, &kills);
    let api = Client::new(&server.base);
    for id in &ids {
        let batch = api.ended(id);
        assert_eq!(batch["status"], "SUCCEEDED", "{batch}");
        let outcomes = json!({"saved": 20, "unchanged": 0, "withdrawn": 0, "ignored": 0, "duplicate": 1, "invalid": 1, "failed": 0});
        assert_eq!(batch["outcomes"], outcomes, "{batch}");
    }
    check_done(&server);
    drop(server);
    assert!(contacts(&place) == contacts(&calm));
}

/// Fails unless there are as many batches as were posted, and each has ended well.
#[track_caller]
fn check_done(server: &Server) {
    let api = Client::new(&server.base);
    let batches = api.all("/batches", "batches");
    assert_eq!(batches.len(), BATCHES);
    for batch in batches {
        assert_eq!(api.ended(batch["batchId"].as_str().unwrap())["status"], "SUCCEEDED");
    }
    assert_eq!(api.all("/quarantine?limit=1000", "entries").len(), BATCHES);
}

#[test]
fn an_upload_that_arrived_is_done_after_a_kill() {
    let place = Place::new();
    for n in 0..5 {
        let mut server = Server::start(&place);
        let id = cases::upload(&Client::new(&server.base), "", &body(n));
        server.process.signal("KILL");
        server.process.wait();
        let server = Server::start(&place);
        let batch = Client::new(&server.base).ended(&id);
        assert_eq!(
            (&batch["status"], &batch["outcomes"]["saved"]),
            (&json!("SUCCEEDED"), &json!(20)),
            "{batch}"
        );
    }
    assert_eq!(contacts(&place).len(), 100);
}

/// A batch that is under way when the server is told to stop goes on at its next start.
#[test]
fn a_server_that_is_told_to_stop_ends_well() {
    for signal in ["TERM", "INT"] {
        let place = Place::new();
        let mut server = Server::start(&place);
        let api = Client::new(&server.base);
        let id = api.send("application/x-ndjson", people::ndjson(20_000).as_bytes());
        server.process.signal(signal);
        assert_eq!(server.process.wait().code(), Some(0), "{signal}");
        let server = Server::start(&place);
        let batch = Client::new(&server.base).ended(&id);
        assert_eq!(batch["outcomes"], json!(people::counts(&people::fates(20_000))));
    }
}

/// Two chunks.
const MANY: u64 = 30_000;

/// Interrupts `process` again and again, each time later, then lets it end: the outcomes and the contacts
/// are those of a run that nobody interrupted.
#[track_caller]
fn check_interrupted(signal: &str, code: i32) {
    let text = people::ndjson(MANY);
    let calm = Place::new();
    let file = calm.file("people", &text);
    let began = Instant::now();
    let expected = calm.process(&file);
    let time = began.elapsed();
    assert_eq!(expected["outcomes"], json!(people::counts(&people::fates(MANY))));

    let place = Place::new();
    let file = place.file("people", &text);
    let mut ended = None;
    for percent in [2, 15, 30, 50, 70, 85] {
        let mut command = place.command([Path::new("process"), Path::new("--json"), &file]);
        let output = place.path("output");
        command.stdout(fs::File::create(&output).unwrap()).stderr(Stdio::null());
        let mut process = Killed(command.spawn().unwrap());
        thread::sleep(time * percent / 100);
        process.signal(signal);
        let status = process.wait();
        // Some of its consent is not understood.
        if status.code() == Some(1) {
            // It was faster than the run before.
            ended = Some(serde_json::from_slice(&fs::read(output).unwrap()).unwrap());
            break;
        }
        // As a shell tells it, also where the signal came before the program could answer it.
        let told = status.code().or(status.signal().map(|signal| 128 + signal));
        assert_eq!(told, Some(code), "{signal} at {percent} %");
    }
    let found: Value = ended.unwrap_or_else(|| place.process(&file));
    assert_eq!(found["outcomes"], expected["outcomes"]);
    assert!(contacts(&place) == contacts(&calm));
    let batches = place.run(["executions", "--json"]).json();
    assert_eq!(batches.as_array().unwrap().len(), 1, "all of them were one batch");
    let invalid = place.run(["quarantine", "list", "--json"]).json();
    assert_eq!(invalid.as_array().unwrap().len() as u64, expected["outcomes"]["invalid"]);
}

#[test]
fn process_that_is_killed_goes_on() {
    check_interrupted("KILL", 137);
}

#[test]
fn process_that_is_interrupted_goes_on() {
    check_interrupted("INT", 130);
}

/// The same file again is another batch, in which nothing is new.
#[test]
fn the_same_file_twice_changes_nothing() {
    let place = Place::new();
    let file = place.file("people", people::ndjson(5_000));
    let first = place.process(&file);
    let stored = contacts(&place);
    let second = place.process(&file);
    assert_ne!(first["batchId"], second["batchId"]);
    let mut expected = people::counts(&people::fates(5_000));
    let saved = expected.insert("saved".to_owned(), 0).unwrap();
    expected.insert("unchanged".to_owned(), saved);
    assert_eq!(second["outcomes"], json!(expected));
    assert!(contacts(&place) == stored);
}

/// Three chunks: two are worked on at once, so the third is undecided when the first contact is stored.
const CROWD: u64 = 60_000;

/// How many contacts are stored.
fn stored(place: &Place) -> u64 {
    let path = place.data().join("crmflow.db");
    // The file may not be there yet, nor the table.
    let file = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
    file.and_then(|file| file.query_row("SELECT count(*) FROM contacts", [], |row| row.get(0))).unwrap_or(0)
}

/// Breaks an import off while it stores; gives its file and its batch.
#[track_caller]
fn broken_off(place: &Place, signal: &str) -> (PathBuf, String) {
    let file = place.file("crowd", people::ndjson(CROWD));
    let errors = place.path("errors");
    let mut command = place.command([Path::new("process"), &file]);
    command.stdout(Stdio::null()).stderr(fs::File::create(&errors).unwrap());
    let mut process = Killed(command.spawn().unwrap());
    until(|| (stored(place) > 0).then_some(()));
    process.signal(signal);
    assert!(!process.wait().success(), "it was faster than the signal");
    let batches = place.run(["batches", "--json"]).json();
    let id = batches[0]["batchId"].as_str().unwrap().to_owned();
    if signal == "INT" {
        let program = format!("{} --data {}", env!("CARGO_BIN_EXE_crmflow"), place.data().display());
        check_named(&fs::read_to_string(errors).unwrap(), &program, &id);
        assert_eq!(batches[0]["status"], "INTERRUPTED");
    }
    (file, id)
}

/// Fails unless both ways out are named, as a person types them.
#[track_caller]
fn check_named(said: &str, program: &str, id: &str) {
    for way in ["resume", "cancel"] {
        assert!(said.contains(&format!("`{program} batches {way} {id}`")), "{said}");
    }
}

/// No client was promised that it would be stored, so an interrupted import waits until its operator resumes it.
#[test]
fn an_interrupted_import_waits_for_its_operator() {
    for signal in ["INT", "KILL"] {
        let place = Place::new();
        let (_, id) = broken_off(&place, signal);
        let before = stored(&place);
        let server = Server::start(&place);
        let api = Client::new(&server.base);
        // The server works on what else there is.
        let other = api.send("application/json", &body(0));
        assert_eq!(api.ended(&other)["outcomes"]["saved"], 20);
        assert_eq!(api.show(&format!("/batches/{id}"))["status"], "INTERRUPTED");
        assert_eq!(stored(&place), before + 20);
        check_named(&fs::read_to_string(place.path("stderr")).unwrap(), "crmflow", &id);
        assert!(place.run(["batches"]).stdout.contains(&format!("{id}  INTERRUPTED")));
        place.run(["batches", "resume", &other]).check(1, &["has ended"]);
        let resumed = place.run(["batches", "resume", &id]);
        assert!(resumed.code == Some(0) && resumed.stdout.contains("is resumed"), "{resumed:?}");
        let ended = api.ended(&id);
        assert_eq!(ended["outcomes"], json!(people::counts(&people::fates(CROWD))), "{ended}");
        place.run(["batches", "cancel", &id]).check(1, &["has ended"]);
    }
}

/// What was stored stays, nothing more is, and each record has its outcome; the file is a new batch the next time.
#[test]
fn an_import_that_was_cancelled_stores_nothing_more() {
    for is_served in [false, true] {
        let place = Place::new();
        let (file, id) = broken_off(&place, if is_served { "KILL" } else { "INT" });
        let server = is_served.then(|| Server::start(&place));
        let cancelled = place.run(["batches", "cancel", &id]);
        assert!(cancelled.code == Some(0) && cancelled.stdout.contains("is cancelled"), "{cancelled:?}");
        let kept = stored(&place);
        let mut server = server.unwrap_or_else(|| Server::start(&place));
        let api = Client::new(&server.base);
        let batch = api.show(&format!("/batches/{id}"));
        assert_eq!((&batch["status"], &batch["received"]), (&json!("CANCELLED"), &json!(CROWD)), "{batch}");
        let outcomes = batch["outcomes"].as_object().unwrap();
        assert_eq!(outcomes.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), CROWD, "{batch}");
        assert_eq!(outcomes["saved"], kept, "{batch}");
        assert!(outcomes["cancelled"].as_u64().unwrap() > 0, "{batch}");
        let row = |index: u64| api.show(&format!("/batches/{id}/records/{index}"))["outcome"].clone();
        assert!((0..CROWD).step_by(997).any(|index| row(index) == "cancelled"));
        assert_eq!(stored(&place), kept);
        server.process.signal("TERM");
        server.process.wait();
        let again = place.process(&file);
        assert_ne!(again["batchId"], json!(id));
        assert_eq!(again["status"], "SUCCEEDED");
    }
}

/// As before, the same command goes on with the same batch, also when a server has seen it since.
#[test]
fn the_same_command_goes_on_with_what_it_began() {
    let place = Place::new();
    let (file, id) = broken_off(&place, "KILL");
    drop(Server::start(&place));
    let ended = place.process(&file);
    assert_eq!((&ended["batchId"], &ended["status"]), (&json!(id), &json!("SUCCEEDED")));
    assert_eq!(ended["outcomes"], json!(people::counts(&people::fates(CROWD))));
}

/// A batch that is small enough to go whole waits in the same way.
#[test]
fn a_small_import_is_resumed_or_cancelled_too() {
    for (way, outcome) in [("resume", "saved"), ("cancel", "cancelled")] {
        let place = Place::new();
        let slow = slow(&place, 3);
        let contact = json!([{ "name": "N", "email": "small@crash.example", "optIn": true }]);
        let file = place.file("small.json", contact.to_string());
        let command = [Path::new("--template"), &slow, Path::new("process"), &file];
        let mut process = Killed(place.command(command).stdout(Stdio::null()).spawn().unwrap());
        let batch = until(|| {
            let listed = place.run(["batches", "--json"]);
            let batches: Value = serde_json::from_str(&listed.stdout).ok()?;
            Some(batches[0]["batchId"].as_str()?.to_owned())
        });
        until(|| (place.run(["executions"]).stdout.contains(&batch)).then_some(()));
        process.signal("INT");
        assert_eq!(process.wait().code(), Some(130));
        place.run(["batches", way, &batch]).check(0, &[]);
        let listed = place.run(["batches", "--json"]).json();
        assert_eq!(listed[0]["outcomes"][outcome], 1, "{listed}");
        let place_has = stored(&place);
        assert_eq!(place_has, u64::from(way == "resume"));
    }
}
