//! Who runs: the names of an execution, and the context object made of them.

use std::sync::Arc;

use jiff::Timestamp;

use super::Thread;
use crate::failure::Failure;
use crate::machine::State;
use crate::query::moment;
use crate::value::Value;

/// What the host says about a run when it starts.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Start {
    /// The execution's ARN, or what stands for it.
    pub execution_id: Arc<str>,
    /// The execution's name.
    pub execution_name: Arc<str>,
    /// The state machine's ARN, or what stands for it.
    pub machine_id: Arc<str>,
    /// The state machine's name.
    pub machine_name: Arc<str>,
    /// The role the execution would have on AWS.
    pub role: Option<Arc<str>>,
    /// What the run's randomness (jitter, `$random`, `$uuid`, names of children) starts from.
    pub seed: u64,
    /// A STANDARD execution fails when its history grows longer than this; AWS allows 25,000 events.
    pub history_limit: Option<u64>,
}

impl Start {
    /// A run of a machine of this name, with AWS's limits.
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

/// An execution's number: zero is the run itself, others are children of its distributed Maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(crate) struct RunId(pub u64);

impl RunId {
    pub(crate) const ROOT: Self = Self(0);
}

/// An execution, as its context object and its history need it.
#[derive(Debug)]
pub(crate) struct Run {
    pub id: Arc<str>,
    pub name: Arc<str>,
    pub input: Value,
    pub started: Timestamp,
    /// How many events there are; also the last event's id.
    pub events: u64,
    /// How many there may be.
    pub limit: Option<u64>,
}

impl Run {
    pub(crate) fn new(
        id: Arc<str>,
        name: Arc<str>,
        input: &Value,
        started: Timestamp,
        limit: Option<u64>,
    ) -> Self {
        Self { id, name, input: input.clone(), started, events: 0, limit }
    }
}

impl Run {
    /// What stands for the output of a child that failed: as on AWS, all that is known of the execution.
    pub(super) fn report(&self, failure: &Failure, now: Timestamp) -> Value {
        let machine = self.id.rsplit_once(':').map_or(&*self.id, |(machine, _)| machine);
        let mut report = vec![
            (Arc::from("ExecutionArn"), Value::String(Arc::clone(&self.id))),
            ("Input".into(), Value::string(self.input.to_string())),
            ("InputDetails".into(), Value::from([("Included", Value::from(true))])),
            ("Name".into(), Value::String(Arc::clone(&self.name))),
            ("StartDate".into(), Value::string(moment(self.started))),
            ("StateMachineArn".into(), Value::string(machine.replacen(":execution:", ":stateMachine:", 1))),
            ("Status".into(), "FAILED".into()),
            ("StopDate".into(), Value::string(moment(now))),
        ];
        report.extend(failure.error.as_deref().map(|error| ("Error".into(), error.into())));
        report.extend(failure.cause.as_deref().map(|cause| ("Cause".into(), cause.into())));
        report.into_iter().collect()
    }
}

/// `$states.context` where `thread` stands.
pub(super) fn object(about: &Start, run: &Run, thread: &Thread, state: &State) -> Value {
    let mut execution = vec![
        (Arc::from("Id"), Value::String(Arc::clone(&run.id))),
        ("Input".into(), run.input.clone()),
        ("StartTime".into(), Value::string(moment(run.started))),
        ("Name".into(), Value::String(Arc::clone(&run.name))),
    ];
    execution.extend(about.role.clone().map(|role| ("RoleArn".into(), Value::String(role))));
    execution.push(("RedriveCount".into(), 0.into()));
    let mut here = vec![
        (Arc::from("Name"), Value::String(Arc::clone(&state.name))),
        ("EnteredTime".into(), Value::string(moment(thread.entered_at))),
    ];
    if state.kind.recovery().is_some() {
        here.push(("RetryCount".into(), thread.attempts.into()));
    }
    let mut context = vec![
        (Arc::from("Execution"), execution.into_iter().collect()),
        (
            "StateMachine".into(),
            Value::from([
                ("Id", Value::String(Arc::clone(&about.machine_id))),
                ("Name", Value::String(Arc::clone(&about.machine_name))),
            ]),
        ),
        ("State".into(), here.into_iter().collect()),
    ];
    context.extend(map_member(thread));
    context.into_iter().collect()
}

/// What the context object says of the iteration at hand.
pub(super) fn map_member(thread: &Thread) -> Option<(Arc<str>, Value)> {
    let (index, item) = thread.item.as_ref()?;
    let item = Value::from([("Index", Value::from(*index)), ("Value", item.clone())]);
    Some(("Map".into(), Value::from([("Item", item)])))
}
