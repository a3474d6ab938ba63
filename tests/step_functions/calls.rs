//! `step_functions/*.json` through the endpoint of `crmflow serve`; README.md says what a case holds.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    harness::{
        http::{Answer, Client, until},
        program::{Place, Server},
    },
    records::{cases, failures::root},
};

/// Calls, one after the other.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    calls: Vec<Call>,
}

/// A call, and what it is answered with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    call: String,
    #[serde(default)]
    with: Value,
    /// Members of the answer.
    #[serde(default = "nothing")]
    gives: Value,
    /// Members that the answer does not have.
    #[serde(default)]
    lacks: Vec<String>,
    /// The error's name, in place of an answer.
    fails: Option<String>,
    /// The error's text.
    says: Option<String>,
    /// What of the answer is kept for later calls: names, and JSON Pointers.
    #[serde(default)]
    keeps: BTreeMap<String, String>,
    /// Called again until it gives what it must.
    #[serde(default)]
    again: bool,
}

fn nothing() -> Value {
    json!({})
}

/// The front of every ARN of this host.
pub(crate) const STATES: &str = "arn:aws:states:local:000000000000:";

pub(crate) fn call(sfn: &Client, operation: &str, body: &[u8]) -> Answer {
    let target = format!("AWSStepFunctions.{operation}");
    let headers = [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", target.as_str())];
    sfn.post("/", &headers, body)
}

/// Puts what was kept where it is named, and texts where a call wants JSON as a text.
fn filled(value: &Value, kept: &BTreeMap<String, Value>) -> Value {
    match value {
        Value::String(text) => {
            let whole = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
            if let Some(found) = whole.and_then(|name| kept.get(name)) {
                return found.clone();
            }
            let times = whole.and_then(|whole| whole.strip_prefix("x * ")?.parse().ok());
            times.map_or_else(|| text.replace("{states}", STATES), |times| "x".repeat(times)).into()
        }
        Value::Array(list) => list.iter().map(|value| filled(value, kept)).collect(),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| (name.clone(), filled(value, kept)));
            Value::Object(members.collect())
        }
        other => other.clone(),
    }
}

fn request(with: &Value, kept: &BTreeMap<String, Value>) -> Value {
    let mut body = filled(with, kept);
    if body.is_null() {
        return json!({});
    }
    for name in ["definition", "input", "output", "context", "variables"] {
        if body[name].is_object() || body[name].is_array() {
            body[name] = Value::from(body[name].to_string());
        }
    }
    body
}

/// The first place where what was found is not what is wanted. Objects may have more members; lists may not.
fn differs(at: &str, wanted: &Value, found: &Value) -> Option<String> {
    let is_same = match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            let member = |(name, wanted): (&String, &Value)| {
                differs(&format!("{at}/{name}"), wanted, found.get(name).unwrap_or(&Value::Null))
            };
            return wanted.iter().find_map(member);
        }
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            let member = |(index, (wanted, found))| differs(&format!("{at}/{index}"), wanted, found);
            return wanted.iter().zip(found).enumerate().find_map(member);
        }
        (Value::Object(_) | Value::Array(_), Value::String(text)) => {
            let parsed = serde_json::from_str(text).unwrap_or_default();
            return differs(at, wanted, &parsed);
        }
        (Value::String(kind), _) if kind == "<text>" => found.is_string(),
        (Value::String(kind), _) if kind == "<time>" => found.as_f64().is_some_and(|at| at > 1.7e9),
        _ => wanted == found,
    };
    (!is_same).then(|| format!("{at}: wanted {wanted}, found {found}"))
}

/// What is wrong with an answer.
fn fault(step: &Call, answer: &Answer, kept: &BTreeMap<String, Value>) -> Option<String> {
    let kind = answer.body["__type"].as_str().and_then(|kind| kind.split_once('#')).map(|(_, kind)| kind);
    if kind != step.fails.as_deref() || (answer.status == 200) != step.fails.is_none() {
        return Some(format!("wanted {:?}", step.fails));
    }
    if let Some(said) = &step.says {
        let text = answer.body["message"].as_str().or(answer.body["Message"].as_str());
        return differs("message", &filled(&json!(said), kept), &json!(text));
    }
    let extra = step.lacks.iter().find(|name| answer.body.get(name).is_some());
    extra.map(|name| format!("has {name}")).or_else(|| differs("", &filled(&step.gives, kept), &answer.body))
}

