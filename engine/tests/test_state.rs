//! Tests of single states, as by AWS's TestState. Each file in `test_state/` has the cases of one feature.
//!
//! A case shows the JSON texts of the request and of the answer as JSON.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use states::{
    Entry, Failure, Input, StateTest, TestSite, TestStateAnswer, TestStateError, TestStateRequest, Value,
    test_state,
};

#[test]
fn states_are_tested_as_recorded() {
    let mut differences = String::new();
    for (name, case) in all() {
        if let Some((expected, found)) = difference(&case) {
            differences.push_str(&format!("\n{name}\n  expected {expected}\n  found    {found}\n"));
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

/// Replaces every part of every request by unsuitable values.
#[test]
fn no_request_panics() {
    for (_, case) in all() {
        let request = &case["request"];
        for place in places(request) {
            for odd in [
                json!(null),
                json!(0),
                json!(-1.5),
                json!(""),
                json!("$.a.b"),
                json!([]),
                json!({ "a": [1] }),
            ] {
                let mut request = request.clone();
                *request.pointer_mut(&place).unwrap() = odd;
                // The test's requests to its host and its clock do not matter here.
                if let Some(request) = written(&request) {
                    let _ = start_test(&request).map(|test| test.answer());
                }
            }
        }
    }
}

/// Every case, by its file's name and its own.
fn all() -> Vec<(String, Json)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/test_state");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let cases = files.into_iter().flat_map(|file| {
        let cases: Vec<Json> = serde_json::from_str(&std::fs::read_to_string(&file).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let named = |case: Json| (format!("{}: {}", file.file_stem().unwrap().display(), case["name"]), case);
        cases.into_iter().map(named).collect::<Vec<_>>()
    });
    cases.collect()
}

/// A JSON Pointer to every value below the top.
fn places(value: &Json) -> Vec<String> {
    let below = |(name, value): (String, &Json)| {
        let name = name.replace('~', "~0").replace('/', "~1");
        let deeper = places(value).into_iter().map(|place| format!("/{name}{place}")).collect::<Vec<_>>();
        [format!("/{name}")].into_iter().chain(deeper)
    };
    match value {
        Json::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), value)).flat_map(below).collect()
        }
        Json::Array(items) => {
            items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).flat_map(below).collect()
        }
        _ => Vec::new(),
    }
}

/// The expected and the found answer, if they differ.
fn difference(case: &Json) -> Option<(Json, Json)> {
    let found = match answer(&case["request"], case.get("task")) {
        Ok(answer) => readable(&answer),
        Err(error) => json!({ "refused": error.name(), "why": error.message() }),
    };
    (found != case["expect"]).then(|| (case["expect"].clone(), found))
}

fn answer(request: &Json, task: Option<&Json>) -> Result<TestStateAnswer, TestStateError> {
    let mut test = start_test(&written(request).unwrap())?;
    for _ in 0..2 {
        if let Some(answer) = test.answer() {
            return answer;
        }
        step_test(&mut test, task, now());
    }
    panic!("the test does not end")
}

fn start_test(request: &TestStateRequest) -> Result<StateTest, TestStateError> {
    let site = TestSite { arn: "arn:aws:states:eu-west-1:000000000000".into(), seed: 1 };
    test_state(request, &site, &runnable, now())
}

fn now() -> Timestamp {
    "2026-11-21T08:00:00Z".parse().unwrap()
}

/// Runs the task, or advances the clock.
fn step_test(test: &mut StateTest, task: Option<&Json>, now: Timestamp) {
    let (asked, due) = (test.task(), test.next_due());
    let entry = match (asked, task) {
        (Some(asked), Some(task)) => {
            let result = match task.get("error") {
                Some(error) => Err(Failure::new(error.as_str().unwrap(), "it failed")),
                None => Ok(Value::parse(&task.to_string()).unwrap()),
            };
            Entry { at: now, inputs: vec![Input::TaskDone { task: asked.id, result }] }
        }
        _ => Entry { at: due.unwrap(), inputs: Vec::new() },
    };
    test.step(&entry);
}

fn runnable(resource: &str) -> Result<(), String> {
    if resource.contains("unknown") { Err("there is no such function".into()) } else { Ok(()) }
}

/// The request in its form on the wire.
fn written(request: &Json) -> Option<TestStateRequest> {
    let mut request = request.clone();
    let text = |place: Option<&mut Json>| {
        if let Some(value) = place.filter(|value| !value.is_string()) {
            *value = value.to_string().into();
        }
    };
    for field in ["definition", "input", "context", "variables"] {
        text(request.get_mut(field));
    }
    text(request.pointer_mut("/mock/result"));
    text(request.pointer_mut("/stateConfiguration/mapItemReaderData"));
    serde_json::from_value(request).ok()
}

/// The answer with its JSON texts parsed.
fn readable(answer: &TestStateAnswer) -> Json {
    let mut answer = serde_json::to_value(answer).unwrap();
    let read = |value: &mut Json| {
        if let Some(text) = value.as_str() {
            *value = serde_json::from_str(text).unwrap();
        }
    };
    answer.get_mut("output").map(read);
    let data = answer.get_mut("inspectionData").and_then(Json::as_object_mut);
    data.into_iter().flat_map(|data| data.values_mut()).for_each(read);
    answer
}
