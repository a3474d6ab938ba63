//! The requests of a run to its host.

mod items;

pub use items::{ItemFormat, ItemSource, Items, ObjectSet, ResultFile, ResultFiles};

use std::sync::Arc;
use std::time::Duration;

use crate::history::HistoryEvent;
use crate::ids::TaskId;
use crate::token::TaskToken;
use crate::value::Value;

/// Work for the host, or a fact that the host may record.
#[derive(Clone, Debug)]
pub enum Effect {
    /// A history event.
    Event(HistoryEvent),
    /// Run a task and answer with [`Execution::task_done`](crate::Execution::task_done).
    StartTask(TaskRequest),
    /// The run no longer waits for this task, read or write.
    Cancel(TaskId),
    /// Read the items of a distributed Map and answer with
    /// [`Execution::items_read`](crate::Execution::items_read).
    ReadItems(ItemSource),
    /// Write the results of a distributed Map and answer with
    /// [`Execution::results_written`](crate::Execution::results_written).
    WriteResults(ResultFiles),
}

/// A task to run.
#[derive(Clone, Debug)]
pub struct TaskRequest {
    /// The id for the answer.
    pub id: TaskId,
    /// The resource that the definition names.
    pub resource: Arc<str>,
    /// The task's arguments.
    pub arguments: Value,
    /// The state of the task.
    pub state: Arc<str>,
    /// The execution of the task: the run itself, or a child of a distributed Map.
    pub execution: Arc<str>,
    /// The number of attempts before this one.
    pub attempt: u32,
    /// The run fails the task after this time. The host need not watch it.
    pub timeout: Option<Duration>,
    /// The run fails the task when no heartbeat comes for this long.
    pub heartbeat: Option<Duration>,
    /// The way in which the task is done and answered.
    pub pattern: Pattern,
    /// The token for an answer from outside. Callbacks and activities have one.
    pub token: Option<TaskToken>,
    /// The progress before this request. It is not `New` only after a replay of the journal.
    pub progress: Progress,
}

/// The way in which a task is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// The service's answer to the request is the result.
    RequestResponse,
    /// The service receives the request, and the holder of the token sends the result.
    Callback,
    /// The service starts a job, and the end of the job gives the result.
    Sync,
    /// A worker polls for the task and sends the result.
    Activity,
}

/// The progress of a task.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Progress {
    /// No request has reached the service, and no worker has the task.
    #[default]
    New,
    /// The service accepted the request, with this answer.
    Submitted(Value),
    /// A worker has the task.
    Started,
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The run succeeded, with this output.
    Succeeded(Value),
    /// The run failed.
    Failed(crate::Failure),
    /// The run exceeded the time limit of its definition or of its type.
    TimedOut(crate::Failure),
    /// A caller stopped the run.
    Aborted(crate::Failure),
}
