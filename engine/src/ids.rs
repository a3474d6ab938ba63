//! The numbers that name the parts of a machine and of a run.

use serde::{Deserialize, Serialize};

/// A flow's number in its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FlowId(pub usize);

/// A state's number in its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StateId(pub usize);

impl StateId {
    /// Stands for a state that a definition names and does not have, until the definition is refused.
    pub(crate) const NOWHERE: Self = Self(usize::MAX);
}

/// An execution's number: zero is the run itself, others are children of its distributed Maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct RunId(pub u64);

impl RunId {
    pub(crate) const ROOT: Self = Self(0);
}

/// A strand's number in its run; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct StrandId(pub u64);

/// A Map run's number in its execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MapRunId(pub usize);

/// The number of a task, a reading or a writing in its run; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskId(pub(crate) u64);