#[track_caller]
fn check(file: &str) {
    let cases: Vec<Case> = cases::read(&root().join("tests/step_functions").join(file), "1");
    let place = Place::new();
    let server = Server::start(&place);
    let sfn = Client::new(&server.step_functions);
    for case in &cases {
        let mut kept = BTreeMap::new();
        for (index, step) in case.calls.iter().enumerate() {
            let body = request(&step.with, &kept);
            let mut answer = call(&sfn, &step.call, body.to_string().as_bytes());
            if step.again {
                answer = until(|| {
                    let answer = call(&sfn, &step.call, body.to_string().as_bytes());
                    fault(step, &answer, &kept).is_none().then_some(answer)
                });
            }
            if let Some(fault) = fault(step, &answer, &kept) {
                panic!("{file}: {}: call {index} {}: {fault}\n{}", case.name, step.call, answer.text);
            }
            for (name, pointer) in &step.keeps {
                let found =
                    answer.body.pointer(pointer).unwrap_or_else(|| panic!("no {pointer}: {answer:?}"));
                kept.insert(name.clone(), found.clone());
            }
        }
    }
}

#[test]
fn machines_are_made_changed_listed_and_deleted() {
    check("machines.json");
}

#[test]
fn definitions_that_cannot_be_run_are_refused() {
    check("definitions.json");
}

#[test]
fn executions_are_started_described_and_listed() {
    check("executions.json");
}

#[test]
fn executions_are_stopped_redriven_and_deleted() {
    check("control.json");
}

#[test]
fn tasks_are_answered_by_token() {
    check("tasks.json");
}

#[test]
fn map_runs_are_told_of_and_changed() {
    check("map_runs.json");
}

#[test]
fn express_machines_answer_at_once() {
    check("express.json");
}

#[test]
fn constraints_are_told_in_the_words_of_aws() {
    check("constraints.json");
}

#[test]
fn a_state_is_tested_alone() {
    check("test_state.json");
}

#[test]
fn activities_and_tags_are_kept() {
    check("activities.json");
    check("tags.json");
}

