//! Executions within executions: `states:startExecution` with its variants, `aws-sdk:sfn:startExecution`, and
//! `aws-sdk:sfn:startSyncExecution`.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use jiff::Timestamp;
use kernel::store::StoreError;
use states::{Failure, TaskRequest, Value, reserved};
use template::Machine;
use tokio::runtime::Handle;

use super::{
    arguments::{Arguments, Takes},
    service::{Refusal, SFN},
};
use crate::{
    clock,
    executions::Runner,
    executions::{Ended, Execution, Executions, StartError, Started, Status, parts},
    resource::Flavor,
    sfn::is_name,
};

const START_EXECUTION: Takes = Takes {
    call: "states:startExecution",
    required: &["StateMachineArn"],
    optional: &["Input", "Name", "TraceHeader"],
    not_here: &[],
};
const START_SYNC_EXECUTION: Takes =
    Takes { call: "sfn:startSyncExecution", not_here: &["IncludedData"], ..START_EXECUTION };

/// The interval of reads of an execution that should run and does not.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A checked request to start an execution.
struct StartRequest<'a> {
    arguments: Arguments<'a>,
    flavor: Flavor,
    machine: Arc<Machine>,
    input: String,
}

/// Starts an execution; on the disk when it answers, if its machine is STANDARD.
pub(super) async fn start_execution(
    task: &TaskRequest,
    flavor: Flavor,
    runner: &Runner,
) -> Result<Value, Failure> {
    let request = StartRequest::read(&task.arguments, flavor, &START_EXECUTION, &runner.executions)?;
    let given = request.arguments.text("Name")?;
    let name = given.as_deref().map_or_else(|| super::id(task, 0, runner), ToOwned::to_owned);
    let StartRequest { machine, input, .. } = &request;
    let started = if machine.express {
        if is_sync(task) {
            return Err(request.type_not_supported());
        }
        runner.executions.start_express(machine, &name, input.clone(), None)
    } else {
        match runner.executions.start(machine, &name, input.clone()).await {
            Ok(started) => started,
            // Before a restart, this task has started it.
            Err(StartError::AlreadyExists(started)) if given.is_none() => started,
            Err(StartError::AlreadyExists(Started { arn, .. })) => {
                let message = format!("Execution Already Exists: '{arn}'");
                return Err(request.refused(
                    "ExecutionAlreadyExists",
                    "ExecutionAlreadyExistsException",
                    message,
                ));
            }
            Err(StartError::Unavailable(why) | StartError::Refused(why)) => {
                return Err(SFN.unavailable(flavor, &why));
            }
        }
    };
    let started_at = match flavor {
        Flavor::Optimized => milliseconds(started.started_at),
        Flavor::Sdk => time(started.started_at),
    };
    Ok(Value::from([("ExecutionArn", started.arn.as_str().into()), ("StartDate", started_at)]))
}

/// Waits for the end of an execution that a task has started. If the wait is dropped, the execution is stopped.
pub(super) async fn ended(task: &TaskRequest, started: &Value, runner: &Runner) -> Result<Value, Failure> {
    let arn = started.get("ExecutionArn").and_then(Value::as_str).unwrap_or_default();
    let mut guard =
        StopOnDrop { runner, arn, parent: &task.execution, runtime: Handle::current(), is_waited_for: true };
    let found = end(&runner.executions, arn).await;
    guard.is_waited_for = false;
    let found = found.map_err(|error| SFN.unavailable(Flavor::Optimized, &error))?;
    let execution = found.ok_or_else(|| Failure::new(reserved::TASK_FAILED, format!("{arn} is gone")))?;
    if execution.status != Status::Succeeded {
        return Err(Failure::new(reserved::TASK_FAILED, described(&execution, as_text).to_string()));
    }
    Ok(described(&execution, if task.resource.ends_with(".sync:2") { as_json } else { as_text }))
}

