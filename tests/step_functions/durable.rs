//! A STANDARD execution outlives the process: what it had finished is not done again, and what it waited for
//! it waits for still.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    harness::{
        http::{Client, until},
        program::{Place, Server},
    },
    step_functions::calls::call,
};

const STATES: &str = "arn:aws:states:local:000000000000:";

/// Calls the Step Functions endpoint.
#[track_caller]
fn ask(server: &Server, operation: &str, with: &Value) -> Value {
    let answer = call(&Client::new(&server.step_functions), operation, with.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{operation}: {answer:?}");
    answer.body
}

#[track_caller]
fn create(server: &Server, name: &str, definition: &Value) {
    let role = "arn:aws:iam::000000000000:role/r";
    let machine = json!({ "name": name, "definition": definition.to_string(), "roleArn": role });
    ask(server, "CreateStateMachine", &machine);
}

/// How often each type of event is in the history.
fn history(server: &Server, arn: &str) -> Vec<String> {
    let events = ask(server, "GetExecutionHistory", &json!({ "executionArn": arn, "maxResults": 1000 }));
    let kind = |event: &Value| event["type"].as_str().unwrap().to_owned();
    events["events"].as_array().unwrap().iter().map(kind).collect()
}

/// Waits until the history has so many events of a kind.
fn wait_for(server: &Server, arn: &str, kind: &str, count: usize) {
    until(|| (history(server, arn).iter().filter(|event| *event == kind).count() >= count).then_some(()));
}

fn kill(place: &Place, mut server: Server) -> Server {
    server.process.signal("KILL");
    server.process.wait();
    Server::start(place)
}

#[test]
fn a_finished_task_is_not_run_again() {
    let place = Place::new();
    let execution = json!({ "name": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "startedAt": "2026-01-01T00:00:00Z" });
    let event = json!({ "input": [{ "name": "no address" }], "execution": execution });
    let file = place.file("event.json", event.to_string());
    let sorted = place.run([Path::new("invoke"), Path::new("ValidateSchema"), Path::new("-e"), &file]).json();

    let log = "arn:aws:lambda:local:000000000000:function:LogSchemaErrorsFunction";
    let log = json!({ "Type": "Task", "Resource": log, "Next": "Pause" });
    let pause = json!({ "Type": "Wait", "Seconds": 1, "End": true });
    let processor = json!({ "StartAt": "Log", "States": { "Log": log, "Pause": pause } });
    let line =
        "{% $replace($states.input.lines, '\"index\":0', '\"index\":' & $states.context.Map.Item.Index) %}";
    let records = json!({ "count": 1, "lines": line });
    let selector = json!({ "batch": sorted["batch"], "records": records });
    let map = json!({
        "Type": "Map", "Items": [0, 1, 2, 3], "MaxConcurrency": 1, "ItemSelector": selector,
        "ItemProcessor": processor, "Output": "all logged", "End": true,
    });
    let definition = json!({ "QueryLanguage": "JSONata", "StartAt": "All", "States": { "All": map } });

    let mut server = Server::start(&place);
    create(&server, "logs", &definition);
    let machine = format!("{STATES}stateMachine:logs");
    let start = json!({ "stateMachineArn": machine, "name": "one", "input": sorted["invalid"].to_string() });
    let started = ask(&server, "StartExecution", &start);
    let arn = started["executionArn"].as_str().unwrap();
    for iteration in [1, 3] {
        wait_for(&server, arn, "WaitStateEntered", iteration);
        server = kill(&place, server);
    }
    let ended = until(|| {
        let described = ask(&server, "DescribeExecution", &json!({ "executionArn": arn }));
        (described["status"] != "RUNNING").then_some(described)
    });
    assert_eq!(
        (&ended["status"], &ended["output"]),
        (&json!("SUCCEEDED"), &json!("\"all logged\"")),
        "{ended}"
    );
    assert_eq!(ended["startDate"], started["startDate"]);
    let events = history(&server, arn);
    for (kind, count) in [("ExecutionStarted", 1), ("LambdaFunctionScheduled", 4), ("WaitStateExited", 4)] {
        assert_eq!(events.iter().filter(|event| *event == kind).count(), count, "{kind}: {events:?}");
    }
    let logged = place.run(["logs", "-n", "LogSchemaErrors"]).stdout;
    for index in 0..4 {
        assert_eq!(logged.matches(&format!("record {index} of batch")).count(), 1, "{logged}");
    }
}

/// A name is one execution, and a 2xx is a promise, also when the answer never came.
#[test]
fn what_was_started_is_there_after_a_kill() {
    let place = Place::new();
    let mut server = Server::start(&place);
    let definition = json!({ "QueryLanguage": "JSONata", "StartAt": "W", "States": { "W": { "Type": "Wait", "Seconds": 600, "End": true } } });
    create(&server, "waits", &definition);
    let start = json!({ "stateMachineArn": format!("{STATES}stateMachine:waits"), "name": "w" });
    let first = ask(&server, "StartExecution", &start);
    server = kill(&place, server);
    assert_eq!(ask(&server, "StartExecution", &start), first);
    let arn = json!({ "executionArn": first["executionArn"], "error": "Enough" });
    ask(&server, "StopExecution", &arn);
    server = kill(&place, server);
    let described = ask(&server, "DescribeExecution", &json!({ "executionArn": first["executionArn"] }));
    assert_eq!((&described["status"], &described["error"]), (&json!("ABORTED"), &json!("Enough")));

    // Whoever has the folder redrives it; it waits again, from the start.
    drop(server);
    let arn = first["executionArn"].as_str().unwrap();
    let mut redrive = place.command(["executions", "redrive", arn]);
    let mut process = crate::harness::program::Killed(redrive.spawn().unwrap());
    until(|| (place.run(["execution", arn, "--json"]).json()["status"] == "RUNNING").then_some(()));
    process.signal("KILL");
    process.wait();
    let shown = place.run(["execution", arn, "--json"]).json();
    assert_eq!(shown["redriveCount"], 1);
    let kinds: Vec<_> = shown["events"].as_array().unwrap().iter().map(|event| &event["type"]).collect();
    assert_eq!(kinds, ["ExecutionStarted", "WaitStateEntered", "ExecutionAborted", "ExecutionRedriven"]);
    place.run(["executions", "redrive", arn]).check(1, &["RUNNING and cannot be redriven"]);
}

/// A data folder of the first layout, whose executions had no journal: what ran starts anew.
#[test]
fn an_older_folder_is_taken_over() {
    let place = Place::new();
    std::fs::create_dir_all(place.data()).unwrap();
    let file = rusqlite::Connection::open(place.data().join("crmflow.db")).unwrap();
    let input = r#"[{"name": "Ann", "email": "ann@example.com", "optIn": true}]"#;
    let arn = |name: &str| format!("{STATES}execution:RecordsStateMachine:{name}");
    let (old, left) = (arn("01ARZ3NDEKTSV4RRFFQ69G5FAU"), arn("01ARZ3NDEKTSV4RRFFQ69G5FAV"));
    file.execute_batch(&format!(
        "CREATE TABLE executions (
           arn TEXT PRIMARY KEY, machine TEXT NOT NULL, name TEXT NOT NULL, status TEXT NOT NULL,
           input TEXT NOT NULL, output TEXT, error TEXT, cause TEXT,
           started_at TEXT NOT NULL, stopped_at TEXT, history TEXT NOT NULL DEFAULT '[]'
         ) WITHOUT ROWID;
         CREATE INDEX executions_by_start ON executions (started_at DESC);
         CREATE INDEX executions_running ON executions (status) WHERE status = 'RUNNING';
         INSERT INTO executions VALUES ('{old}', 'RecordsStateMachine', '01ARZ3NDEKTSV4RRFFQ69G5FAU', 'FAILED',
           '{input}', NULL, 'Bad', NULL, '2026-01-01T00:00:00Z', '2026-01-01T00:00:01Z', '[]');
         INSERT INTO executions VALUES ('{left}', 'RecordsStateMachine', '01ARZ3NDEKTSV4RRFFQ69G5FAV', 'RUNNING',
           '{input}', NULL, NULL, NULL, '2026-01-02T00:00:00Z', NULL, '[]');
         PRAGMA user_version = 1;"
    ))
    .unwrap();
    drop(file);
    let server = Server::start(&place);
    let ended = until(|| {
        let described = ask(&server, "DescribeExecution", &json!({ "executionArn": left }));
        (described["status"] != "RUNNING").then_some(described)
    });
    assert_eq!(ended["status"], "SUCCEEDED", "{ended}");
    assert!(history(&server, &left).contains(&"LambdaFunctionSucceeded".to_owned()));
    let kept = ask(&server, "DescribeExecution", &json!({ "executionArn": old }));
    let members = [&kept["status"], &kept["error"], &kept["redriveStatus"]];
    assert_eq!(members, ["FAILED", "Bad", "NOT_REDRIVABLE"]);
    assert!(history(&server, &old).is_empty());
}

