//! `tests/tasks.json`: calls by the names that definitions have for them, and what they give.

use std::sync::Arc;

use serde_json::Value as Json;
use states::{Outcome, StateMachine};

use super::*;
use crate::{clock, folder::Folder, wiring::{Machine, Wiring, check_resource}};

fn engine(folder: &std::path::Path) -> (Engine, Folder) {
    let opened = Folder::open(&folder.join("data"), "test").unwrap();
    let queue = "\nResources:\n  Ordered: {Type: AWS::SQS::Queue, Properties: {FifoQueue: true, ContentBasedDeduplication: true}}\n";
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("template.yaml")).unwrap().replace("\nResources:\n", queue);
    let text = text.replace("DefinitionUri: ", &format!("DefinitionUri: {}/", root.display()));
    std::fs::write(folder.join("template.yaml"), text).unwrap();
    let wiring = Wiring::read(Some(&folder.join("template.yaml"))).unwrap();
    (Engine::new(opened.host.clone(), wiring), opened)
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_give_what_aws_gives() {
    let cases: Vec<Json> = serde_json::from_str(include_str!("../../../../tests/tasks.json")).unwrap();
    for case in cases {
        let folder = tempfile::tempdir().unwrap();
        let (engine, _open) = engine(folder.path());
        for call in case["calls"].as_array().unwrap() {
            let definition = serde_json::json!({
                "QueryLanguage": "JSONata", "StartAt": "Call",
                "States": {"Call": {"Type": "Task", "Resource": call["resource"], "Arguments": call["arguments"], "End": true}},
            });
            let machine = StateMachine::parse(&definition.to_string(), &check_resource).unwrap();
            let machine = Machine { name: "M".into(), express: true, definition: String::new(), machine: Arc::clone(&machine) };
            let ended = engine.run(&machine, "x", Value::Null, clock::now()).await;
            let got = match ended.outcome {
                Outcome::Succeeded(output) => serde_json::json!({"result": serde_json::to_value(output).unwrap()}),
                Outcome::Failed(failure) => serde_json::json!({"error": failure.error, "cause": failure.cause}),
                other => panic!("{other:?}"),
            };
            let mut expected = call.clone();
            expected.as_object_mut().unwrap().retain(|name, _| !["resource", "arguments"].contains(&name.as_str()));
            assert!(like(&got, &expected), "{}: {call}\ngot {got:#}", case["name"]);
        }
    }
}

fn like(got: &Json, expected: &Json) -> bool {
    match (got, expected) {
        (Json::String(got), Json::String(expected)) => {
            let mut parts = expected.split("<any>");
            let Some(mut rest) = got.strip_prefix(parts.next().unwrap()) else { return false };
            let parts: Vec<_> = parts.collect();
            for (at, part) in parts.iter().enumerate() {
                let found = if at + 1 == parts.len() { rest.len().checked_sub(part.len()).filter(|_| rest.ends_with(part)) } else { rest.find(part) };
                let Some(found) = found else { return false };
                rest = &rest[found + part.len()..];
            }
            rest.is_empty()
        }
        (Json::Object(got), Json::Object(expected)) => {
            got.len() == expected.len() && expected.iter().all(|(name, value)| got.get(name).is_some_and(|got| like(got, value)))
        }
        (Json::Array(got), Json::Array(expected)) => {
            got.len() == expected.len() && got.iter().zip(expected).all(|(got, expected)| like(got, expected))
        }
        (got, expected) => got == expected,
    }
}
