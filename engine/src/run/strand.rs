//! Strands: the root, branches, iterations and child executions, each a sequence of states.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Children, Item};
use crate::effect::{Items, Progress};
use crate::failure::Failure;
use crate::ids::{FlowId, MapRunId, RunId, StateId, StrandId, TaskId};
use crate::query::Variables;
use crate::state::map_run::{PendingRead, PendingWrite};
use crate::token::TaskToken;
use crate::value::Value;

/// A sequence of states in progress.
#[derive(Debug)]
pub(crate) struct Strand {
    pub id: StrandId,
    /// The strand whose state waits for this one, and this one's index among its children.
    pub parent: Option<(StrandId, usize)>,
    pub run: RunId,
    pub flow: FlowId,
    pub state: StateId,
    /// The input of the current state.
    pub input: Value,
    pub variables: Variables,
    /// The item of the iteration that contains this strand.
    pub item: Option<Arc<Item>>,
    pub entered_at: Timestamp,
    /// The event of the entry into the state, and the event before it.
    pub entered_event: u64,
    pub entered_previous: u64,
    pub last_event: u64,
    /// The number of retries of the state.
    pub attempts: u32,
    /// The number of failures for each retrier of the state.
    pub failures: Vec<u32>,
    pub waiting: Waiting,
    /// The state's children after they ended. A redrive needs those that failed.
    pub ended_children: Option<Box<Children>>,
    /// The token of the current task.
    pub token: Option<TaskToken>,
    /// The moment when the timer wakes the strand.
    pub due: Option<Timestamp>,
}

/// The event that a strand waits for.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// Nothing but its dispatch.
    Nothing,
    /// The end of a Wait state.
    Timer,
    /// The next attempt of a failed state.
    Retry,
    Task {
        id: TaskId,
        timeout: Option<Timestamp>,
        heartbeat: Option<Duration>,
        /// Set for a task inside the host, which is lost when the host crashes.
        host_task: Option<HostTask>,
        progress: Progress,
    },
    /// Items that the host reads.
    Items {
        id: TaskId,
        pending: Box<PendingRead>,
    },
    /// Results that the host writes.
    Results {
        id: TaskId,
        pending: Box<PendingWrite>,
    },
    Children(Box<Children>),
}

/// A task inside the host, with its whole timeout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostTask {
    pub limit: Option<Duration>,
}

/// The reason why a strand wakes.
#[derive(Debug)]
pub(crate) enum Wake {
    /// The strand enters a state.
    Enter,
    /// The timer has fired.
    Time,
    /// A task made progress.
    Update(TaskUpdate),
    /// The host has answered.
    Answer(Result<Value, Failure>),
    Items(Result<Items, Failure>),
    /// The host has written the results of a distributed Map.
    Written(Result<(), Failure>),
    /// The run is redriven after the state failed.
    Redrive,
    /// All children have ended, or one has failed for all.
    Children(Result<Vec<Value>, Failure>),
}

/// The progress of a task.
#[derive(Debug)]
pub(crate) enum TaskUpdate {
    /// The service accepted the request, with this answer.
    Submitted(Value),
    /// This worker has received the task.
    Started(Option<Arc<str>>),
}

/// The moment of a task's timeout: its end, or the end of the heartbeat interval that starts now.
pub(crate) fn task_due(
    timeout: Option<Timestamp>,
    heartbeat: Option<Duration>,
    now: Timestamp,
) -> Option<Timestamp> {
    let beat = heartbeat.and_then(|heartbeat| now.checked_add(heartbeat).ok());
    timeout.into_iter().chain(beat).min()
}

impl Waiting {
    /// The task, read or write that the strand waits for.
    pub(super) fn task(&self) -> Option<TaskId> {
        match self {
            Self::Task { id, .. } | Self::Items { id, .. } | Self::Results { id, .. } => Some(*id),
            _ => None,
        }
    }

    /// The Map run that the strand waits for.
    pub(super) fn map_run(&self) -> Option<MapRunId> {
        match self {
            Self::Items { pending, .. } => Some(pending.run),
            Self::Results { pending, .. } => Some(pending.run),
            Self::Children(children) => children.map_run,
            _ => None,
        }
    }
}

impl Strand {
    pub(crate) fn new(id: StrandId, run: RunId, flow: FlowId, state: StateId, input: Value) -> Self {
        Self {
            id,
            parent: None,
            run,
            flow,
            state,
            input,
            variables: Variables::default(),
            item: None,
            entered_at: Timestamp::UNIX_EPOCH,
            entered_event: 0,
            entered_previous: 0,
            last_event: 0,
            attempts: 0,
            failures: Vec::new(),
            waiting: Waiting::Nothing,
            ended_children: None,
            token: None,
            due: None,
        }
    }
}