/// An execution as it ended.
async fn end(executions: &Executions, arn: &str) -> Result<Option<Execution>, StoreError> {
    loop {
        let found = executions.ended(arn).await?;
        if found.as_ref().is_none_or(|execution| execution.status != Status::Running) {
            return Ok(found);
        }
        // After a restart, the waiting execution may be resumed before the awaited one.
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn as_text(json: &str) -> Value {
    json.into()
}

fn as_json(json: &str) -> Value {
    Value::parse(json).unwrap_or_else(|_| json.into())
}

/// Runs an EXPRESS machine and says how it ended, which is no failure of the call.
pub(super) async fn start_sync_execution(
    arguments: &Value,
    executions: &Executions,
) -> Result<Value, Failure> {
    let request = StartRequest::read(arguments, Flavor::Sdk, &START_SYNC_EXECUTION, executions)?;
    if !request.machine.express {
        return Err(request.type_not_supported());
    }
    let name = request.arguments.text("Name")?.map_or_else(clock::uuid, Into::into);
    let StartRequest { machine, input, .. } = request;
    let services = &executions.services;
    let stopping = |_| SFN.unavailable(Flavor::Sdk, &"crmflow is stopping");
    let _permits = services.nest((services.host.bytes_of)(&input)).await.map_err(stopping)?;
    let Ended { arn, outcome, started_at, stopped_at } =
        executions.run_express(&machine, &name, input.clone()).await;
    services.chunks_done.fetch_add(1, Ordering::Relaxed);
    let (status, output, error, cause) = parts(&outcome);
    let included = Value::from([("Included", true.into())]);
    let members = [
        ("Cause", cause.map(Value::string)),
        ("Error", error.map(Value::string)),
        ("ExecutionArn", Some(Value::string(arn))),
        ("Input", Some(Value::string(input))),
        ("InputDetails", Some(included.clone())),
        ("Name", Some(Value::string(name))),
        ("OutputDetails", output.as_ref().map(|_| included)),
        ("Output", output.map(Value::string)),
        ("StartDate", Some(time(started_at))),
        ("StateMachineArn", Some(Value::string(machine.arn.as_str()))),
        ("Status", Some(status.name().into())),
        ("StopDate", Some(time(stopped_at))),
    ];
    Ok(object(members))
}

impl<'a> StartRequest<'a> {
    fn read(
        given: &'a Value,
        flavor: Flavor,
        takes: &Takes,
        executions: &Executions,
    ) -> Result<Self, Failure> {
        let arguments = Arguments::check(given, takes)?;
        let arn = arguments.required("StateMachineArn")?;
        let machine = executions.services.machine(&arn);
        let input = arguments.text("Input")?.map_or_else(|| "{}".to_owned(), Into::into);
        let refused = |code, exception, message| {
            Err(SFN.failure(flavor, &Refusal { status: 400, code, exception: Some(exception), message }))
        };
        if !arn.starts_with("arn:") {
            let message = format!("Invalid Arn: 'Invalid ARN prefix: {arn}'");
            return refused("InvalidArn", "InvalidArnException", message);
        }
        if let Some(name) = arguments.text("Name")?.filter(|name| !is_name(name) || name.chars().count() > 80)
        {
            return refused("InvalidName", "InvalidNameException", format!("Invalid Name: '{name}'"));
        }
        let Some(machine) = machine else {
            let message = format!("State Machine Does Not Exist: '{arn}'");
            return refused("StateMachineDoesNotExist", "StateMachineDoesNotExistException", message);
        };
        if Value::parse(&input).is_err() {
            let message = "Invalid State Machine Execution Input: 'the input is not JSON'".to_owned();
            return refused("InvalidExecutionInput", "InvalidExecutionInputException", message);
        }
        Ok(Self { arguments, flavor, machine, input })
    }

    fn type_not_supported(&self) -> Failure {
        let message = "This operation is not supported by this type of state machine".to_owned();
        self.refused("StateMachineTypeNotSupported", "StateMachineTypeNotSupportedException", message)
    }

    fn refused(&self, code: &'static str, exception: &'static str, message: String) -> Failure {
        SFN.failure(self.flavor, &Refusal { status: 400, code, exception: Some(exception), message })
    }
}

fn is_sync(task: &TaskRequest) -> bool {
    task.pattern == states::Pattern::Sync
}

/// An execution that a task waits for; dropped while it is waited for, it is stopped.
struct StopOnDrop<'a> {
    runner: &'a Runner,
    arn: &'a str,
    /// The execution that waits.
    parent: &'a str,
    runtime: Handle,
    is_waited_for: bool,
}

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        // A run whose journal failed waits again at the next start.
        if !self.is_waited_for || self.runner.journal_failed.load(Ordering::Relaxed) {
            return;
        }
        let (executions, arn) = (self.runner.executions.clone(), self.arn.to_owned());
        let cause = format!(
            "The Task state in AWS Step Functions execution [{}] which was managing this resource was aborted",
            self.parent
        );
        // A runtime that shuts down starts nothing: then both executions are resumed at the next start.
        self.runtime.spawn(async move {
            if let Err(error) = executions.stop(&arn, Failure { error: None, cause: Some(cause) }).await {
                tracing::error!(execution.arn = arn, "{arn} could not be stopped: {error}");
            }
        });
    }
}

/// The answer of DescribeExecution, with the field names of a task's result.
fn described(execution: &Execution, data: fn(&str) -> Value) -> Value {
    let redrivable = execution.redrivable(clock::now());
    let text = |text: &str| Value::from(text);
    let included = || Value::from([("Included", true.into())]);
    let members = [
        ("Cause", execution.cause.as_deref().map(text)),
        ("Error", execution.error.as_deref().map(text)),
        ("ExecutionArn", Some(text(&execution.arn))),
        ("Input", Some(data(&execution.input))),
        ("InputDetails", Some(included())),
        ("Name", Some(text(&execution.name))),
        ("Output", execution.output.as_deref().map(data)),
        ("OutputDetails", execution.output.as_ref().map(|_| included())),
        ("RedriveCount", Some(i64::from(execution.redrive_count).into())),
        ("RedriveDate", execution.redriven_at.map(milliseconds)),
        ("RedriveStatus", Some(text(if redrivable.is_ok() { "REDRIVABLE" } else { "NOT_REDRIVABLE" }))),
        ("RedriveStatusReason", redrivable.err().map(text)),
        ("StartDate", Some(milliseconds(execution.started_at))),
        ("StateMachineArn", Some(text(&execution.machine_arn))),
        ("Status", Some(text(execution.status.name()))),
        ("StopDate", execution.stopped_at.map(milliseconds)),
    ];
    object(members)
}

fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    members.into_iter().filter_map(|(name, value)| Some((name.into(), value?))).collect()
}

/// A time as the optimized flavor has it.
fn milliseconds(at: Timestamp) -> Value {
    at.as_millisecond().into()
}

/// A time as the SDK's flavor has it.
fn time(at: Timestamp) -> Value {
    format!("{at:.3}").as_str().into()
}
