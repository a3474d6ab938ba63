//! `tasks.json` through the endpoint of `crmflow serve`; README.md says what a case holds.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    harness::{
        http::{Client, until},
        program::{Place, Server},
    },
    records::{
        cases,
        failures::{root, template},
    },
    step_functions::calls::call,
};

/// Tasks, one after the other, each in a machine of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// STANDARD machines that are there before, by name.
    #[serde(default)]
    machines: Map<String, Value>,
    calls: Vec<Task>,
}

/// A task, and what the machine ends with. `<any>` in a text stands for any text, `<number>` for any number.
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
        (Value::String(wanted), Value::Number(_)) => wanted == "<number>",
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

pub(crate) const STATES: &str = "arn:aws:states:local:000000000000:";

/// What a call that must be taken is answered.
#[track_caller]
pub(crate) fn ask(sfn: &Client, operation: &str, with: &Value) -> Value {
    let answer = call(sfn, operation, with.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{operation} {with}: {answer:?}");
    answer.body
}

/// Makes a machine; its ARN.
#[track_caller]
pub(crate) fn make(sfn: &Client, name: &str, kind: &str, definition: &Value) -> Value {
    let (role, definition) = ("arn:aws:iam::000000000000:role/r", definition.to_string());
    let machine = json!({ "name": name, "type": kind, "definition": definition, "roleArn": role });
    ask(sfn, "CreateStateMachine", &machine)["stateMachineArn"].take()
}

/// Starts an execution of a STANDARD machine; its ARN.
#[track_caller]
pub(crate) fn start(sfn: &Client, machine: &Value, name: &str) -> Value {
    ask(sfn, "StartExecution", &json!({ "stateMachineArn": machine, "name": name }))["executionArn"].take()
}

/// An execution as it ended.
pub(crate) fn ended(sfn: &Client, arn: &Value) -> Value {
    until(|| {
        let described = ask(sfn, "DescribeExecution", &json!({ "executionArn": arn }));
        (described["status"] != "RUNNING").then_some(described)
    })
}

/// A machine of one state.
pub(crate) fn machine(resource: &str, arguments: &Value) -> Value {
    let state = json!({ "Type": "Task", "Resource": resource, "Arguments": arguments, "End": true });
    json!({ "QueryLanguage": "JSONata", "StartAt": "Ask", "States": { "Ask": state } })
}

/// Runs a machine of one state; what it ended with, in the form of a task's expectations.
#[track_caller]
fn run(sfn: &Client, resource: &str, arguments: &Value) -> Value {
    let standard = resource.ends_with(".sync") || resource.ends_with(".sync:2");
    let kind = if standard { "STANDARD" } else { "EXPRESS" };
    let arn = make(sfn, "Tasks", kind, &machine(resource, arguments));
    let of_machine = json!({ "stateMachineArn": arn });
    let ended = if standard {
        let execution = ask(sfn, "StartExecution", &of_machine)["executionArn"].take();
        ended(sfn, &execution)
    } else {
        ask(sfn, "StartSyncExecution", &of_machine)
    };
    delete(sfn, &arn);
    let output = ended["output"].as_str().map(|output| serde_json::from_str::<Value>(output).unwrap());
    json!({ "result": output, "error": ended["error"], "cause": ended["cause"] })
}

/// Deletes a machine, and waits until its name is free.
fn delete(sfn: &Client, arn: &Value) {
    let of_machine = json!({ "stateMachineArn": arn });
    ask(sfn, "DeleteStateMachine", &of_machine);
    let body = of_machine.to_string();
    until(|| (call(sfn, "DescribeStateMachine", body.as_bytes()).status != 200).then_some(()));
}

#[test]
fn tasks_give_what_they_give_on_aws() {
    let cases: Vec<Case> = cases::read(&root().join("tests/step_functions/task_results.json"), "1");
    let place = Place::new();
    let template = template(&place, |text| text.replace("\nResources:\n", QUEUE));
    let server = Server::start_with(&place, ["--template", template.to_str().unwrap()]);
    let sfn = Client::new(&server.step_functions);
    for case in &cases {
        let machines = case.machines.iter();
        let made: Vec<Value> =
            machines.map(|(name, definition)| make(&sfn, name, "STANDARD", definition)).collect();
        for Task { resource, arguments, result, error, cause } in &case.calls {
            let found = run(&sfn, resource, arguments);
            let wanted = json!({ "result": result, "error": error, "cause": cause });
            assert!(
                is_like(&wanted, &found),
                "{}: {resource}: wanted {wanted:#}, found {found:#}",
                case.name
            );
        }
        made.iter().for_each(|arn| delete(&sfn, arn));
    }
}

/// What was sent and put is there for people to see, and after a restart.
#[test]
fn what_tasks_left_can_be_looked_at() {
    let place = Place::new();
    let server = Server::start(&place);
    let sfn = Client::new(&server.step_functions);
    let queue = "https://sqs.local.amazonaws.com/000000000000/UploadedDeadLetters";
    let result = |resource: &str, arguments: Value| run(&sfn, resource, &arguments)["result"].take();
    let sent = result(
        "arn:aws:states:::sqs:sendMessage",
        json!({ "QueueUrl": queue, "MessageBody": { "a": 1 }, "MessageAttributes": { "k": { "DataType": "String", "StringValue": "v" } } }),
    );
    result(
        "arn:aws:states:::sqs:sendMessage",
        json!({ "QueueUrl": queue, "MessageBody": "later", "DelaySeconds": 600 }),
    );
    let event = json!({ "Source": "tasks", "DetailType": "Done", "Detail": { "a": 1 } });
    let put = result("arn:aws:states:::events:putEvents", json!({ "Entries": [event] }));
    assert_eq!(put["FailedEntryCount"], 0);
    server.process.signal("KILL");
    drop(server);
    let resources = "SELECT resources FROM events_log WHERE source = 'tasks' AND detail = '{\"a\":1}'";
    let resources: String = database(&place).query_row(resources, [], |row| row.get(0)).unwrap();
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

/// A machine of the template names queue, table, bucket and function as it does on AWS.
#[test]
fn a_machine_of_the_template_asks_what_it_is_given() {
    const MACHINE: &str = "
Resources:
  AskingStateMachine:
    Type: AWS::Serverless::StateMachine
    Properties:
      DefinitionUri: statemachines/asking.asl.json
      DefinitionSubstitutions:
        Queue: !Ref UploadedDeadLetters
        Table: !Ref ClaimsTable
        TableArn: !GetAtt ClaimsTable.Arn
        Bucket: !Ref DataBucket
        FunctionArn: !GetAtt ValidateSchemaFunction.Arn
";
    let place = Place::new();
    let template = template(&place, |text| text.replace("\nResources:\n", MACHINE));
    let key = json!({ "partition": { "S": "p" }, "sort": { "S": "s" } });
    let item = json!({ "partition": { "S": "p" }, "sort": { "S": "s" }, "version": { "N": "1" } });
    let tasks = [
        ("sqs:sendMessage", json!({ "QueueUrl": "${Queue}", "MessageBody": "m" })),
        ("dynamodb:putItem", json!({ "TableName": "${Table}", "Item": item })),
        ("dynamodb:getItem", json!({ "TableName": "${TableArn}", "Key": key })),
        ("aws-sdk:s3:putObject", json!({ "Bucket": "${Bucket}", "Key": "uploads/x", "Body": "b" })),
        ("lambda:invoke", json!({ "FunctionName": "${FunctionArn}", "InvocationType": "DryRun" })),
    ];
    let states: Map<String, Value> = tasks
        .iter()
        .enumerate()
        .map(|(at, (resource, arguments))| {
            let resource = format!("arn:aws:states:::{resource}");
            let way = if at + 1 == tasks.len() {
                ("End", json!(true))
            } else {
                ("Next", json!((at + 1).to_string()))
            };
            (
                at.to_string(),
                json!({ "Type": "Task", "Resource": resource, "Arguments": arguments, way.0: way.1 }),
            )
        })
        .collect();
    let definition = json!({ "QueryLanguage": "JSONata", "StartAt": "0", "States": states });
    place.file("statemachines/asking.asl.json", definition.to_string());
    let server = Server::start_with(&place, ["--template", template.to_str().unwrap()]);
    let sfn = Client::new(&server.step_functions);
    let execution = start(&sfn, &json!(format!("{STATES}stateMachine:AskingStateMachine")), "a");
    let found = ended(&sfn, &execution);
    assert_eq!(found["status"], "SUCCEEDED", "{found}");
}

/// What `crmflow` keeps.
pub(crate) fn database(place: &Place) -> rusqlite::Connection {
    rusqlite::Connection::open(place.data().join("crmflow.db")).unwrap()
}
