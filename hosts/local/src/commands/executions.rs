//! `crmflow executions` and `crmflow execution`: what ran, and which way it took.

use std::{fmt::Write, path::Path, process::ExitCode};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    cli::{Executions, OneExecution},
    clock,
    executions::{self, Execution},
    exit::Exit,
    folder::View,
    wiring,
};

/// Lists the latest executions.
pub(super) fn list(data: &Path, args: &Executions) -> Result<ExitCode, Exit> {
    let found = executions::list(&View::open(data)?.readers, args.limit)?;
    if args.json {
        super::print_json(&found.iter().map(describe).collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for execution in &found {
        let Execution { arn, status, started_at, .. } = execution;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{status:<10} {started_at:.3}  {:>9}  {arn}", took(execution));
    }
    super::print(&text);
    Ok(ExitCode::SUCCESS)
}

/// Shows one execution.
pub(super) fn show(data: &Path, args: &OneExecution) -> Result<ExitCode, Exit> {
    let view = View::open(data)?;
    let names =
        ["RecordsStateMachine", "BatchStateMachine"].map(|machine| wiring::execution_arn(machine, &args.arn));
    let mut found = executions::find(&view.readers, &args.arn)?;
    for arn in &names {
        found = found.map_or_else(|| executions::find(&view.readers, arn), |found| Ok(Some(found)))?;
    }
    let found = found.ok_or_else(|| Exit::usage(format!("there is no execution {}", args.arn)))?;
    let events: Vec<Value> = serde_json::from_str(&found.history).unwrap_or_default();
    if args.json {
        let mut whole = describe(&found);
        whole["events"] = Value::from(events);
        super::print_json(&whole)?;
    } else {
        super::print(&text(&found, &events));
    }
    Ok(ExitCode::SUCCESS)
}

/// In the words of DescribeExecution.
fn describe(execution: &Execution) -> Value {
    json!({
        "executionArn": execution.arn,
        "name": execution.name,
        "status": execution.status,
        "startDate": execution.started_at,
        "stopDate": execution.stopped_at,
        "output": execution.output,
        "error": execution.error,
        "cause": execution.cause,
    })
}

fn took(execution: &Execution) -> String {
    let stopped = execution.stopped_at.unwrap_or_else(clock::now);
    format!("{} ms", stopped.duration_since(execution.started_at).as_millis())
}

fn text(execution: &Execution, events: &[Value]) -> String {
    let Execution { arn, status, started_at, .. } = execution;
    let mut text = format!("{arn}\n{status}, started {started_at:.3}, {}\n\n", took(execution));
    for event in events {
        let kind = event["type"].as_str().unwrap_or_default();
        let at = event["timestamp"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
        let offset = at.map_or(0, |at| at.duration_since(*started_at).as_millis());
        let name = event["stateEnteredEventDetails"]["name"].as_str();
        let name = name.or_else(|| event["stateExitedEventDetails"]["name"].as_str()).unwrap_or_default();
        let _ = writeln!(text, "{offset:>8} ms  {kind:<28} {name}");
    }
    for (label, value) in
        [("output", &execution.output), ("error", &execution.error), ("cause", &execution.cause)]
    {
        if let Some(value) = value {
            let _ = writeln!(text, "\n{label}: {value}");
        }
    }
    text
}
