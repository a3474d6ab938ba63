//! The events of a run, with AWS's names.

mod json;

use std::sync::Arc;

use jiff::Timestamp;

use crate::failure::Failure;
use crate::value::Value;

/// One event of a run's history. It serialises to the form of `GetExecutionHistory`.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryEvent {
    /// The execution of the event: the run itself, or a child of a distributed Map.
    pub execution: Arc<str>,
    /// Counted from one in each execution.
    pub id: u64,
    /// The event that this one follows; zero for the first event.
    pub previous_event_id: u64,
    /// The time of the event.
    pub timestamp: Timestamp,
    /// The type of the event.
    pub kind: EventType,
    /// The details of the event.
    pub details: Details,
}

/// The types of events, with AWS's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[expect(missing_docs, reason = "each variant is AWS's own name for the event")]
pub enum EventType {
    ActivityFailed,
    ActivityScheduleFailed,
    ActivityScheduled,
    ActivityStarted,
    ActivitySucceeded,
    ActivityTimedOut,
    ChoiceStateEntered,
    ChoiceStateExited,
    EvaluationFailed,
    ExecutionAborted,
    ExecutionFailed,
    ExecutionRedriven,
    ExecutionStarted,
    ExecutionSucceeded,
    ExecutionTimedOut,
    FailStateEntered,
    LambdaFunctionFailed,
    LambdaFunctionScheduled,
    LambdaFunctionStarted,
    LambdaFunctionSucceeded,
    LambdaFunctionTimedOut,
    MapIterationAborted,
    MapIterationFailed,
    MapIterationStarted,
    MapIterationSucceeded,
    MapRunAborted,
    MapRunFailed,
    MapRunRedriven,
    MapRunStarted,
    MapRunSucceeded,
    MapStateAborted,
    MapStateEntered,
    MapStateExited,
    MapStateFailed,
    MapStateStarted,
    MapStateSucceeded,
    ParallelStateAborted,
    ParallelStateEntered,
    ParallelStateExited,
    ParallelStateFailed,
    ParallelStateStarted,
    ParallelStateSucceeded,
    PassStateEntered,
    PassStateExited,
    SucceedStateEntered,
    SucceedStateExited,
    TaskFailed,
    TaskScheduled,
    TaskStarted,
    TaskSubmitFailed,
    TaskSubmitted,
    TaskStateAborted,
    TaskStateEntered,
    TaskStateExited,
    TaskSucceeded,
    TaskTimedOut,
    WaitStateAborted,
    WaitStateEntered,
    WaitStateExited,
}

impl EventType {
    /// Whether this is the last event of an execution.
    pub(crate) fn ends_execution(self) -> bool {
        matches!(
            self,
            Self::ExecutionSucceeded
                | Self::ExecutionFailed
                | Self::ExecutionTimedOut
                | Self::ExecutionAborted
        )
    }
}

/// A service integration with the names of its events: `lambda` and `invoke`, `aws-sdk:sfn` and
/// `startSyncExecution`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integration {
    /// The service; events call it `resourceType`.
    pub service: Arc<str>,
    /// The service's action; events call it `resource`.
    pub action: Arc<str>,
}

/// The details of an event.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are AWS's own; see its HistoryEvent")]
pub enum Details {
    None,
    Started {
        input: Value,
        role: Option<Arc<str>>,
    },
    /// The output of an execution or a function.
    Output(Value),
    /// The failure of an execution, a function or a Map run.
    Failed(Failure),
    Entered {
        name: Arc<str>,
        input: Value,
    },
    Exited {
        name: Arc<str>,
        output: Value,
        assigned: Vec<(Arc<str>, Value)>,
    },
    Evaluation {
        failure: Failure,
        location: Option<String>,
        state: Arc<str>,
    },
    LambdaScheduled {
        resource: Arc<str>,
        input: Value,
        timeout: Option<u64>,
    },
    ActivityScheduled {
        resource: Arc<str>,
        input: Value,
        timeout: Option<u64>,
        heartbeat: Option<u64>,
    },
    /// The worker that received an activity's task.
    Worker {
        name: Option<Arc<str>>,
    },
    TaskScheduled {
        integration: Integration,
        region: Arc<str>,
        parameters: Value,
        timeout: Option<u64>,
        heartbeat: Option<u64>,
    },
    Task(Integration),
    TaskSucceeded(Integration, Value),
    TaskFailed(Integration, Failure),
    MapStarted {
        length: usize,
    },
    Iteration {
        name: Arc<str>,
        index: usize,
    },
    MapRun {
        arn: Arc<str>,
    },
    /// The `count`-th redrive of an execution.
    Redriven {
        count: u32,
    },
    MapRunRedriven {
        arn: Arc<str>,
        count: u32,
    },
}

impl Integration {
    /// The integration of an ARN; `None` for a Lambda function or a resource of another kind.
    pub(crate) fn of(resource: &str) -> Option<Self> {
        let mut parts = resource.splitn(6, ':');
        let (arn, service) = (parts.next()?, parts.nth(1)?);
        let call = parts.nth(2).filter(|_| arn == "arn" && service == "states")?;
        // `.sync:2` is one word, so its colon separates nothing.
        let end = call.strip_suffix(":2").map_or(call.len(), str::len);
        let (service, action) = call.split_at(call.get(..end)?.rfind(':')?);
        let action = action.strip_prefix(':')?;
        (service != "activity").then(|| Self { service: service.into(), action: action.into() })
    }
}
