//! `tasks.json` through the endpoint of `crmflow serve`; README.md says what a case holds.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    cases,
    failures::{root, template},
    http::Client,
    program::{Place, Server},
    step_functions::call,
};

/// Tasks, one after the other, each in a machine of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    calls: Vec<Task>,
}

/// A task, and what the machine ends with. `<any>` in a text stands for any text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Task {
    resource: String,
    arguments: Value,
    #[serde(default)]
    result: Value,
    #[serde(default)]
    error: Value,
    #[serde(default)]
    cause: Value,
}

/// A queue that the template of the repository has no need for.
const QUEUE: &str = "
Resources:
  Ordered:
    Type: AWS::SQS::Queue
    Properties: {FifoQueue: true, ContentBasedDeduplication: true}
";

fn is_like(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::String(wanted), Value::String(found)) => is_like_text(wanted, found),
        (Value::Object(wanted), Value::Object(found)) => {
            let member = |(name, wanted): (&String, &Value)| {
                found.get(name).is_some_and(|found| is_like(wanted, found))
            };
            wanted.len() == found.len() && wanted.iter().all(member)
        }
        (Value::Array(wanted), Value::Array(found)) => {
            wanted.len() == found.len()
                && wanted.iter().zip(found).all(|(wanted, found)| is_like(wanted, found))
        }
        (wanted, found) => wanted == found,
    }
}

fn is_like_text(wanted: &str, found: &str) -> bool {
    let Some((start, rest)) = wanted.split_once("<any>") else { return wanted == found };
    let tails = |text: &str| {
        (0..=text.len())
            .filter(|at| text.is_char_boundary(*at))
            .map(|at| text[at..].to_owned())
            .collect::<Vec<_>>()
    };
    found.strip_prefix(start).is_some_and(|found| tails(found).iter().any(|tail| is_like_text(rest, tail)))
}

/// Runs a machine of one state; what it ended with, in the form of a task's expectations.
fn run(sfn: &Client, task: &Task) -> Value {
    let state =
        json!({ "Type": "Task", "Resource": task.resource, "Arguments": task.arguments, "End": true });
    let definition = json!({ "QueryLanguage": "JSONata", "StartAt": "Ask", "States": { "Ask": state } });
    let role = "arn:aws:iam::000000000000:role/r";
    let machine =
        json!({ "name": "Tasks", "type": "EXPRESS", "definition": definition.to_string(), "roleArn": role });
    let made = call(sfn, "CreateStateMachine", machine.to_string().as_bytes());
    assert_eq!(made.status, 200, "{made:?}");
    let arn = json!({ "stateMachineArn": made.body["stateMachineArn"] });
    let ended = call(sfn, "StartSyncExecution", arn.to_string().as_bytes()).body;
    assert_eq!(call(sfn, "DeleteStateMachine", arn.to_string().as_bytes()).status, 200);
    let result: Value =
        ended["output"].as_str().map(|output| serde_json::from_str(output).unwrap()).unwrap_or_default();
    json!({ "result": result, "error": ended["error"], "cause": ended["cause"] })
}

#[test]
fn tasks_give_what_they_give_on_aws() {
    let cases: Vec<Case> = cases::read(&root().join("tests/tasks.json"), "1");
    let place = Place::new();
    let template = template(&place, |text| text.replace("\nResources:\n", QUEUE));
    let server = Server::start_with(&place, ["--template", template.to_str().unwrap()]);
    let sfn = Client::new(&server.step_functions);
    for case in &cases {
        for task in &case.calls {
            let found = run(&sfn, task);
            let Task { resource, result, error, cause, .. } = task;
            let wanted = json!({ "result": result, "error": error, "cause": cause });
            assert!(
                is_like(&wanted, &found),
                "{}: {resource}: wanted {wanted:#}, found {found:#}",
                case.name
            );
        }
    }
}

/// What was sent and put is there for people to see, and after a restart.
#[test]
fn what_tasks_left_can_be_looked_at() {
    let place = Place::new();
    let server = Server::start(&place);
    let sfn = Client::new(&server.step_functions);
    let queue = "https://sqs.local.amazonaws.com/000000000000/UploadedDeadLetters";
    let ask = |resource: &str, arguments: Value| {
        let task = Task {
            resource: resource.into(),
            arguments,
            result: Value::Null,
            error: Value::Null,
            cause: Value::Null,
        };
        run(&sfn, &task)["result"].clone()
    };
    let sent = ask(
        "arn:aws:states:::sqs:sendMessage",
        json!({ "QueueUrl": queue, "MessageBody": { "a": 1 }, "MessageAttributes": { "k": { "DataType": "String", "StringValue": "v" } } }),
    );
    ask(
        "arn:aws:states:::sqs:sendMessage",
        json!({ "QueueUrl": queue, "MessageBody": "later", "DelaySeconds": 600 }),
    );
    let event = json!({ "Source": "tasks", "DetailType": "Done", "Detail": { "a": 1 } });
    let put = ask("arn:aws:states:::events:putEvents", json!({ "Entries": [event] }));
    assert_eq!(put["FailedEntryCount"], 0);
    server.process.signal("KILL");
    drop(server);
    let database = rusqlite::Connection::open(place.data().join("crmflow.db")).unwrap();
    let resources = "SELECT resources FROM events_log WHERE source = 'tasks' AND detail = '{\"a\":1}'";
    let resources: String = database.query_row(resources, [], |row| row.get(0)).unwrap();
    let resources: Vec<String> = serde_json::from_str(&resources).unwrap();
    assert!(
        resources[0].contains(":Tasks:") && resources[1].ends_with(":stateMachine:Tasks"),
        "{resources:?}"
    );
    let mut list = place.run(["queues", "list", "--json"]).json();
    let list = list.as_array_mut().unwrap();
    let described: Map<_, _> =
        list.iter_mut().map(|queue| (queue["queue"].as_str().unwrap().to_owned(), queue.take())).collect();
    let full = &described["UploadedDeadLetters"];
    assert_eq!((full["messages"].as_u64(), full["delayed"].as_u64()), (Some(2), Some(1)), "{full}");
    let shown = place.run(["queues", "show", "UploadedDeadLetters", "--json"]).json();
    assert_eq!(shown[0]["messageId"], sent["MessageId"]);
    assert_eq!(shown[0]["body"], r#"{"a":1}"#);
    assert_eq!(shown[0]["messageAttributes"]["k"]["StringValue"], "v");
    let text = place.run(["queues", "show", "UploadedDeadLetters", "--limit", "1"]).stdout;
    assert!(text.contains(r#"{"a":1}"#) && !text.contains("later"), "{text}");
    assert!(place.run(["queues", "list"]).stdout.contains("2 messages, 1 delayed  UploadedDeadLetters"));
    place.run(["queues", "show", "Nothing"]).check(2, &["no queue Nothing"]);
}
