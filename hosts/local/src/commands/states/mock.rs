//! `crmflow states mock`: creates the draft of a mock configuration file from a definition.

use std::process::ExitCode;

use serde_json::{Map, Value as Json, json};
use states::{StateMachine, StateView, Via};

use crate::{cli::MockStates, exit::Exit};

/// The test case in which every task succeeds.
const HAPPY_PATH: &str = "HappyPath";

/// Prints a file with a test case in which every task succeeds, and one for each task whose error a Catch handles.
pub(super) fn run(args: &MockStates) -> Result<ExitCode, Exit> {
    let machine = super::parse(&args.definition, args.r#type)?;
    let name = super::machine_name(args.name.as_deref(), &args.definition);
    super::super::print_json(&file(&name, &machine)?)?;
    Ok(ExitCode::SUCCESS)
}

fn file(name: &str, machine: &StateMachine) -> Result<Json, Exit> {
    let tasks: Vec<StateView<'_>> = machine.states().filter(|state| !state.resources().is_empty()).collect();
    if tasks.is_empty() {
        return Err(Exit::usage(
            "the definition has no state that calls a service, so there is nothing to mock",
        ));
    }
    let (mut responses, mut happy) = (Map::new(), Map::new());
    for task in &tasks {
        let response = format!("{}Success", task.name());
        responses.insert(response.clone(), json!({ "0-99": { "Return": success(task) } }));
        happy.insert(task.name().to_owned(), json!(response));
    }
    let mut cases = Map::from_iter([(HAPPY_PATH.to_owned(), Json::Object(happy.clone()))]);
    for (task, error) in tasks.iter().filter_map(|task| Some((task, caught(task)?))) {
        let response = format!("{}Failure", task.name());
        let throw = json!({ "Error": thrown(error), "Cause": "A cause for people" });
        responses.insert(response.clone(), json!({ "0-99": { "Throw": throw } }));
        let mut case = happy.clone();
        case.insert(task.name().to_owned(), json!(response));
        cases.insert(format!("{}Fails", task.name()), Json::Object(case));
    }
    Ok(json!({ "StateMachines": { name: { "TestCases": cases } }, "MockedResponses": responses }))
}

/// The first error that a Catch of the state names.
fn caught<'m>(task: &StateView<'m>) -> Option<&'m str> {
    task.edges().into_iter().find_map(|edge| match edge.via {
        Via::Catch(errors) => errors.first().copied(),
        _ => None,
    })
}

/// An error name that matches this name of a Catch. The wildcards of the language are not error names.
fn thrown(caught: &str) -> &str {
    if matches!(caught, "States.ALL" | "States.TaskFailed") { "Example.Failed" } else { caught }
}

/// A sample result of a task, in the shape of its service.
fn success(task: &StateView<'_>) -> Json {
    let resource = task.resources().first().copied().unwrap_or_default();
    let call = resource.strip_prefix("arn:aws:states:::").unwrap_or(resource);
    match call {
        "lambda:invoke" => json!({ "StatusCode": 200, "ExecutedVersion": "$LATEST", "Payload": {} }),
        "sqs:sendMessage" | "aws-sdk:sqs:sendMessage" => {
            json!({ "MessageId": "00000000-0000-0000-0000-000000000000", "MD5OfMessageBody": "d41d8cd98f00b204e9800998ecf8427e" })
        }
        "sns:publish" | "aws-sdk:sns:publish" => {
            json!({ "MessageId": "00000000-0000-0000-0000-000000000000" })
        }
        "dynamodb:getItem" | "aws-sdk:dynamodb:getItem" => json!({ "Item": {} }),
        "events:putEvents" | "aws-sdk:eventbridge:putEvents" => {
            json!({ "Entries": [{ "EventId": "00000000-0000-0000-0000-000000000000" }], "FailedEntryCount": 0 })
        }
        "states:startExecution.sync" => json!({ "Status": "SUCCEEDED", "Output": "{}" }),
        "states:startExecution.sync:2" => json!({ "Status": "SUCCEEDED", "Output": {} }),
        // The items that a distributed Map reads.
        call if task.kind() == "Map" && !call.is_empty() => json!([]),
        _ => json!({}),
    }
}
