//! A run as a journal of timed inputs. A replay of the same journal gives the same run with the same history.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;

use super::{Execution, MapRunUpdate, Start, Waiting};
use crate::effect::{Effect, Items};
use crate::failure::Failure;
use crate::history::HistoryEvent;
use crate::ids::TaskId;
use crate::machine::StateMachine;
use crate::value::Value;

/// The version of the replay. It rises with every change that would replay an older journal to another run.
pub const REVISION: u32 = 3;

/// The maximum number of dispatches in one step. After these the run yields, so that the clock and other runs
/// can advance.
const MAX_DISPATCHES: usize = 1_000;

/// An input that reaches a run from outside.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Input {
    /// A task has ended.
    TaskDone {
        /// The task.
        task: TaskId,
        /// The task's result.
        result: Result<Value, Failure>,
    },
    /// A service accepted the request of a callback or of a job; the result comes later.
    TaskSubmitted {
        /// The task.
        task: TaskId,
        /// The service's answer to the request.
        output: Value,
    },
    /// A worker has received the task of an activity.
    TaskStarted {
        /// The task.
        task: TaskId,
        /// The worker's name.
        worker: Option<Arc<str>>,
    },
    /// The host has read the items of a distributed Map.
    ItemsRead {
        /// The id of the read.
        reading: TaskId,
        /// The items, or the reason why the host could not read them.
        items: Result<Items, Failure>,
    },
    /// The host has written the results of a distributed Map.
    ResultsWritten {
        /// The id of the write.
        writing: TaskId,
        /// The reason why the host could not write them, if any.
        result: Result<(), Failure>,
    },
    /// A caller changed the limits of a Map run.
    MapRunUpdated {
        /// The Map run's ARN.
        arn: Arc<str>,
        /// The new limits.
        update: MapRunUpdate,
    },
    /// A task sent a heartbeat: its heartbeat timeout starts again.
    Heartbeat {
        /// The task.
        task: TaskId,
    },
    /// The host has restarted. Its in-process tasks start again with their full timeout, and so do the time
    /// limits of EXPRESS children.
    Resumed,
    /// A caller stops the run.
    Stop(Failure),
    /// A caller redrives the run, which failed, from its failed states.
    Redrive,
}

/// A line of a journal: the inputs of one moment. An entry without inputs records that time has passed.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    /// The moment.
    pub at: Timestamp,
    /// The inputs in their order of arrival.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Input>,
}

impl Input {
    /// The task, read or write that this input ends.
    pub fn answered(&self) -> Option<TaskId> {
        match self {
            Self::TaskDone { task: id, .. }
            | Self::ItemsRead { reading: id, .. }
            | Self::ResultsWritten { writing: id, .. } => Some(*id),
            Self::Heartbeat { .. }
            | Self::MapRunUpdated { .. }
            | Self::Redrive
            | Self::Resumed
            | Self::Stop(_)
            | Self::TaskStarted { .. }
            | Self::TaskSubmitted { .. } => None,
        }
    }
}

impl Execution {
    /// Applies an input. The run ignores an answer to a task that it no longer waits for.
    pub fn apply(&mut self, input: Input, now: Timestamp) {
        match input {
            Input::TaskDone { task, result } => self.task_done(task, result),
            Input::TaskSubmitted { task, output } => self.task_submitted(task, output),
            Input::TaskStarted { task, worker } => self.task_started(task, worker),
            Input::ItemsRead { reading, items } => self.items_read(reading, items),
            Input::ResultsWritten { writing, result } => self.results_written(writing, result),
            Input::MapRunUpdated { arn, update } => _ = self.update_map_run(&arn, update, now),
            Input::Heartbeat { task } => self.heartbeat(task, now),
            Input::Stop(why) => self.stop(why, now),
            Input::Redrive => self.redrive(now),
            Input::Resumed => self.resume(now),
        }
    }

    /// Applies a journal entry. The resulting effects wait in [`take_effects`](Self::take_effects).
    ///
    /// A long run yields after some dispatches: then [`next_due`](Self::next_due) is not after `at`.
    pub fn step(&mut self, entry: &Entry) {
        for input in &entry.inputs {
            self.apply(input.clone(), entry.at);
        }
        self.advance(entry.at);
    }

    /// Dispatches strands until none is ready or due, up to the limit.
    pub(super) fn advance(&mut self, at: Timestamp) {
        self.at = at;
        for _ in 0..MAX_DISPATCHES {
            if !self.dispatch_next(at) {
                return;
            }
        }
    }

    /// The effects of the steps so far that no call has taken yet.
    pub fn take_effects(&mut self) -> VecDeque<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Advances the clock to this moment. The resulting effects wait in [`next_effect`](Self::next_effect).
    pub(crate) fn advance_clock(&mut self, to: Timestamp) {
        self.at = self.at.max(to);
    }

    /// Whether the run waits for the answer to any task, read or write.
    pub fn has_open_tasks(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// The moment of the last step.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Rebuilds a run from its start and its journal. `seen` receives the events of its history.
    ///
    /// Then [`take_effects`](Self::take_effects) requests again all tasks, reads and writes without an
    /// answer.
    pub fn replay(
        machine: Arc<StateMachine>,
        start: Start,
        input: Value,
        started: Timestamp,
        journal: impl IntoIterator<Item = Entry>,
        mut seen: impl FnMut(HistoryEvent),
    ) -> Self {
        let mut execution = Self::start(machine, start, input, started);
        let mut open = BTreeMap::new();
        execution.sort_effects(&mut open, &mut seen);
        for entry in journal {
            execution.step(&entry);
            execution.sort_effects(&mut open, &mut seen);
        }
        open.retain(|id, _| execution.tasks.contains_key(id));
        execution.effects = open.into_values().map(|effect| execution.reissued(effect)).collect();
        execution
    }

    /// A request that is repeated after a replay, with the progress of its task.
    fn reissued(&self, effect: Effect) -> Effect {
        let Effect::StartTask(mut task) = effect else {
            return effect;
        };
        let strand = self.tasks.get(&task.id).and_then(|strand| self.strands.get(strand));
        if let Some(Waiting::Task { progress, .. }) = strand.map(|strand| &strand.waiting) {
            task.progress = progress.clone();
        }
        Effect::StartTask(task)
    }

    /// Hands events to `seen`, and keeps the requests without an answer in `open`.
    fn sort_effects(&mut self, open: &mut BTreeMap<TaskId, Effect>, seen: &mut impl FnMut(HistoryEvent)) {
        for effect in self.take_effects() {
            match effect {
                Effect::Event(event) => seen(event),
                Effect::StartTask(ref task) => _ = open.insert(task.id, effect),
                Effect::ReadItems(ref source) => _ = open.insert(source.id, effect),
                Effect::WriteResults(ref results) => _ = open.insert(results.id, effect),
                Effect::Cancel(id) => _ = open.remove(&id),
            }
        }
        // Drops answered requests from time to time, so that a long journal needs little memory.
        if open.len() > 2 * self.tasks.len() + 16 {
            open.retain(|id, _| self.tasks.contains_key(id));
        }
    }
}
