//! What a run asks of its host.

use std::sync::Arc;
use std::time::Duration;

use crate::history::HistoryEvent;
use crate::value::Value;

/// Something the host has to do, or may want to know.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Something happened.
    Event(HistoryEvent),
    /// Run a task and answer with [`Execution::task_done`](crate::Execution::task_done).
    StartTask(TaskRequest),
    /// Nobody waits for this task or this reading any longer.
    Cancel(TaskId),
    /// Read the items of a distributed Map and answer with
    /// [`Execution::items_read`](crate::Execution::items_read).
    ReadItems(ItemSource),
}

/// A task's or a reading's number in its run; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct TaskId(pub(crate) u64);

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
}

/// Items to read for a distributed Map.
#[derive(Clone, Debug)]
pub struct ItemSource {
    /// What to answer to.
    pub id: TaskId,
    /// How to read, as the definition names it: `arn:aws:states:::s3:getObject`.
    pub resource: Arc<str>,
    /// Where to read: `Bucket` and `Key`.
    pub arguments: Value,
    /// How the object is written.
    pub format: ItemFormat,
    /// Items beyond these are not wanted.
    pub max_items: Option<usize>,
    /// The state that asks.
    pub state: Arc<str>,
    /// The execution that asks.
    pub execution: Arc<str>,
}

/// How an object with items is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemFormat {
    /// One JSON array, which may sit inside the document at this JSON Pointer.
    Json {
        /// `None`: the document is the array.
        pointer: Option<Arc<str>>,
    },
    /// A JSON value a line.
    JsonLines,
    /// Rows of texts; each becomes an object.
    Csv {
        /// The columns' names; `None`: the first line has them.
        headers: Option<Vec<Arc<str>>>,
        /// What stands between two texts.
        delimiter: char,
    },
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It came to an end, with this output.
    Succeeded(Value),
    /// It failed.
    Failed(crate::Failure),
    /// It took longer than its definition allows.
    TimedOut(crate::Failure),
    /// It was stopped.
    Aborted(crate::Failure),
}
