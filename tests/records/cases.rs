//! Runs `cases/*.json` through `crmflow serve`, or through a deployed stack if there is one.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    case::{Batch, Case, Contact, Entry, Row},
    dry_run,
};
use crate::{
    events::flow,
    harness::{
        http::{Client, encoded, until},
        program::{Place, Server},
        stack::{Stack, deployed},
    },
};

/// Where cases are played.
pub(crate) struct Stage<'a> {
    pub(crate) api: Client,
    /// The data folder's, where it is on this machine: then the path of states can be seen.
    pub(crate) place: Option<&'a Place>,
    /// The Step Functions endpoint, where it is on this machine.
    pub(crate) sfn: Option<Client>,
}

impl<'a> Stage<'a> {
    /// A server on this machine.
    pub(crate) fn local(place: &'a Place, server: &Server) -> Self {
        Self {
            api: Client::new(&server.base),
            place: Some(place),
            sfn: Some(Client::new(&server.step_functions)),
        }
    }

    #[track_caller]
    fn stored(&self, event: &flow::Stored) -> flow::Stored {
        let stored = if self.place.is_some() { flow::stored } else { flow::stored_at_last };
        stored(&self.api, event)
    }
}

/// The cases of a file, whose addresses belong to this run alone.
#[track_caller]
pub(crate) fn read<T: for<'a> Deserialize<'a>>(file: &Path, run: &str) -> T {
    let text = fs::read_to_string(file).unwrap().replace("{run}", run);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Plays a case, and fails unless everything went as it says.
#[track_caller]
pub(crate) fn check(stage: &Stage<'_>, case: &Case) {
    flow::make(&stage.api, &case.destinations);
    let found = Case {
        name: case.name.clone(),
        destinations: case.destinations.clone(),
        batches: case.batches.iter().map(|batch| play(stage, batch)).collect(),
        events: case.events.iter().map(|event| stage.stored(event)).collect(),
        contacts: case.contacts.iter().map(|contact| stored(&stage.api, contact)).collect(),
        unknown: case.unknown.iter().filter(|email| is_unknown(&stage.api, email)).cloned().collect(),
    };
    let [expected, found] = [case, &found].map(|case| serde_json::to_string_pretty(case).unwrap());
    assert!(expected == found, "{}\n{}", case.name, differences(&expected, &found));
}

fn differences(expected: &str, found: &str) -> String {
    let (expected, found): (Vec<_>, Vec<_>) = (expected.lines().collect(), found.lines().collect());
    let same = expected.iter().zip(&found).take_while(|(a, b)| a == b).count();
    let from = same.saturating_sub(12);
    let show = |lines: &[&str]| lines[from..lines.len().min(same + 25)].join("\n");
    format!("expected:\n{}\nfound:\n{}", show(&expected), show(&found))
}

/// Sends a batch, and says what became of it in the words of the case.
#[track_caller]
fn play(stage: &Stage<'_>, batch: &Batch) -> Batch {
    let api = &stage.api;
    if let Some(events) = &batch.events {
        return play_events(stage, batch, events);
    }
    let body = body(batch);
    let query = &batch.query;
    // No step of a dry run fails because a test makes it fail, and a deployed stack has no dry runs.
    if stage.place.is_some()
        && !batch.upload
        && !batch.outcomes.contains_key("failed")
        && body.len() <= dry_run::MAX_BODY_BYTES
    {
        dry_run::check_case(api, batch, &body);
    }
    let id = if batch.upload {
        upload(api, query, &body)
    } else {
        api.send_to(&format!("/records{query}"), &batch.media, &body)
    };
    let ended = api.ended(&id);
    let outcomes: BTreeMap<String, u64> = serde_json::from_value(ended["outcomes"].clone()).unwrap();
    let received = ended["received"].as_u64().unwrap_or(0);
    assert_eq!(outcomes.values().sum::<u64>(), received, "outcomes add up: {ended}");
    let rows = all_rows(api, &id, received);
    let outcomes: BTreeMap<_, _> = outcomes.into_iter().filter(|(_, count)| *count > 0).collect();
    let mut counted = BTreeMap::<String, u64>::new();
    for row in rows.values() {
        *counted.entry(row.outcome.clone()).or_default() += 1;
    }
    assert_eq!(counted, outcomes, "the rows say what the counts say");
    Batch {
        status: ended["status"].as_str().unwrap().to_owned(),
        path: match stage.place {
            Some(place) => path(place, ended["executionArn"].as_str().unwrap()),
            None => batch.path.clone(),
        },
        outcomes,
        rows: rows.into_iter().filter(|(index, _)| batch.rows.contains_key(index)).collect(),
        quarantine: quarantine(api, &id, batch),
        ..batch.clone()
    }
}

/// Sends events to the flow, as the consumer of their queue does.
#[track_caller]
fn play_events(stage: &Stage<'_>, batch: &Batch, events: &RawValue) -> Batch {
    let (Some(place), Some(sfn)) = (stage.place, &stage.sfn) else {
        flow::post(&stage.api, events);
        return batch.clone();
    };
    let played = flow::play(sfn, place, events);
    let outcomes: Option<BTreeMap<String, u64>> = serde_json::from_value(played.outcomes).unwrap();
    Batch {
        status: played.status,
        path: played.path,
        outcomes: outcomes.unwrap_or_default().into_iter().filter(|(_, count)| *count > 0).collect(),
        quarantine: quarantine(&stage.api, &played.request, batch),
        ..batch.clone()
    }
}

fn body(batch: &Batch) -> Vec<u8> {
    if let Some(text) = &batch.text {
        return text.clone().into_bytes();
    }
    let list = batch.records.as_ref().unwrap().get();
    let records = list.strip_prefix('[').and_then(|list| list.strip_suffix(']')).unwrap();
    format!("[{}]", vec![records; batch.times].join(",")).into_bytes()
}

/// Sends a batch as a file of its own; its id.
#[track_caller]
pub(crate) fn upload(api: &Client, query: &str, body: &[u8]) -> String {
    let opened = api.post(&format!("/uploads{query}"), &[], b"");
    assert_eq!(opened.status, 201, "{opened:?}");
    assert_eq!(opened.body["method"], "PUT");
    let put = api.put(opened.body["uploadUrl"].as_str().unwrap(), body);
    assert_eq!(put.status, 200, "{put:?}");
    opened.body["batchId"].as_str().unwrap().to_owned()
}

#[track_caller]
fn all_rows(api: &Client, batch: &str, received: u64) -> BTreeMap<u64, Row> {
    let rows = api.all(&format!("/batches/{batch}/records?limit=1000"), "records");
    assert_eq!(rows.len() as u64, received, "every record has a row");
    rows.into_iter()
        .map(|row| (row["index"].as_u64().unwrap(), serde_json::from_value(row).unwrap()))
        .collect()
}

/// The states that an execution entered, once it has ended.
#[track_caller]
pub(crate) fn path(place: &Place, arn: &str) -> Vec<String> {
    let whole = until(|| {
        let whole = place.run(["execution", arn, "--json"]).json();
        (!whole["stopDate"].is_null()).then_some(whole)
    });
    let events = whole["events"].as_array().unwrap().iter();
    let entered = events.filter(|event| event["type"].as_str().unwrap().ends_with("StateEntered"));
    let name = |event: &Value| event["stateEnteredEventDetails"]["name"].as_str().unwrap().to_owned();
    entered.map(name).collect()
}

#[track_caller]
fn quarantine(api: &Client, id: &str, batch: &Batch) -> BTreeMap<u64, Entry> {
    // What a destination did not take is there a moment later.
    let entries = until(|| {
        let entries = api.all(&format!("/quarantine?batch={id}&all=true"), "entries");
        (entries.len() >= batch.quarantine.len()).then_some(entries)
    });
    entries
        .iter()
        .map(|entry| {
            let index = entry["index"].as_u64().unwrap();
            let asked = batch.quarantine.get(&index);
            let faults = entry["faults"].as_array().unwrap().iter();
            let text = |fault: &Value, name: &str| fault[name].as_str().unwrap().to_owned();
            let found = Entry {
                error_type: entry["errorType"].as_str().unwrap().to_owned(),
                faults: faults.map(|fault| (text(fault, "pointer"), text(fault, "rule"))).collect(),
                line: asked.and_then(|asked| asked.line).and(entry["line"].as_u64()),
                raw: asked.and_then(|asked| asked.raw.as_ref()).and_then(|_| raw(api, id, index)),
            };
            (index, found)
        })
        .collect()
}

/// A record in quarantine, to the letter.
#[track_caller]
fn raw(api: &Client, id: &str, index: u64) -> Option<String> {
    #[derive(Deserialize)]
    struct Page {
        entries: Vec<Kept>,
    }
    #[derive(Deserialize)]
    struct Kept {
        index: u64,
        record: Option<Box<RawValue>>,
        text: Option<String>,
        base64: Option<String>,
    }
    let page = api.get(&format!("/quarantine?batch={id}&all=true&limit=1000"));
    let page: Page = serde_json::from_str(&page.text).unwrap();
    let Kept { record, text, base64, .. } = page.entries.into_iter().find(|kept| kept.index == index)?;
    record.map(|record| record.get().to_owned()).or(text).or(base64)
}

#[track_caller]
fn stored(api: &Client, contact: &Contact) -> Contact {
    #[derive(Deserialize)]
    struct Extra {
        extra: Option<Box<RawValue>>,
    }
    let answer = api.get(&format!("/contacts/{}", encoded(&contact.email)));
    if answer.status != 200 {
        return Contact { name: format!("GET answers {}", answer.status), ..Contact::default() };
    }
    let Extra { extra } = serde_json::from_str(&answer.text).unwrap();
    let found = &answer.body;
    Contact {
        email: found["email"].as_str().unwrap().to_owned(),
        name: found["name"].as_str().unwrap().to_owned(),
        opt_in: found["optIn"].as_bool().unwrap(),
        interests: serde_json::from_value(found["interests"].clone()).unwrap(),
        extra: extra.map(|extra| extra.get().to_owned()),
        history: found["history"].as_array().unwrap().len(),
    }
}

#[track_caller]
fn is_unknown(api: &Client, email: &str) -> bool {
    api.get(&format!("/contacts/{}", encoded(email))).status == 404
}

/// S2-028: the same cases, on the stack that is named, or on this machine.
#[test]
fn cases() {
    let mut files: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let deployed = deployed();
    for file in files {
        match &deployed {
            Some(stack) => play_deployed(stack, &file),
            None => {
                let place = Place::new();
                let server = Server::start(&place);
                let stage = Stage::local(&place, &server);
                play_all(&stage, &file, "1");
                check_nothing_else_is_stored(&stage.api, &file);
            }
        }
    }
}

pub(crate) fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/records/cases")
}

