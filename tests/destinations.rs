//! Destinations, made and changed while the program runs; what is hidden of them stays hidden.

use std::{fs, path::Path};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    http::Client,
    program::{Place, Server},
};

/// Requests in order, and what is answered to each.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// What no answer, log or listing may hold.
    #[serde(default)]
    hidden: Vec<String>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// `POST /destinations`
    request: String,
    #[serde(default)]
    body: Option<Value>,
    status: u16,
    /// What the answer holds, among other things.
    #[serde(default)]
    answer: Value,
    /// Members that it does not hold: JSON Pointers.
    #[serde(default)]
    without: Vec<String>,
    /// The pointers of its errors, in order.
    #[serde(default)]
    errors: Option<Vec<String>>,
}

/// A body that is refused: what is changed of one that would be taken, and what is said.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    body: Value,
    errors: Vec<(String, String)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    cases: Vec<Case>,
    refused: Vec<Refusal>,
}

fn cases() -> Cases {
    serde_json::from_str(include_str!("destinations.json")).unwrap()
}

#[test]
fn destinations_are_made_shown_changed_and_removed() {
    for case in cases().cases {
        check(&case);
    }
}

#[track_caller]
fn check(case: &Case) {
    let place = Place::new();
    let server = Server::start(&place);
    let api = Client::new(&server.base);
    let mut said = String::new();
    for step in &case.steps {
        let context = format!("{}: {}", case.name, step.request);
        let (method, path) = step.request.split_once(' ').unwrap();
        let answer = api.request(method, path, step.body.as_ref());
        assert_eq!(answer.status, step.status, "{context}: {answer:?}");
        assert!(holds(&answer.body, &step.answer), "{context}: {}", answer.body);
        for pointer in &step.without {
            assert_eq!(answer.body.pointer(pointer), None, "{context}: {pointer}");
        }
        if let Some(errors) = &step.errors {
            let found: Vec<_> = answer.body["errors"].as_array().unwrap().iter().collect();
            let found: Vec<_> = found.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
            assert_eq!(found, *errors, "{context}");
        }
        said.push_str(&answer.text);
    }
    drop(server);
    said.push_str(&logged(&place));
    for hidden in &case.hidden {
        assert!(!said.contains(hidden), "{}: {hidden} is shown", case.name);
    }
}

/// Whether `found` is `expected`, or has all of its members and perhaps more.
pub(crate) fn holds(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (_, Value::Null) => true,
        (Value::Object(found), Value::Object(expected)) => {
            expected.iter().all(|(name, value)| found.get(name).is_some_and(|found| holds(found, value)))
        }
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len() && found.iter().zip(expected).all(|(one, other)| holds(one, other))
        }
        (found, expected) => found == expected,
    }
}

/// All that the program wrote for people.
fn logged(place: &Place) -> String {
    // There are none so long as no function ran.
    let logs =
        fs::read_dir(place.data().join("logs")).into_iter().flatten().map(|entry| entry.unwrap().path());
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    logs.map(|path| read(&path)).chain([read(&place.path("stderr"))]).collect()
}

#[test]
fn what_is_wrong_with_a_destination_is_told_by_field() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = Client::new(&server.base);
    for Refusal { body, errors } in cases().refused {
        let mut whole =
            serde_json::json!({"destinationName": "a", "url": "https://a.example/", "type": "CDP"});
        for (name, value) in body.as_object().unwrap() {
            match value.as_str() {
                Some("(left out)") => drop(whole.as_object_mut().unwrap().remove(name)),
                _ => whole[name] = written_out(value),
            }
        }
        let answer = api.request("POST", "/destinations", Some(&whole));
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        let found = answer.body["errors"].as_array().unwrap();
        let text = |error: &Value, name: &str| error[name].as_str().unwrap().to_owned();
        let found: Vec<_> =
            found.iter().map(|error| (text(error, "pointer"), text(error, "message"))).collect();
        assert_eq!(found, errors, "{body}");
    }
    assert_eq!(api.show("/destinations")["destinations"], serde_json::json!([]));
}

/// A value with `(a times 3)` in its texts written out.
fn written_out(value: &Value) -> Value {
    let text = |text: &str| {
        let (front, rest) = text.split_once('(')?;
        let (unit, times) = rest.strip_suffix(')')?.split_once(" times ")?;
        Some(format!("{front}{}", unit.repeat(times.parse().ok()?)))
    };
    match value {
        Value::String(short) => text(short).unwrap_or_else(|| short.clone()).into(),
        Value::Array(items) => items.iter().map(written_out).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), written_out(value))).collect()
        }
        value => value.clone(),
    }
}

#[test]
fn a_secret_that_is_made_is_shown_once() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = Client::new(&server.base);
    let body = serde_json::json!({"destinationName": "a", "url": "https://a.example/", "type": "CDP", "secret": true});
    let made = api.request("POST", "/destinations", Some(&body)).body;
    let rotated = api.request("PUT", "/destinations/a", Some(&body)).body;
    let (first, second) =
        (made["destination"]["secret"].as_str().unwrap(), rotated["secret"].as_str().unwrap());
    assert_ne!(first, second);
    assert_eq!(rotated["secrets"], 2);
    let shown = api.get("/destinations/a").text + &api.get("/destinations").text;
    drop(server);
    for secret in [first, second] {
        assert_eq!(secret.strip_prefix("whsec_").unwrap().len(), 44, "the base64 of 32 bytes");
        assert!(!(shown.clone() + &logged(&place)).contains(secret));
    }
}
