//! `crmflow executions` and `crmflow execution`: the executions, and the path of one.

use std::{fmt::Write, path::Path, process::ExitCode};

use serde_json::{Value, json};
use sqlite_store::Readers;
use states::{Details, HistoryEvent};
use step_functions::{
    clock,
    executions::{self, Execution, ListFilter, Status},
};
use tracing::Level;

use crate::{
    cli::{Executions, ExecutionsAction, OneExecution},
    data_folder::{DataFolder, ReadOnlyFolder},
    exit::Exit,
    logs,
};

/// Lists the latest executions, or redrives one.
pub(super) fn run(data: &Path, template: Option<&Path>, args: &Executions) -> Result<ExitCode, Exit> {
    match &args.action {
        None => list(data, args),
        Some(ExecutionsAction::Redrive { arn }) => redrive(data, template, arn),
    }
}

fn list(data: &Path, args: &Executions) -> Result<ExitCode, Exit> {
    let filter = ListFilter { limit: args.limit, ..ListFilter::default() };
    let found = executions::list(&ReadOnlyFolder::open(data)?.readers, &filter)?;
    if args.json {
        super::print_json(&found.iter().map(describe).collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for execution in &found {
        let Execution { arn, status, started_at, .. } = execution;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:<10} {started_at:.3}  {:>9}  {arn}", status.name(), duration(execution));
    }
    super::print(&text);
    Ok(ExitCode::SUCCESS)
}

/// Redrives a failed execution from the state that failed, and waits for its end.
fn redrive(data: &Path, template: Option<&Path>, arn: &str) -> Result<ExitCode, Exit> {
    let template = super::template(template)?;
    let folder = DataFolder::open(data, "executions redrive")?;
    logs::start(&folder.paths.logs(), Level::WARN);
    let flow = super::flow(&folder, template);
    super::block_on(async {
        let arn = find(&folder.host.store.readers, arn)?.arn;
        flow.executions.redrive(&arn).await.map_err(|error| Exit::failed(error.to_string()))?;
        let ended = flow.executions.ended(&arn).await?;
        let status = ended.map_or(Status::Running, |execution| execution.status);
        super::print(&format!("{:<10} {arn}\n", status.name()));
        Ok(if status == Status::Succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// The execution with a name or an ARN.
fn find(readers: &Readers, name: &str) -> Result<Execution, Exit> {
    for arn in names(name) {
        if let Some(found) = executions::find(readers, &arn)? {
            return Ok(found);
        }
    }
    Err(Exit::usage(format!("there is no execution {name}")))
}

/// Shows one execution.
pub(super) fn show(data: &Path, args: &OneExecution) -> Result<ExitCode, Exit> {
    let readers = ReadOnlyFolder::open(data)?.readers;
    let found = find(&readers, &args.arn)?;
    let events = executions::history(&readers, &executions::Definitions::default(), &found.arn)?;
    let events = events.unwrap_or_default();
    if args.json {
        let mut whole = describe(&found);
        whole["events"] = json!(events);
        super::print_json(&whole)?;
    } else {
        super::print(&text(&found, &events));
    }
    Ok(ExitCode::SUCCESS)
}

/// The ARNs that an execution of this name can have.
fn names(name: &str) -> [String; 3] {
    let arn = |machine| template::execution_arn(machine, name);
    [name.to_owned(), arn("RecordsStateMachine"), arn("BatchStateMachine")]
}

/// The execution as DescribeExecution returns it.
fn describe(execution: &Execution) -> Value {
    json!({
        "executionArn": execution.arn,
        "name": execution.name,
        "status": execution.status.name(),
        "startDate": execution.started_at,
        "stopDate": execution.stopped_at,
        "output": execution.output,
        "error": execution.error,
        "cause": execution.cause,
        "redriveCount": execution.redrive_count,
        "redriveDate": execution.redriven_at,
    })
}

fn duration(execution: &Execution) -> String {
    let stopped = execution.stopped_at.unwrap_or_else(clock::now);
    format!("{} ms", stopped.duration_since(execution.started_at).as_millis())
}

fn text(execution: &Execution, events: &[HistoryEvent]) -> String {
    let Execution { arn, status, started_at, .. } = execution;
    let mut text = format!("{arn}\n{}, started {started_at:.3}, {}\n\n", status.name(), duration(execution));
    for event in events {
        let offset = event.timestamp.duration_since(*started_at).as_millis();
        let name = match &event.details {
            Details::Entered { name, .. } | Details::Exited { name, .. } => name,
            _ => "",
        };
        let _ = writeln!(text, "{offset:>8} ms  {:<28} {name}", format!("{:?}", event.kind));
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
