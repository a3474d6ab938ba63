//! What files say of one another (style, rule 14).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use functions::{Consumer, Error, Function};
use serde_json::Value;

use crate::{
    cases::{self, Case},
    failures::{self, root},
};

/// The errors of AWS Lambda itself, and of Step Functions as a service that a Task calls.
const OF_AWS: [&str; 4] = [
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
];

/// The machines' definitions by file name.
fn machines() -> BTreeMap<String, Value> {
    let files = fs::read_dir(root().join("statemachines")).unwrap();
    let read = |file: fs::DirEntry| {
        let definition = serde_json::from_str(&fs::read_to_string(file.path()).unwrap()).unwrap();
        (file.file_name().into_string().unwrap(), definition)
    };
    files.map(|file| read(file.unwrap())).collect()
}

/// The states of a definition and of the machines within it, by name.
fn states(definition: &Value) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for (name, state) in definition["States"].as_object().into_iter().flatten() {
        found.insert(name.clone(), state.clone());
        found.append(&mut states(&state["ItemProcessor"]));
        for branch in state["Branches"].as_array().into_iter().flatten() {
            found.append(&mut states(branch));
        }
    }
    found
}

/// S2-010 S2-013 S2-016 S2-018: a state that names a function names one there is, and has its name.
#[test]
fn every_resource_is_a_function_by_the_name_of_its_state() {
    for (file, definition) in machines() {
        for (name, state) in states(&definition) {
            let Some(resource) = state["Resource"].as_str() else { continue };
            if resource == "arn:aws:states:::aws-sdk:sfn:startSyncExecution" {
                continue;
            }
            assert_eq!(resource, format!("${{{name}FunctionArn}}"), "{file}: {name}");
            assert!(Function::from_name(&name).is_some(), "{file}: there is no function {name}");
        }
    }
}

#[test]
fn every_function_is_a_state() {
    let named: BTreeSet<String> = machines().values().flat_map(states).map(|(name, _)| name).collect();
    for function in Function::ALL {
        assert!(named.contains(function.name()), "no machine has a state {}", function.name());
    }
}

#[test]
fn every_function_is_in_the_template() {
    let template = fs::read_to_string(root().join("template.yaml")).unwrap();
    for function in Function::ALL {
        let resource = format!("\n  {}Function:", function.name());
        assert!(template.contains(&resource), "the template has no {}Function", function.name());
    }
}

/// A function that no machine names has a queue that feeds it.
#[test]
fn every_consumer_is_in_the_template_with_a_queue() {
    let template = fs::read_to_string(root().join("template.yaml")).unwrap();
    for consumer in Consumer::ALL {
        let start = template.find(&format!("\n  {}Function:\n", consumer.name()));
        let block = start.and_then(|start| template[start..].split("\n\n").next());
        let block = block.unwrap_or_else(|| panic!("the template has no {}Function", consumer.name()));
        for needed in ["Type: SQS\n", "Queue: !GetAtt ", "FunctionResponseTypes: [ReportBatchItemFailures]\n"]
        {
            assert!(block.contains(needed), "{}Function lacks {needed}", consumer.name());
        }
        assert!(Function::from_name(consumer.name()).is_none(), "{} is two things", consumer.name());
    }
}

#[test]
fn every_error_that_is_retried_or_caught_can_happen() {
    for (file, definition) in machines() {
        for (name, state) in states(&definition) {
            let rules = ["Retry", "Catch"].map(|field| state[field].as_array().cloned().unwrap_or_default());
            for error in rules.iter().flatten().flat_map(|rule| rule["ErrorEquals"].as_array().unwrap()) {
                let error = error.as_str().unwrap();
                let known =
                    Error::NAMES.contains(&error) || OF_AWS.contains(&error) || error.starts_with("States.");
                assert!(known, "{file}: {name} waits for {error}, which nothing gives");
            }
        }
    }
}

/// A transient error that no state tries again would fail a batch for nothing.
#[test]
fn every_step_tries_again_when_storage_is_not_there() {
    for (file, definition) in machines() {
        for (name, state) in states(&definition) {
            let is_function = state["Resource"].as_str().is_some_and(|resource| resource.starts_with("${"));
            let retries = state["Retry"].as_array().into_iter().flatten();
            let mut errors = retries.flat_map(|rule| rule["ErrorEquals"].as_array().unwrap());
            let retried = errors.any(|error| error == "StorageUnavailable");
            assert!(!is_function || retried, "{file}: {name} gives up at once");
        }
    }
}

/// S2-019: every state, and every way out of a choice, is on the path of some case.
#[test]
fn every_state_and_every_choice_is_played() {
    let mut paths: Vec<Vec<String>> = Vec::new();
    let mut take = |case: Case| paths.extend(case.batches.into_iter().map(|batch| batch.path));
    for file in fs::read_dir(cases::folder()).unwrap() {
        cases::read::<Vec<Case>>(&file.unwrap().path(), "1").into_iter().for_each(&mut take);
    }
    failures::failures().into_iter().map(|failure| failure.case).for_each(&mut take);
    // What is its own whole machine is played by who calls it (destinations.rs).
    paths.push(vec!["TestDestination".to_owned()]);
    let played: BTreeSet<&str> = paths.iter().flatten().map(String::as_str).collect();
    let steps: BTreeSet<(&str, &str)> =
        paths.iter().flat_map(|path| path.windows(2)).map(|pair| (&*pair[0], &*pair[1])).collect();
    for (file, definition) in machines() {
        for (name, state) in definition["States"].as_object().unwrap() {
            assert!(played.contains(name.as_str()), "{file}: no case enters {name}");
            let rules =
                ["Choices", "Catch"].map(|field| state[field].as_array().cloned().unwrap_or_default());
            let ways = rules.iter().flatten().map(|rule| &rule["Next"]).chain([&state["Default"]]);
            for next in ways.filter_map(Value::as_str) {
                assert!(steps.contains(&(name, next)), "{file}: no case goes from {name} to {next}");
            }
        }
    }
}