/// How many contacts are in a copy of the database file alone.
#[track_caller]
fn copied(place: &Place) -> u32 {
    let copy = place.path("copy.db");
    std::fs::copy(place.data().join("crmflow.db"), &copy).unwrap();
    let copied = rusqlite::Connection::open(&copy).unwrap();
    copied.query_row("SELECT count(*) FROM contacts", [], |row| row.get(0)).unwrap()
}

/// S15: whoever copies `crmflow.db` after a clean end has everything.
#[test]
fn after_a_clean_end_the_database_file_is_whole() {
    let place = Place::new();
    let contacts = |from: u32| -> Value {
        let contact = |n| json!({ "name": "N", "email": format!("n{n}@whole.example"), "optIn": true });
        (from..from + 10).map(contact).collect()
    };
    place.process(&place.file("ten.json", contacts(0).to_string()));
    assert_eq!(copied(&place), 10, "a command has ended");
    for (signal, from) in [("TERM", 10), ("INT", 20)] {
        let mut server = Server::start(&place);
        let api = Client::new(&server.base);
        let id = api.send("application/json", contacts(from).to_string().as_bytes());
        assert_eq!(api.ended(&id)["status"], "SUCCEEDED");
        server.process.signal(signal);
        assert_eq!(server.process.wait().code(), Some(0));
        assert_eq!(copied(&place), from + 10, "a server was told to stop by {signal}");
    }
}
