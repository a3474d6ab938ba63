//! Events in: what each door takes, what it refuses, and what it answers.

use std::collections::BTreeMap;

use kernel::objects;
use serde::Deserialize;
use serde_json::Value;

use crate::harness::{
    http::{Answer, Client, encoded, until},
    program::{Place, Server},
    stack::deployed,
};

/// A request, and its answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    method: Option<String>,
    request: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Option<Value>,
    /// A body to the letter; `<N>` stands for N letters.
    #[serde(default)]
    text: Option<String>,
    /// The body has a text of so many letters in its metadata.
    #[serde(default)]
    padded: usize,
    /// The body stands in a list, so many times.
    #[serde(default)]
    times: Option<usize>,
    /// That list stands in an object, by this name.
    #[serde(default)]
    wrapped: Option<String>,
    #[serde(default)]
    gzip: bool,
    status: u16,
    /// The whole answer; `<uuid>` stands for one.
    #[serde(default)]
    answer: Option<Value>,
    /// In place of an answer: the kind of its problem.
    #[serde(default, rename = "type")]
    problem: Option<String>,
    /// Headers of the answer; null: it does not have it.
    #[serde(default)]
    has: BTreeMap<String, Option<String>>,
    /// By id, what `GET /events/{messageId}` says later, among other things; of members that are null: nothing.
    #[serde(default)]
    becomes: BTreeMap<String, Value>,
}

impl Case {
    fn bytes(&self) -> Vec<u8> {
        let text = match &self.text {
            Some(text) => [20_000, 300_000]
                .iter()
                .fold(text.clone(), |text, &count| text.replace(&format!("<{count}>"), &"x".repeat(count))),
            None => self.json(),
        };
        if self.gzip { objects::gzip(text.as_bytes()) } else { text.into_bytes() }
    }

    fn json(&self) -> String {
        let mut body = self.body.clone().unwrap_or_default();
        if self.padded > 0 {
            body["metadata"] = serde_json::json!({ "pad": "x".repeat(self.padded) });
        }
        if let Some(times) = self.times {
            body = Value::Array(vec![body; times]);
        }
        if let Some(name) = &self.wrapped {
            body = serde_json::json!({ name: body });
        }
        body.to_string()
    }
}

/// The same on the stack that is named, or on this machine.
#[test]
fn what_each_door_answers() {
    if let Some(stack) = deployed() {
        let api = Client::new(&stack.base);
        for mut case in cases(&stack.run) {
            if let Some(reason) = stack.skipped.get(&case.name) {
                println!("skipped: {}: {reason}", case.name);
                continue;
            }
            if let (Some(segment), true) = (&stack.segment, case.request.starts_with("/v1/")) {
                case.request.insert_str(0, segment);
            }
            check(&api, &case);
        }
        return;
    }
    let place = Place::new();
    let server = Server::start(&place);
    let api = Client::new(&server.base);
    cases("1").iter().for_each(|case| check(&api, case));
    drop(server);
    // What is wrong with an event is told without what it says, and so is what is logged.
    let said = std::fs::read_to_string(place.path("stderr")).unwrap();
    assert!(!said.contains("secret-") && !said.contains("d3JpdGU"), "{said}");
}

/// `{run}` in a case stands for what no run had before.
fn cases(run: &str) -> Vec<Case> {
    serde_json::from_str(&include_str!("ingest.json").replace("{run}", run)).unwrap()
}

#[track_caller]
fn check(api: &Client, case: &Case) {
    let mut headers: Vec<(&str, &str)> =
        case.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    if !case.headers.contains_key("content-type") {
        headers.push(("content-type", "application/json"));
    }
    let answer = match &case.method {
        Some(method) => api.request(method, &case.request, None),
        None => api.post(&case.request, &headers, &case.bytes()),
    };
    assert_eq!(answer.status, case.status, "{}: {answer:?}", case.name);
    if let Some(expected) = &case.answer {
        assert_eq!(masked(&answer.body), *expected, "{}", case.name);
    }
    if let Some(kind) = &case.problem {
        assert_eq!(answer.body["type"], format!("urn:crmflow:problem:{kind}"), "{}", case.name);
    }
    for (name, expected) in &case.has {
        let found = header(&answer, name).map(|text| masked(&text.into()).as_str().unwrap().to_owned());
        assert_eq!(found, *expected, "{}: {name}", case.name);
    }
    for (id, expected) in &case.becomes {
        let path = format!("/events/{}", encoded(id));
        // Until it is routed it is stored, and until it is stored it is not known.
        let undecided = |answer: &Answer| answer.status == 404 || answer.body["outcome"] == "stored";
        let found = until(|| Some(api.get(&path)).filter(|answer| !undecided(answer))).body;
        assert!(holds(&found, expected), "{}: {id}: {found}", case.name);
    }
}

/// Whether `found` is `expected`, or has all of its members and perhaps more; none where null is expected.
fn holds(found: &Value, expected: &Value) -> bool {
    match expected {
        Value::Object(members) => members.iter().all(|(name, value)| match value {
            Value::Null => found.get(name).is_none(),
            _ => found.get(name).is_some_and(|found| holds(found, value)),
        }),
        _ => found == expected,
    }
}

fn header(answer: &Answer, name: &str) -> Option<String> {
    answer.headers.get(name).map(|value| value.to_str().unwrap().to_owned())
}

/// A value with `<uuid>` in place of UUIDs (version 7), at the end of a text too.
fn masked(value: &Value) -> Value {
    match value {
        Value::String(text) => match text.len().checked_sub(36).and_then(|at| text.split_at_checked(at)) {
            Some((before, id)) if is_uuid(id) => format!("{before}<uuid>").into(),
            _ => value.clone(),
        },
        Value::Array(items) => items.iter().map(masked).collect(),
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), masked(value))).collect(),
        _ => value.clone(),
    }
}

fn is_uuid(text: &str) -> bool {
    text.bytes().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        14 => byte == b'7',
        19 => b"89ab".contains(&byte),
        _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
    })
}
