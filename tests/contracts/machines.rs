//! What files say of one another (style, rule 14).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use kernel::Error;
use registry::{Consumer, Function};
use serde_json::Value;

use crate::records::{
    case::Case,
    cases,
    failures::{self, root},
};

/// The errors of AWS Lambda itself, and of Step Functions as a service that a Task calls.
const OF_AWS: [&str; 7] = [
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
    "Lambda.Unknown",
    "Runtime.ExitError",
    "Sandbox.Timedout",
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
fn every_state_has_the_name_of_its_function() {
    for (file, definition) in machines() {
        for (name, state) in states(&definition) {
            let Some(resource) = state["Resource"].as_str() else { continue };
            if resource == "arn:aws:states:::aws-sdk:sfn:startSyncExecution" {
                continue;
            }
            assert_eq!(resource, format!("${{FunctionPrefix}}{name}"), "{file}: {name}");
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

/// ASL has no defaults: what every step of a machine shares is written at each of them.
#[test]
fn steps_of_a_machine_share_one_retry_and_one_catch() {
    for (file, definition) in machines() {
        let steps: Vec<_> = states(&definition).into_iter().filter(|(_, state)| is_function(state)).collect();
        let retries: BTreeSet<_> = steps.iter().map(|(_, state)| state["Retry"].to_string()).collect();
        // The step that keeps what another left undecided is where a Catch leads; its own failure has nowhere to go.
        let catches: BTreeSet<_> = steps
            .iter()
            .filter(|(_, state)| !state["Catch"].is_null())
            .map(|(_, state)| state["Catch"].to_string())
            .collect();
        assert!(retries.len() == 1 && !retries.contains("null"), "{file}: {retries:#?}");
        assert!(retries.iter().all(|retry| retry.contains("StorageUnavailable")), "{file}");
        assert!(catches.len() <= 1, "{file}: {catches:#?}");
    }
}

fn is_function(state: &Value) -> bool {
    state["Resource"].as_str().is_some_and(|resource| resource.starts_with("${"))
}

/// The retrier of a state that has this error: how many seconds it waits at most, over all tries; and its tries.
fn waited(state: &Value, error: &str) -> Option<(f64, u64)> {
    let retriers = state["Retry"].as_array()?;
    let is_for = |rule: &&Value| rule["ErrorEquals"].as_array().unwrap().iter().any(|it| it == error);
    let rule = retriers.iter().find(is_for)?;
    let number = |name: &str, otherwise: f64| rule[name].as_f64().unwrap_or(otherwise);
    let tries = rule["MaxAttempts"].as_u64().unwrap_or(3);
    let (most, mut next, mut sum) =
        (number("MaxDelaySeconds", f64::MAX), number("IntervalSeconds", 1.0), 0.0);
    for _ in 0..tries {
        sum += next.min(most);
        next *= number("BackoffRate", 2.0);
    }
    Some((sum, tries))
}

/// The Tasks of all machines but the one for which somebody waits at a page: file, name, definition.
fn tasks() -> Vec<(String, String, Value)> {
    let all = machines().into_iter().filter(|(file, _)| file != "test-destination.asl.json");
    let named = all.flat_map(|(file, definition)| {
        states(&definition).into_iter().map(move |(name, state)| (file.clone(), name, state))
    });
    named.filter(|(.., state)| state["Type"] == "Task").collect()
}

/// A table that throttles, or an account that has no call left, does so for minutes.
#[test]
fn every_task_waits_for_minutes_until_it_gives_up() {
    for (file, name, state) in tasks() {
        let is_function = state["Resource"].as_str().unwrap().starts_with("${");
        let passing: &[&str] = match is_function {
            true => &["StorageUnavailable", "Lambda.TooManyRequestsException", "Lambda.ServiceException"],
            false => &["States.TaskFailed"],
        };
        for error in passing {
            let (seconds, tries) = waited(&state, error).unwrap_or_default();
            // On average it is half of that: the waits are drawn from zero up.
            assert!(seconds >= 6.0 * 60.0, "{file}: {name} waits {seconds} s after {error}");
            assert!(tries >= 10, "{file}: {name} tries {tries} times after {error}");
        }
    }
    // The list of the chunks, without which a whole batch would end in quarantine.
    let chunks = &machines()["batch.asl.json"]["States"]["RunChunks"];
    assert!(waited(chunks, "States.ItemReaderFailed").is_some_and(|(seconds, _)| seconds >= 6.0 * 60.0));
}

/// A function that ran out of memory or time, or whose environment died, is called again; not for long, since it
/// may be its input that does it.
#[test]
fn a_call_that_ended_without_an_answer_is_made_again() {
    for (file, name, state) in tasks() {
        if !state["Resource"].as_str().unwrap().starts_with("${") {
            continue;
        }
        for error in ["Lambda.Unknown", "Runtime.ExitError", "Sandbox.Timedout", "States.Timeout"] {
            let (_, tries) = waited(&state, error).unwrap_or_default();
            assert!((1..=3).contains(&tries), "{file}: {name} tries {tries} times after {error}");
        }
    }
    let test = &machines()["test-destination.asl.json"]["States"]["TestDestination"];
    assert!(waited(test, "Lambda.Unknown").is_some());
}

/// The longest way from a state to an end, by the timeouts on it.
fn longest(name: &str, states: &Value) -> u64 {
    let state = &states[name];
    let rules = ["Choices", "Catch"].map(|field| state[field].as_array().cloned().unwrap_or_default());
    let ways = rules.iter().flatten().map(|rule| &rule["Next"]).chain([&state["Next"], &state["Default"]]);
    let behind = ways.filter_map(Value::as_str).map(|next| longest(next, states)).max();
    state["TimeoutSeconds"].as_u64().unwrap_or_default() + behind.unwrap_or_default()
}

/// AWS ends an EXPRESS execution after five minutes, whatever it is at.
#[test]
fn every_express_path_ends_within_five_minutes() {
    for file in ["records.asl.json", "test-destination.asl.json"] {
        let definition = &machines()[file];
        let seconds = longest(definition["StartAt"].as_str().unwrap(), &definition["States"]);
        assert!((30..300).contains(&seconds), "{file}: {seconds} s");
    }
}

/// Once a chunk's execution timed out nothing of it is counted or run again before its last call has ended.
#[test]
fn a_timed_out_chunk_waits_for_its_calls() {
    let machines = machines();
    let longest = states(&machines["records.asl.json"])
        .values()
        .filter_map(|state| state["TimeoutSeconds"].as_u64())
        .max();
    let chunk = &machines["batch.asl.json"]["States"]["RunChunks"]["ItemProcessor"]["States"];
    assert!(chunk["WaitForCalls"]["Seconds"].as_u64() >= longest, "{longest:?}");
    assert_eq!(chunk["HasEnded"]["Choices"][0]["Next"], "WaitForCalls");
    assert_eq!(chunk["WaitForCalls"]["Next"], "MayTryAgain");
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
