//! Executions: started, described, listed.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};
use states::{Failure, Value};
use template::Machine;

use super::{
    Endpoint, arn, children,
    error::{Error, Kind},
    machines::{self, description},
    page::Page,
    payload::{failure, payload},
    seconds,
    validate::Fields,
};
use crate::{
    clock,
    executions::{Execution, ListFilter, Status, parts},
    machines::StoredMachine,
    mocks::MockedTasks,
};

/// The most characters of an input.
const MAX_INPUT_CHARS: usize = 262_144;

/// A checked request to start an execution.
struct StartRequest {
    machine: StoredMachine,
    name: String,
    input: String,
    /// The mocks of its tasks: as in Step Functions Local, a `#` in the ARN precedes the name of a test case.
    mocks: Option<Arc<MockedTasks>>,
}

/// `StartExecution`
pub(super) async fn start(endpoint: &Endpoint, fields: Fields) -> Result<Json, Error> {
    let StartRequest { machine, name, input, mocks } = asked(endpoint, fields)?;
    let ready = endpoint.ready(&machine)?;
    let started = if machine.express {
        endpoint.executions.start_express(&ready, &name, input, mocks)
    } else {
        endpoint.executions.start_with(&ready, &name, input, mocks).await?
    };
    Ok(json!({ "executionArn": started.arn, "startDate": seconds(started.started_at) }))
}

/// `StartSyncExecution`
pub(super) async fn start_sync(endpoint: &Endpoint, mut fields: Fields) -> Result<Json, Error> {
    let included = machines::included(&mut fields);
    let StartRequest { machine, name, input, mocks } = asked(endpoint, fields)?;
    if !machine.express {
        return Err(Error::type_not_supported());
    }
    let ready = endpoint.ready(&machine)?;
    let ended = endpoint.executions.run_express_with(&ready, &name, input.clone(), mocks).await;
    let (status, output, error, cause) = parts(&ended.outcome);
    let took = ended.stopped_at.duration_since(ended.started_at).as_millis().max(1).unsigned_abs();
    let mut answer = Map::new();
    answer.insert("executionArn".into(), json!(ended.arn));
    answer.insert("stateMachineArn".into(), json!(machine.arn));
    answer.insert("name".into(), json!(name));
    answer.insert("startDate".into(), json!(seconds(ended.started_at)));
    answer.insert("stopDate".into(), json!(seconds(ended.stopped_at)));
    answer.insert("status".into(), json!(status.name()));
    payload(&mut answer, "input", Some(&input), included);
    payload(&mut answer, "output", output.as_deref(), included);
    failure(&mut answer, error.as_deref(), cause.as_deref());
    // AWS bills in steps of 100 ms and 64 MB.
    let billed = took.div_ceil(100) * 100;
    let billed = json!({ "billedDurationInMilliseconds": billed, "billedMemoryUsedInMB": 64 });
    answer.insert("billingDetails".into(), billed);
    Ok(Json::Object(answer))
}

/// `StopExecution`: stopping one that has ended is no error.
pub(super) async fn stop(endpoint: &Endpoint, mut fields: Fields) -> Result<Json, Error> {
    let arn = fields.arn("executionArn");
    let (error, cause) = (fields.data("error", 256), fields.data("cause", 32_768));
    fields.finish()?;
    endpoint.execution(&arn)?;
    let stopped = endpoint.executions.stop(&arn, Failure { error, cause }).await?;
    Ok(json!({ "stopDate": seconds(stopped.unwrap_or_else(clock::now)) }))
}

fn asked(endpoint: &Endpoint, mut fields: Fields) -> Result<StartRequest, Error> {
    let arn = fields.arn("stateMachineArn");
    let name = fields.text("name", 1..=80);
    let input = fields.data("input", MAX_INPUT_CHARS);
    fields.text("traceHeader", 0..=256);
    fields.finish()?;
    let (arn, test_case) = arn.split_once('#').map_or((&*arn, None), |(arn, case)| (arn, Some(case)));
    let machine = endpoint.open_machine(arn)?;
    let mocks = test_case.map(|case| endpoint.mocks(&machine.name, case)).transpose()?;
    name.as_deref().map_or(Ok(()), arn::name)?;
    let input = input.unwrap_or_else(|| "{}".to_owned());
    Value::parse(&input).map_err(|error| Error::input(&error.to_string()))?;
    Ok(StartRequest { machine, name: name.unwrap_or_else(clock::uuid), input, mocks })
}

