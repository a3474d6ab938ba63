//! One line of states being walked: the run's own, a branch, an iteration, a child execution.

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

/// Where a line of states has got to.
#[derive(Debug)]
pub(crate) struct Strand {
    pub id: StrandId,
    /// The strand whose state waits for this one, and which of its children this is.
    pub parent: Option<(StrandId, usize)>,
    pub run: RunId,
    pub flow: FlowId,
    pub state: StateId,
    /// The input of the state at hand.
    pub input: Value,
    pub variables: Variables,
    /// The item of the iteration this strand is, or is in.
    pub item: Option<Arc<Item>>,
    pub entered_at: Timestamp,
    /// The event that says the state was entered, and the one before it.
    pub entered_event: u64,
    pub entered_previous: u64,
    pub last_event: u64,
    /// How often the state has been tried again.
    pub attempts: u32,
    /// Failures that each of the state's retriers has seen.
    pub failures: Vec<u32>,
    pub waiting: Waiting,
    /// The children of its state, kept until the state is done with them: a redrive goes on with them.
    pub ended_children: Option<Box<Children>>,
    /// What names the task at hand to others.
    pub token: Option<TaskToken>,
    /// When the strand wakes by itself.
    pub due: Option<Timestamp>,
}

/// What a strand waits for.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// Its turn.
    Nothing,
    /// The time a Wait state names.
    Timer,
    /// The next attempt of a state that failed.
    Retry,
    Task {
        id: TaskId,
        timeout: Option<Timestamp>,
        heartbeat: Option<Duration>,
        /// How long it may take in all, when the host does it by itself: then it dies with the host.
        own: Option<HostTask>,
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

/// A task that a host does by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostTask {
    pub limit: Option<Duration>,
}

/// Why a strand goes on.
#[derive(Debug)]
pub(crate) enum Wake {
    /// It has come to a state.
    Enter,
    /// Its due time has come.
    Time,
    /// A task has got further.
    Update(TaskUpdate),
    /// The host has answered.
    Answer(Result<Value, Failure>),
    Items(Result<Items, Failure>),
    /// The host has written the results of a distributed Map.
    Written(Result<(), Failure>),
    /// Its state failed once, and the run is redriven.
    Redrive,
    /// All its children are done, or one has failed for all.
    Children(Result<Vec<Value>, Failure>),
}

/// How a task has got further.
#[derive(Debug)]
pub(crate) enum TaskUpdate {
    /// The service took the request, and said this.
    Submitted(Value),
    /// This worker has it.
    Started(Option<Arc<str>>),
}

/// When a task is late: at its end, or when nothing was heard of it for so long from now.
pub(crate) fn late(
    timeout: Option<Timestamp>,
    heartbeat: Option<Duration>,
    now: Timestamp,
) -> Option<Timestamp> {
    let beat = heartbeat.and_then(|heartbeat| now.checked_add(heartbeat).ok());
    timeout.into_iter().chain(beat).min()
}

impl Waiting {
    /// What the host does for the strand.
    pub(super) fn task(&self) -> Option<TaskId> {
        match self {
            Self::Task { id, .. } | Self::Items { id, .. } | Self::Results { id, .. } => Some(*id),
            _ => None,
        }
    }

    /// The Map run whose end the strand waits for.
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
