//! The names of an execution, and the context object made from them.

use std::sync::Arc;

use jiff::Timestamp;

use super::Strand;
use crate::effect::Outcome;
use crate::ids::MapRunId;
use crate::machine::{MachineType, State};
use crate::query::format_timestamp;
use crate::value::Value;

/// The host's parameters for the start of a run.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Start {
    /// The execution's ARN, or the host's replacement of it.
    pub execution_id: Arc<str>,
    /// The execution's name.
    pub execution_name: Arc<str>,
    /// The state machine's ARN, or the host's replacement of it.
    pub machine_id: Arc<str>,
    /// The state machine's name.
    pub machine_name: Arc<str>,
    /// The role that the execution would have on AWS.
    pub role: Option<Arc<str>>,
    /// The seed of the run's randomness: jitter, `$random`, `$uuid`, names of children.
    pub seed: u64,
    /// A STANDARD execution fails when its history would exceed this number of events. AWS allows 25,000.
    pub history_limit: Option<u64>,
}

impl Start {
    /// Parameters for a run of a machine of this name, with AWS's limits.
    pub fn named(machine: &str, execution: &str, seed: u64) -> Self {
        let arn = |kind: &str, rest: &str| format!("arn:aws:states:us-east-1:000000000000:{kind}:{rest}");
        Self {
            execution_id: arn("execution", &format!("{machine}:{execution}")).into(),
            execution_name: execution.into(),
            machine_id: arn("stateMachine", machine).into(),
            machine_name: machine.into(),
            role: None,
            seed,
            history_limit: Some(25_000),
        }
    }
}

/// The data of one execution for its context object and its history.
#[derive(Debug)]
pub(crate) struct Run {
    pub id: Arc<str>,
    pub name: Arc<str>,
    pub input: Value,
    pub started: Timestamp,
    /// The number of events, which is also the last event's id.
    pub events: u64,
    /// The maximum number of events.
    pub limit: Option<u64>,
    /// Whether an event exceeded the limit.
    pub history_overflowed: bool,
    /// The moment when a child exceeds the time limit of its type.
    pub deadline: Option<Timestamp>,
    /// The number of redrives, the time of the last one, and its event.
    pub redrives: u32,
    pub redriven: Option<Timestamp>,
    pub redriven_event: u64,
    /// The Map run that counts this execution, if it is a child of one.
    pub map_run_child: Option<MapRunChild>,
}

/// A child of a Map run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MapRunChild {
    pub run: MapRunId,
    /// The number of items in the child's input.
    pub items: u64,
    pub express: bool,
}

impl MapRunChild {
    fn kind(self) -> MachineType {
        if self.express { MachineType::Express } else { MachineType::Standard }
    }
}

impl Run {
    pub(crate) fn new(
        id: Arc<str>,
        name: Arc<str>,
        input: &Value,
        started: Timestamp,
        limit: Option<u64>,
    ) -> Self {
        Self {
            id,
            name,
            input: input.clone(),
            started,
            events: 0,
            limit,
            history_overflowed: false,
            deadline: None,
            redrives: 0,
            redriven: None,
            redriven_event: 0,
            map_run_child: None,
        }
    }

    /// Whether the history has room for no event but the execution's end.
    pub(super) fn has_room_for_end_only(&self) -> bool {
        self.limit.is_some_and(|limit| self.events + 1 >= limit)
    }

    /// The deadline of a child that starts now; `None`: the run is no child, or its type has no time limit.
    pub(super) fn expiry(&self, now: Timestamp) -> Option<Timestamp> {
        now.checked_add(self.map_run_child?.kind().limit()?).ok()
    }
}

