//! The machines while storage throttles and calls end without an answer, in virtual time.

use std::fs;

use serde_json::{Value, json};

use crate::{harness::program::Place, records::failures::root};

/// A state's answers: each with the calls that it answers.
type Answers<'a> = &'a [(&'a str, Value)];

fn definition(file: &str) -> Value {
    let text = fs::read_to_string(root().join("statemachines").join(file)).unwrap();
    let function = "arn:aws:lambda:us-east-1:123456789012:function:";
    serde_json::from_str(&text.replace("${FunctionPrefix}", function)).unwrap()
}

fn thrown(error: &str) -> Value {
    json!({ "Throw": { "Error": error, "Cause": "" } })
}

/// How an execution goes whose states answer so: status, path, error.
fn run(definition: &Value, states: &[(&str, Answers)]) -> (String, Vec<String>, Value) {
    let place = Place::new();
    let machine = place.file("machine.json", definition.to_string());
    let case: Value = states
        .iter()
        .map(|(state, _)| ((*state).to_owned(), json!(state)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let answers =
        |given: Answers| given.iter().map(|(calls, it)| ((*calls).to_owned(), it.clone())).collect();
    let responses: serde_json::Map<String, Value> =
        states.iter().map(|(state, given)| ((*state).to_owned(), Value::Object(answers(given)))).collect();
    let mock = json!({ "StateMachines": { "machine": { "TestCases": { "T": case } } }, "MockedResponses": responses });
    let mock = place.file("mock.json", mock.to_string());
    let input = place.file("input.json", json!({ "batch": {}, "records": {} }).to_string());
    let option = |name: &'static str| std::ffi::OsStr::new(name);
    let ended = place.run([
        option("states"),
        option("run"),
        machine.as_os_str(),
        option("--mock"),
        mock.as_os_str(),
        option("--input"),
        input.as_os_str(),
        option("--json"),
    ]);
    let run: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    let path = run["path"].as_array().unwrap().iter().map(|state| state.as_str().unwrap().to_owned());
    (run["status"].as_str().unwrap().to_owned(), path.collect(), run["error"].clone())
}

/// The flow of contacts, PutOptIns answering so.
fn contacts(put_opt_ins: Answers) -> (String, Vec<String>, Value) {
    let list = |count: u64| json!({ "count": count });
    let validated = json!({ "batch": {}, "received": 1, "valid": list(1), "invalid": list(0) });
    let unique = json!({ "optedIn": list(1), "optedOut": list(0), "events": list(0), "part": {} });
    let once = |result: Value| [("0", json!({ "Return": result }))];
    run(
        &definition("records.asl.json"),
        &[
            ("ValidateSchema", &once(validated)),
            ("RemoveDuplicates", &once(unique)),
            ("PutOptIns", put_opt_ins),
            ("Summarize", &once(json!({}))),
            ("QuarantineRecords", &once(json!({}))),
        ],
    )
}

fn done() -> Value {
    json!({ "Return": { "part": {} } })
}

#[test]
fn minutes_of_throttling_fail_no_batch() {
    for error in ["OutOfTime", "StorageUnavailable", "Lambda.TooManyRequestsException"] {
        let (status, path, _) = contacts(&[("0-11", thrown(error)), ("12", done())]);
        assert_eq!((status.as_str(), path.last().unwrap().as_str()), ("SUCCEEDED", "Summarize"), "{error}");
    }
}

#[test]
fn a_call_that_died_fails_no_batch() {
    for error in ["Lambda.Unknown", "Runtime.ExitError", "Sandbox.Timedout", "States.Timeout"] {
        let (status, ..) = contacts(&[("0-1", thrown(error)), ("2", done())]);
        assert_eq!(status, "SUCCEEDED", "{error}");
        let (status, path, _) = contacts(&[("0-2", thrown(error))]);
        assert_eq!(status, "FAILED", "{error}");
        assert!(path.iter().any(|state| state == "QuarantineRecords"), "{error}: {path:?}");
    }
}

/// The machine of a chunk, whose executions end so.
fn chunk(executions: Answers) -> (String, Vec<String>, Value) {
    let mut definition = definition("batch.asl.json")["States"]["RunChunks"]["ItemProcessor"].take();
    definition.as_object_mut().unwrap().remove("ProcessorConfig");
    definition["QueryLanguage"] = "JSONata".into();
    run(&definition, &[("RunRecords", executions)])
}

fn ended(status: &str) -> Value {
    json!({ "Return": { "Status": status } })
}

#[test]
fn a_chunk_that_timed_out_is_gone_on_with() {
    let (status, path, _) = chunk(&[("0-1", ended("TIMED_OUT")), ("2", ended("SUCCEEDED"))]);
    assert_eq!(status, "SUCCEEDED");
    let again = ["RunRecords", "HasEnded", "WaitForCalls", "MayTryAgain"];
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    assert_eq!(path, [&again[..], &again, &["RunRecords", "HasEnded", "ChunkEnded"]].concat());
    // Its records are in quarantine: it is not run again.
    let (status, path, _) = chunk(&[("0", ended("FAILED"))]);
    assert_eq!((status.as_str(), path.len()), ("SUCCEEDED", 3));
}

#[test]
fn an_endless_chunk_is_given_up_after_its_calls() {
    let (status, path, error) = chunk(&[("0-99", ended("TIMED_OUT"))]);
    assert_eq!((status.as_str(), error), ("FAILED", json!("ChunkTimedOut")));
    let behind: Vec<&str> = path.iter().rev().take(3).map(String::as_str).collect();
    assert_eq!(behind, ["ChunkTimedOut", "MayTryAgain", "WaitForCalls"]);
}
