//! The numbers that name the parts of a machine and of a run.

use serde::{Deserialize, Serialize};

/// A flow's index in its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FlowId(pub usize);

/// A state's index in its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StateId(pub usize);

impl StateId {
    /// Stands for a target that the definition lacks, until the loader refuses the definition.
    pub(crate) const NOWHERE: Self = Self(usize::MAX);
}

/// An execution's number. Zero is the run itself; other numbers are children of its distributed Maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct RunId(pub u64);

impl RunId {
    pub(crate) const ROOT: Self = Self(0);
}

/// A strand's number in its run. A number is never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct StrandId(pub u64);

/// A Map run's index in its execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MapRunId(pub usize);

/// The number of a task, a read or a write in its run. A number is never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskId(pub(crate) u64);