impl Run {
    /// AWS's report on a child of a distributed Map that has ended.
    pub(super) fn report(&self, outcome: &Outcome, now: Timestamp) -> Value {
        let text = |text: &str| Value::string(text);
        let included = || Value::from([("Included", Value::from(true))]);
        let machine = self.id.rsplit_once(':').map_or(&*self.id, |(machine, _)| machine);
        let (status, result) = match outcome {
            Outcome::Succeeded(output) => ("SUCCEEDED", Ok(output)),
            Outcome::Failed(failure) => ("FAILED", Err(failure)),
            Outcome::TimedOut(failure) => ("TIMED_OUT", Err(failure)),
            Outcome::Aborted(failure) => ("ABORTED", Err(failure)),
        };
        let failure = result.err();
        let optional = |value: Option<&String>| value.map(|value| text(value));
        let output = result.ok().map(|output| text(&output.to_string()));
        let (redrive, reason) = match result {
            Ok(_) => ("NOT_REDRIVABLE", Some(text("Execution is SUCCEEDED and cannot be redriven"))),
            Err(_) if self.map_run_child.is_some_and(|child| child.express) => {
                ("REDRIVABLE_BY_MAP_RUN", None)
            }
            Err(_) => ("REDRIVABLE", None),
        };
        let members = [
            ("Cause", optional(failure.and_then(|failure| failure.cause.as_ref()))),
            ("Error", optional(failure.and_then(|failure| failure.error.as_ref()))),
            ("ExecutionArn", Some(Value::String(Arc::clone(&self.id)))),
            ("Input", Some(text(&self.input.to_string()))),
            ("InputDetails", Some(included())),
            ("Name", Some(Value::String(Arc::clone(&self.name)))),
            ("OutputDetails", output.is_some().then(included)),
            ("Output", output),
            ("RedriveCount", Some(self.redrives.into())),
            ("RedriveStatus", Some(text(redrive))),
            ("RedriveStatusReason", reason),
            ("StartDate", Some(Value::string(format_timestamp(self.started)))),
            ("StateMachineArn", Some(text(&machine.replacen(":execution:", ":stateMachine:", 1)))),
            ("Status", Some(text(status))),
            ("StopDate", Some(Value::string(format_timestamp(now)))),
        ];
        members.into_iter().filter_map(|(name, value)| Some((name.into(), value?))).collect()
    }
}

/// `$states.context` for a strand in this state.
pub(super) fn context_object(
    start: &Start,
    machine: MachineType,
    run: &Run,
    strand: &Strand,
    state: &State,
) -> Value {
    let kind = run.map_run_child.map_or(machine, MapRunChild::kind);
    let mut execution = vec![
        (Arc::from("Id"), Value::String(Arc::clone(&run.id))),
        ("Input".into(), run.input.clone()),
        ("StartTime".into(), Value::string(format_timestamp(run.started))),
        ("Name".into(), Value::String(Arc::clone(&run.name))),
    ];
    execution.extend(start.role.clone().map(|role| ("RoleArn".into(), Value::String(role))));
    if kind == MachineType::Standard {
        // AWS does not redrive EXPRESS executions.
        execution.push(("RedriveCount".into(), run.redrives.into()));
    }
    execution.extend(run.redriven.map(|at| ("RedriveTime".into(), Value::string(format_timestamp(at)))));
    let mut here = vec![
        (Arc::from("Name"), Value::String(Arc::clone(&state.name))),
        ("EnteredTime".into(), Value::string(format_timestamp(strand.entered_at))),
    ];
    if state.kind.recovery().is_some() {
        here.push(("RetryCount".into(), strand.attempts.into()));
    }
    let mut context = vec![
        (Arc::from("Execution"), execution.into_iter().collect()),
        (
            "StateMachine".into(),
            Value::from([
                ("Id", Value::String(Arc::clone(&start.machine_id))),
                ("Name", Value::String(Arc::clone(&start.machine_name))),
            ]),
        ),
        ("State".into(), here.into_iter().collect()),
    ];
    context.extend(map_field(strand));
    if let Some(token) = &strand.token {
        context.push(("Task".into(), Value::from([("Token", Value::string(token.to_string()))])));
    }
    context.into_iter().collect()
}

/// The member `Map` of the context object, for the current iteration.
pub(super) fn map_field(strand: &Strand) -> Option<(Arc<str>, Value)> {
    let item = strand.item.as_ref()?;
    Some(("Map".into(), Value::from([("Item", item.context())])))
}