/// Plays the cases of a file on a stack, but for those that it is known not to be able to.
#[track_caller]
fn play_deployed(stack: &Stack, file: &Path) {
    let stage = Stage { api: Client::new(&stack.base), place: None, sfn: None };
    for case in read::<Vec<Case>>(file, &stack.run) {
        match stack.skipped.get(&case.name) {
            Some(reason) => println!("skipped: {}: {reason}", case.name),
            None => check(&stage, &case),
        }
    }
}

#[track_caller]
fn play_all(stage: &Stage<'_>, file: &Path, run: &str) {
    for case in read::<Vec<Case>>(file, run) {
        check(stage, &case);
    }
}

/// Who is stored is who the cases of the file say, and nobody else.
#[track_caller]
fn check_nothing_else_is_stored(api: &Client, file: &Path) {
    let cases: Vec<Case> = read(file, "1");
    let mut expected: Vec<_> =
        cases.into_iter().flat_map(|case| case.contacts).map(|contact| contact.email).collect();
    let found = api.all("/contacts?optIn=all&limit=7", "contacts");
    let mut found: Vec<_> = found.iter().map(|contact| contact["email"].as_str().unwrap()).collect();
    expected.sort();
    found.sort_unstable();
    assert_eq!(found, expected, "{}", file.display());
}
