//! What tasks make and wait for: there once, answered and stopped, whatever is killed.

use std::{thread, time::Duration};

use serde_json::{Value, json};

use crate::{
    harness::{
        http::{Client, until},
        program::{Place, Server},
    },
    step_functions::tasks::{STATES, ask, database, ended, machine, make, start},
};

/// What waits `seconds`, and then succeeds.
fn slow(seconds: u32) -> Value {
    json!({ "StartAt": "W", "States": { "W": { "Type": "Wait", "Seconds": seconds, "End": true } } })
}

fn executions(sfn: &Client, machine: &Value) -> Vec<Value> {
    let mut listed = ask(sfn, "ListExecutions", &json!({ "stateMachineArn": machine, "maxResults": 1000 }));
    listed["executions"].as_array_mut().unwrap().drain(..).collect()
}

/// The one execution of a machine, once it is there.
fn only(sfn: &Client, machine: &Value) -> Value {
    until(|| executions(sfn, machine).first().cloned())["executionArn"].take()
}

#[test]
fn an_abandoned_child_execution_is_stopped() {
    let place = Place::new();
    let server = Server::start(&place);
    let sfn = Client::new(&server.step_functions);
    let child = make(&sfn, "Child", "STANDARD", &slow(600));
    let arguments = json!({ "StateMachineArn": child });
    let parent =
        make(&sfn, "Parent", "STANDARD", &machine("arn:aws:states:::states:startExecution.sync", &arguments));
    let waiting = start(&sfn, &parent, "p");
    let execution = only(&sfn, &child);
    ask(&sfn, "StopExecution", &json!({ "executionArn": waiting }));
    let stopped = ended(&sfn, &execution);
    assert_eq!(stopped["status"], "ABORTED", "{stopped}");
    let cause = stopped["cause"].as_str().unwrap();
    assert!(
        cause.contains(&format!("[{STATES}execution:Parent:p]")) && cause.ends_with("was aborted"),
        "{cause}"
    );
}

/// A machine leaves a token in a queue; who takes it from there answers, after a restart too.
#[test]
fn a_token_that_went_into_a_queue_is_answered() {
    let place = Place::new();
    let server = Server::start(&place);
    let sfn = Client::new(&server.step_functions);
    let queue = "https://sqs.local.amazonaws.com/000000000000/UploadedDeadLetters";
    let body = json!({ "token": "{% $states.context.Task.Token %}" });
    let arguments = json!({ "QueueUrl": queue, "MessageBody": body });
    let asks = make(
        &sfn,
        "Asks",
        "STANDARD",
        &machine("arn:aws:states:::sqs:sendMessage.waitForTaskToken", &arguments),
    );
    let waiting = start(&sfn, &asks, "a");
    let message = until(|| {
        let messages = place.run(["queues", "show", "UploadedDeadLetters", "--json"]).json();
        messages[0]["body"].as_str().map(|body| serde_json::from_str::<Value>(body).unwrap())
    });
    let is_submitted = || {
        let history = ask(&sfn, "GetExecutionHistory", &json!({ "executionArn": waiting }));
        history["events"]
            .as_array()
            .unwrap()
            .iter()
            .any(|event| event["type"] == "TaskSubmitted")
            .then_some(())
    };
    until(is_submitted);
    server.process.signal("KILL");
    drop(server);
    let server = Server::start(&place);
    let sfn = Client::new(&server.step_functions);
    ask(&sfn, "SendTaskSuccess", &json!({ "taskToken": message["token"], "output": "7" }));
    let found = ended(&sfn, &waiting);
    assert_eq!(
        (found["status"].as_str(), found["output"].as_str()),
        (Some("SUCCEEDED"), Some("7")),
        "{found}"
    );
}

/// Twenty branches at once send a message, put an event, start an execution and wait for it. Killed at several
/// moments, each of these is there once, and all end well.
#[test]
fn what_tasks_make_is_there_once_whatever_is_killed() {
    const BRANCHES: usize = 20;
    for delay in [0, 5, 20, 60, 400] {
        let place = Place::new();
        let server = Server::start(&place);
        let sfn = Client::new(&server.step_functions);
        let child = make(&sfn, "Child", "STANDARD", &slow(1));
        let task = |resource: &str, arguments: Value, next: &str| {
            let resource = format!("arn:aws:states:::{resource}");
            let way = if next.is_empty() { ("End", json!(true)) } else { ("Next", json!(next)) };
            json!({ "Type": "Task", "Resource": resource, "Arguments": arguments, way.0: way.1 })
        };
        let queue = "https://sqs.local.amazonaws.com/000000000000/UploadedDeadLetters";
        let event = json!({ "Source": "tasks", "DetailType": "Done", "Detail": {} });
        let states = json!({
            "Send": task("sqs:sendMessage", json!({ "QueueUrl": queue, "MessageBody": "m" }), "Put"),
            "Put": task("events:putEvents", json!({ "Entries": [event] }), "Ask"),
            "Ask": task("states:startExecution.sync:2", json!({ "StateMachineArn": child }), ""),
        });
        let each = json!({
            "Type": "Map", "Items": (0..BRANCHES).collect::<Vec<_>>(), "End": true,
            "ItemProcessor": { "StartAt": "Send", "States": states },
            "Output": "{% $count($states.result[Status = 'SUCCEEDED']) %}",
        });
        let definition = json!({ "QueryLanguage": "JSONata", "StartAt": "Each", "States": { "Each": each } });
        let parent = make(&sfn, "Parent", "STANDARD", &definition);
        let waiting = start(&sfn, &parent, "p");
        thread::sleep(Duration::from_millis(delay));
        server.process.signal("KILL");
        drop(server);
        let server = Server::start(&place);
        let sfn = Client::new(&server.step_functions);
        let found = ended(&sfn, &waiting);
        assert_eq!(
            (found["status"].as_str(), found["output"].as_str()),
            (Some("SUCCEEDED"), Some("20")),
            "{found}"
        );
        assert_eq!(executions(&sfn, &child).len(), BRANCHES, "killed after {delay} ms");
        for table in ["queue_messages", "events_log"] {
            let count: usize = database(&place)
                .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
                .unwrap();
            assert_eq!(count, BRANCHES, "{table}, killed after {delay} ms");
        }
    }
}
