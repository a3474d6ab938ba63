//! Runs a case on a clock that jumps, and compares its result.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use states::{Effect, Execution, Failure, Input, MachineType, Outcome, Pattern, Start, StateMachine, Value};

use crate::compare::Comparator;
use crate::mock::{self, Mock};
use crate::{Difference, definition};

/// The result of an execution.
struct Played {
    outcome: Option<Outcome>,
    events: Vec<Json>,
}

pub(crate) fn check(case: &Json) -> Result<(), Difference> {
    if case["definition"].is_null() && case["definition_text"].is_null() {
        return Err(Difference::NotRun);
    }
    let kind = if case["type"] == "EXPRESS" { MachineType::Express } else { MachineType::Standard };
    let machine = StateMachine::parse_as(kind, &definition(case), &|_| Ok(()))
        .map_err(|problems| Difference::Refused(problems.to_string()))?;
    let input = case["input_text"].as_str().map_or_else(|| case["input"].to_string(), str::to_owned);
    let input = Value::parse(&input).map_err(|error| Difference::Refused(error.to_string()))?;
    compare(case, &play(case, machine, input))
}

fn play(case: &Json, machine: std::sync::Arc<StateMachine>, input: Value) -> Played {
    let mut now: Timestamp = "2026-11-21T08:00:00Z".parse().unwrap();
    let name = case["state_machine_name"].as_str().unwrap_or("machine");
    let id = if case["type"] == "EXPRESS" {
        format!("express:{name}:run:id")
    } else {
        format!("execution:{name}:run")
    };
    let start = Start {
        role: Some("snf_role_arn".into()),
        execution_id: format!("arn:aws:states:us-east-1:111111111111:{id}").into(),
        machine_id: format!("arn:aws:states:us-east-1:111111111111:stateMachine:{name}").into(),
        ..Start::named(name, "run", 1)
    };
    let own = start.execution_id.clone();
    let mut execution = Execution::start(machine, start, input, now);
    let mut mock = Mock::new(case);
    let mut events = Vec::new();
    // Tasks answer in the order of their requests, after everything else that is due now.
    let mut answers = BTreeMap::new();
    loop {
        while let Some(effect) = execution.next_effect(now) {
            match effect {
                Effect::Event(event) if event.execution == own => {
                    events.push(serde_json::to_value(&event).unwrap());
                }
                Effect::StartTask(task) => drop(answers.insert(task.id, task)),
                Effect::ReadItems(source) => {
                    execution.items_read(source.id, Err(Failure::named("States.ItemReaderFailed")));
                }
                Effect::Cancel(id) => drop(answers.remove(&id)),
                Effect::WriteResults(files) => execution.results_written(files.id, Ok(())),
                Effect::Event(_) => {}
            }
        }
        if execution.outcome().is_some() {
            break;
        }
        if let Some((id, task)) = answers.pop_first() {
            if matches!(task.pattern, Pattern::Callback | Pattern::Sync) {
                execution.apply(Input::TaskSubmitted { task: id, output: mock::submitted(&task) }, now);
            }
            execution.task_done(id, mock.answer(&task));
        } else if let Some(due) = execution.next_due() {
            now = now.max(due);
        } else {
            break;
        }
    }
    Played { outcome: execution.outcome().cloned(), events }
}

fn compare(case: &Json, played: &Played) -> Result<(), Difference> {
    let expected = &case["expected"];
    let (status, output, failure) = match &played.outcome {
        Some(Outcome::Succeeded(output)) => ("SUCCEEDED", json!(output), Failure::default()),
        Some(Outcome::Failed(failure)) => ("FAILED", Json::Null, failure.clone()),
        Some(Outcome::TimedOut(failure)) => ("TIMED_OUT", Json::Null, failure.clone()),
        Some(Outcome::Aborted(failure)) => ("ABORTED", Json::Null, failure.clone()),
        None => return Err(Difference::Status("it did not end".into())),
    };
    let comparator = Comparator::new(case);
    let found = |found: &str| format!("{found}; {failure}");
    if expected["status"] != status {
        return Err(Difference::Status(found(&format!("expected {}, got {status}", expected["status"]))));
    }
    let differs = |what: &str, found: &Json| {
        expected.get(what).and_then(|wanted| comparator.first(what, wanted, found))
    };
    // A warning means that the recorder could not insert its placeholders, so the output is not comparable.
    if expected.get("warning").is_none()
        && let Some(difference) = differs("output", &output)
    {
        return Err(Difference::Output(difference));
    }
    if status == "FAILED" && expected["error"] != json!(failure.error) {
        return Err(Difference::Output(found(&format!("expected {}", expected["error"]))));
    }
    if let Some(difference) = differs("cause", &json!(failure.cause)) {
        return Err(Difference::Cause(difference));
    }
    let Some(wanted) = expected["events"].as_array().filter(|_| case["events_unordered"] != true) else {
        return Ok(());
    };
    history(&comparator, wanted, &played.events)
        .map_or(Ok(()), |difference| Err(Difference::History(difference)))
}

fn history(comparator: &Comparator, wanted: &[Json], found: &[Json]) -> Option<String> {
    let line = |event: &Json| {
        format!("{} {} {}", event["id"], event["previousEventId"], event["type"].as_str().unwrap_or_default())
    };
    for index in 0..wanted.len().max(found.len()) {
        let (Some(wanted), Some(found)) = (wanted.get(index), found.get(index)) else {
            let what = |events: &[Json]| events.get(index).map_or("nothing".to_owned(), line);
            return Some(format!("expected {}, got {}", what(wanted), what(found)));
        };
        if line(wanted) != line(found) {
            return Some(format!("expected {}, got {}", line(wanted), line(found)));
        }
        let difference = comparator.first(&line(wanted), wanted, &trimmed(wanted, found));
        if difference.is_some() {
            return difference;
        }
    }
    None
}

/// The event without the members that the recorder omitted.
fn trimmed(wanted: &Json, found: &Json) -> Json {
    let mut found = found.clone();
    for name in ["timestamp", "inputDetails", "outputDetails", "roleArn"] {
        if let (Some(event), None) = (found.as_object_mut(), wanted.get(name)) {
            event.remove(name);
        }
    }
    for (name, details) in found.as_object_mut().into_iter().flatten() {
        if details.is_object() {
            *details = trimmed(wanted.get(name).unwrap_or(&Json::Null), details);
        }
    }
    found
}
