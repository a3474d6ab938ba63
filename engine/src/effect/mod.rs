//! What a run asks of its host.

mod items;

pub use items::{ItemFormat, ItemSource, Items, ObjectSet, ResultFile, ResultFiles};

use std::sync::Arc;
use std::time::Duration;

use crate::history::HistoryEvent;
use crate::ids::TaskId;
use crate::token::TaskToken;
use crate::value::Value;

/// Something the host has to do, or may want to know.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Something happened.
    Event(HistoryEvent),
    /// Run a task and answer with [`Execution::task_done`](crate::Execution::task_done).
    StartTask(TaskRequest),
    /// Nobody waits for this task, reading or writing any longer.
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
    /// What to answer to.
    pub id: TaskId,
    /// What to run, as the definition names it.
    pub resource: Arc<str>,
    /// What to run it with.
    pub arguments: Value,
    /// The state that asks.
    pub state: Arc<str>,
    /// The execution that asks: the run itself, or a child of a distributed Map.
    pub execution: Arc<str>,
    /// How often this state has failed before.
    pub attempt: u32,
    /// The run gives up after this; the host need not watch it.
    pub timeout: Option<Duration>,
    /// The run gives up when it hears nothing for this long.
    pub heartbeat: Option<Duration>,
    /// How the task is done, and who answers.
    pub pattern: Pattern,
    /// What names the task to whoever answers from elsewhere; callbacks and activities have one.
    pub token: Option<TaskToken>,
    /// How far the task got before; more than new only for a run that was made again from its journal.
    pub progress: Progress,
}

/// How a task is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// The service is asked, and its answer is the result.
    RequestResponse,
    /// The service is asked; the result comes from elsewhere, from whoever has the token.
    Callback,
    /// The service is asked to start a job; the result comes when the job ends.
    Sync,
    /// A worker asks for the task and gives the result.
    Activity,
}

/// How far a task has got.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Progress {
    /// The host has not been asked yet.
    #[default]
    New,
    /// The service took the request, and said this.
    Submitted(Value),
    /// A worker has it.
    Started,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It came to an end, with this output.
    Succeeded(Value),
    /// It failed.
    Failed(crate::Failure),
    /// It took longer than its definition or its type allows.
    TimedOut(crate::Failure),
    /// It was stopped.
    Aborted(crate::Failure),
}