/// `DescribeExecution`
pub(super) fn describe(endpoint: &Endpoint, mut fields: Fields) -> Result<Json, Error> {
    let arn = fields.arn("executionArn");
    let included = machines::included(&mut fields);
    fields.finish()?;
    let execution = match endpoint.execution(&arn) {
        Ok(execution) => execution,
        Err(error) => return children::describe(endpoint, &arn, included)?.ok_or(error),
    };
    let mut described = listed(&execution);
    payload(&mut described, "input", Some(&execution.input), included);
    payload(&mut described, "output", execution.output.as_deref(), included);
    if included {
        failure(&mut described, execution.error.as_deref(), execution.cause.as_deref());
    }
    match execution.redrivable(clock::now()) {
        Ok(()) => _ = described.insert("redriveStatus".into(), json!("REDRIVABLE")),
        Err(why) => {
            described.insert("redriveStatus".into(), json!("NOT_REDRIVABLE"));
            described.insert("redriveStatusReason".into(), json!(why));
        }
    }
    Ok(Json::Object(described))
}

/// `DescribeStateMachineForExecution`
pub(super) fn describe_machine(endpoint: &Endpoint, mut fields: Fields) -> Result<Json, Error> {
    let arn = fields.arn("executionArn");
    let included = machines::included(&mut fields);
    fields.finish()?;
    let execution = endpoint.execution(&arn)?;
    let machine = endpoint.machines().revision(&execution.machine_arn, execution.started_at)?;
    let machine = machine.ok_or_else(|| Error::no_machine(&execution.machine_arn))?;
    let mut described = description(&machine, included);
    described.insert("updateDate".into(), json!(seconds(machine.updated_at)));
    Ok(Json::Object(described))
}

const STATUSES: [&str; 6] = ["RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED", "PENDING_REDRIVE"];

/// `ListExecutions`
pub(super) fn list(endpoint: &Endpoint, mut fields: Fields) -> Result<Json, Error> {
    let machine = fields.text("stateMachineArn", 1..=256);
    let map_run = fields.text("mapRunArn", 1..=2000);
    let status = fields.word("statusFilter", &STATUSES);
    let redriven = fields.word("redriveFilter", &["REDRIVEN", "NOT_REDRIVEN"]);
    let page = Page::read(&mut fields, 3096);
    fields.finish()?;
    let arn = match (machine, map_run) {
        (Some(arn), None) => arn,
        (None, Some(run)) => return children::list(endpoint, &run, status, redriven, page),
        _ => return Err(Error::validation("Exactly one of stateMachineArn and mapRunArn must be specified")),
    };
    let machine = endpoint.machine(&arn)?;
    if machine.express {
        return Err(Error::type_not_supported());
    }
    if status.as_deref() == Some("PENDING_REDRIVE") || redriven.is_some() {
        return Err(Error::validation("statusFilter PENDING_REDRIVE and redriveFilter need a mapRunArn"));
    }
    let now = clock::now();
    let page = page.of(format!("executions/{arn}/{status:?}"));
    let filter = ListFilter {
        machine_arn: Some(machine.arn),
        status: status.as_deref().and_then(Status::from_name),
        before: page.after(now)?.and_then(|id| id.parse().ok()),
        limit: u32::try_from(page.size + 1).unwrap_or(u32::MAX),
    };
    let mut found = endpoint.executions.list(&filter)?;
    let has_more = found.len() > page.size;
    found.truncate(page.size);
    let mut answer = json!({ "executions": found.iter().map(listed).collect::<Vec<_>>() });
    if let Some(last) = found.last().filter(|_| has_more) {
        answer["nextToken"] = json!(page.token(&last.id.to_string(), now));
    }
    Ok(answer)
}

/// The members that a listing and a description of an execution share.
fn listed(execution: &Execution) -> Map<String, Json> {
    let mut listed = Map::new();
    listed.insert("executionArn".into(), json!(execution.arn));
    listed.insert("stateMachineArn".into(), json!(execution.machine_arn));
    listed.insert("name".into(), json!(execution.name));
    listed.insert("status".into(), json!(execution.status.name()));
    listed.insert("startDate".into(), json!(seconds(execution.started_at)));
    if let Some(stopped_at) = execution.stopped_at {
        listed.insert("stopDate".into(), json!(seconds(stopped_at)));
    }
    listed.insert("redriveCount".into(), json!(execution.redrive_count));
    if let Some(redriven_at) = execution.redriven_at {
        listed.insert("redriveDate".into(), json!(seconds(redriven_at)));
    }
    listed
}

impl Endpoint {
    /// The execution of a STANDARD machine with this ARN.
    pub(super) fn execution(&self, arn: &str) -> Result<Execution, Error> {
        arn::execution(arn)?;
        self.executions.find(arn)?.ok_or_else(|| Error::no_execution(arn))
    }

    /// A machine, ready to run.
    fn ready(&self, machine: &StoredMachine) -> Result<Arc<Machine>, Error> {
        let refused = |problems: states::Problems| {
            tracing::error!("{} cannot be run by this version of crmflow: {problems}", machine.arn);
            Error::new(Kind::InvalidDefinition, problems.to_string())
        };
        self.executions.services.ready(machine).map_err(refused)
    }
}