/// What is no call at all has AWS's answer too, and the server goes on.
#[test]
fn what_is_no_call() {
    let place = Place::new();
    let server = Server::start(&place);
    let sfn = Client::new(&server.step_functions);
    let json = ("content-type", "application/x-amz-json-1.0");
    let list = ("x-amz-target", "AWSStepFunctions.ListStateMachines");
    let large = format!("{{\"a\":\"{}\"}}", "a".repeat(9 * 1024 * 1024));
    let deep = "[".repeat(100_000);
    type Headers<'a> = &'a [(&'a str, &'a str)];
    let refused: [(Headers<'_>, &[u8], u16, &str); 11] = [
        (&[json, ("x-amz-target", "AWSStepFunctions.Dance")], b"{}", 400, "UnknownOperationException"),
        (&[json, ("x-amz-target", "DynamoDB_20120810.ListTables")], b"{}", 400, "UnknownOperationException"),
        (&[json], b"{}", 400, "UnknownOperationException"),
        (&[list, ("content-type", "text/plain")], b"{}", 400, "UnknownOperationException"),
        (&[json, list], b"", 400, "SerializationException"),
        (&[json, list], b"{", 400, "SerializationException"),
        (&[json, list], b"[]", 400, "SerializationException"),
        (&[json, list], b"\xff\xfe", 400, "SerializationException"),
        (&[json, list], b"{\"maxResults\": \"1\"}", 400, "SerializationException"),
        (&[json, list], deep.as_bytes(), 400, "SerializationException"),
        (&[json, list], large.as_bytes(), 413, "RequestEntityTooLargeException"),
    ];
    for (headers, body, status, name) in refused {
        // A server that has read enough of a body may hang up before it was all sent.
        let Ok(answer) = sfn.try_post("/", headers, body) else { continue };
        let kind = answer.body["__type"].as_str().unwrap_or_default();
        assert!(answer.status == status && kind.ends_with(&format!("#{name}")), "{headers:?}: {answer:?}");
    }
    let sfn = Client::new(&server.step_functions);
    assert_eq!(sfn.get("/").body["__type"], "com.amazon.coral.service#UnknownOperationException");
    let answer = call(&sfn, "ListStateMachines", b"{}");
    assert_eq!(answer.headers["content-type"], "application/x-amz-json-1.0");
    assert_eq!(answer.body["stateMachines"].as_array().map(Vec::len), Some(4), "{answer:?}");
}

pub(crate) fn ask(sfn: &Client, operation: &str, body: Value) -> Value {
    let answer = call(sfn, operation, body.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{operation}: {answer:?}");
    answer.body
}

fn make(sfn: &Client, name: &str, states: &Value) -> Value {
    let definition = json!({ "StartAt": "A", "QueryLanguage": "JSONata", "States": states }).to_string();
    let role = "arn:aws:iam::000000000000:role/r";
    let tags = json!([{ "key": "k", "value": "v" }]);
    ask(
        sfn,
        "CreateStateMachine",
        json!({ "name": name, "definition": definition, "roleArn": role, "tags": tags }),
    )
}

/// An execution as it is described once it has ended.
fn ended(sfn: &Client, execution: &Value) -> Value {
    until(|| {
        let found = ask(sfn, "DescribeExecution", json!({ "executionArn": execution }));
        (found["status"] != "RUNNING").then_some(found)
    })
}

fn killed(place: &Place, server: Server) -> (Server, Client) {
    server.process.signal("KILL");
    drop(server);
    let server = Server::start(place);
    let sfn = Client::new(&server.step_functions);
    (server, sfn)
}

/// What was answered survives `kill -9`: machines, tags, executions.
#[test]
fn a_restart_forgets_nothing() {
    let place = Place::new();
    let server = Server::start(&place);
    let sfn = Client::new(&server.step_functions);
    let made = make(
        &sfn,
        "kept",
        &json!({
            "A": { "Type": "Wait", "Seconds": 1, "Next": "B" },
            "B": { "Type": "Pass", "Output": "{% $states.input.n + 1 %}", "End": true },
        }),
    );
    let machine = &made["stateMachineArn"];
    let started = ask(&sfn, "StartExecution", json!({ "stateMachineArn": machine, "input": "{\"n\": 1}" }));
    let (_server, sfn) = killed(&place, server);
    let described = ask(&sfn, "DescribeStateMachine", json!({ "stateMachineArn": machine }));
    assert_eq!(described["creationDate"], made["creationDate"]);
    let tags = ask(&sfn, "ListTagsForResource", json!({ "resourceArn": machine }));
    assert_eq!(tags["tags"], json!([{ "key": "k", "value": "v" }]));
    let execution = ended(&sfn, &started["executionArn"]);
    assert_eq!(execution["startDate"], started["startDate"]);
    assert_eq!((&execution["status"], &execution["output"]), (&json!("SUCCEEDED"), &json!("2")));
}

/// A task that a worker has taken is not handed out again, and its token is good after a `kill -9`; what was
/// answered is not asked for again.
#[test]
fn a_token_outlives_a_restart() {
    let place = Place::new();
    let server = Server::start(&place);
    let sfn = Client::new(&server.step_functions);
    let activity = ask(&sfn, "CreateActivity", json!({ "name": "work" }))["activityArn"].clone();
    let states = json!({
        "A": { "Type": "Task", "Resource": activity, "Next": "B" },
        "B": { "Type": "Task", "Resource": activity, "End": true },
    });
    let machine = make(&sfn, "two", &states)["stateMachineArn"].clone();
    let started = ask(&sfn, "StartExecution", json!({ "stateMachineArn": machine }));
    let taken = ask(&sfn, "GetActivityTask", json!({ "activityArn": activity, "workerName": "w" }));
    until(|| {
        let events = ask(&sfn, "GetExecutionHistory", json!({ "executionArn": started["executionArn"] }));
        events.to_string().contains("ActivityStarted").then_some(())
    });
    let (server, sfn) = killed(&place, server);
    ask(&sfn, "SendTaskSuccess", json!({ "taskToken": taken["taskToken"], "output": "1" }));
    let (_server, sfn) = killed(&place, server);
    let late = json!({ "taskToken": taken["taskToken"], "output": "2" }).to_string();
    let again = call(&sfn, "SendTaskSuccess", late.as_bytes());
    assert!(again.text.contains("TaskTimedOut"), "{again:?}");
    let taken = ask(&sfn, "GetActivityTask", json!({ "activityArn": activity, "workerName": "w" }));
    assert_eq!(taken["input"], "1");
    ask(&sfn, "SendTaskSuccess", json!({ "taskToken": taken["taskToken"], "output": "3" }));
    assert_eq!(ended(&sfn, &started["executionArn"])["output"], "3");
}

/// A worker that waits for a task does not keep the program from ending.
#[test]
fn a_worker_is_sent_away_when_the_program_ends() {
    let place = Place::new();
    let mut server = Server::start(&place);
    let sfn = Client::new(&server.step_functions);
    let activity = ask(&sfn, "CreateActivity", json!({ "name": "idle" }))["activityArn"].clone();
    let worker = std::thread::spawn(move || ask(&sfn, "GetActivityTask", json!({ "activityArn": activity })));
    std::thread::sleep(std::time::Duration::from_millis(300));
    let began = std::time::Instant::now();
    server.process.signal("TERM");
    assert_eq!(server.process.wait().code(), Some(0));
    assert!(began.elapsed().as_secs() < 5);
    assert!(worker.join().unwrap()["taskToken"].is_null());
}
