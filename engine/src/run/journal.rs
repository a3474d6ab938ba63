//! A run as a journal: what came in, and when. The same journal makes the same run, its history included.

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

/// How journals are read. A journal replays as it was written only while this number stays the same: it goes
/// up with every change that lets an older journal come to another run.
pub const REVISION: u32 = 3;

/// A run gives way after so many turns, so that time goes on and others have theirs.
const MAX_DISPATCHES: usize = 1_000;

/// Something that reaches a run from outside.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Input {
    /// A task has come to its end.
    TaskDone {
        /// The task.
        task: TaskId,
        /// What it gave, or why it failed.
        result: Result<Value, Failure>,
    },
    /// A service took the request of a callback or of a job; the result comes later.
    TaskSubmitted {
        /// The task.
        task: TaskId,
        /// What the service said.
        output: Value,
    },
    /// A worker has taken the task of an activity.
    TaskStarted {
        /// The task.
        task: TaskId,
        /// Who.
        worker: Option<Arc<str>>,
    },
    /// The items of a distributed Map were read.
    ItemsRead {
        /// The reading.
        reading: TaskId,
        /// The items, or why they could not be read.
        items: Result<Items, Failure>,
    },
    /// The results of a distributed Map were written.
    ResultsWritten {
        /// The writing.
        writing: TaskId,
        /// Why they could not be written.
        result: Result<(), Failure>,
    },
    /// A Map run is to go on with other limits.
    MapRunUpdated {
        /// The Map run's ARN.
        arn: Arc<str>,
        /// What changes.
        update: MapRunUpdate,
    },
    /// A task is alive: its heartbeat clock starts again.
    Heartbeat {
        /// The task.
        task: TaskId,
    },
    /// The host has died and come back. Tasks that it did by itself begin anew, with their whole time, and EXPRESS
    /// children have their whole time too.
    Resumed,
    /// The run must stop.
    Stop(Failure),
    /// The run, which ended without success, must go on from where it failed.
    Redrive,
}

/// A line of a journal: what came in at a moment. Without inputs it says that time went on.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// In the order in which the run was told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Input>,
}

impl Input {
    /// The task, reading or writing that is answered for good.
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
    /// Tells the run what came in. An answer nobody waits for is ignored.
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

    /// Takes the step that a journal's line stands for. What follows from it waits in
    /// [`take_effects`](Self::take_effects).
    ///
    /// A run that could go on for long gives way in between: [`next_due`](Self::next_due) is not after `at` then.
    pub fn step(&mut self, entry: &Entry) {
        for input in &entry.inputs {
            self.apply(input.clone(), entry.at);
        }
        self.advance(entry.at);
    }

    /// Takes turns until nothing is left to do at this moment, or others should have theirs.
    pub(super) fn advance(&mut self, at: Timestamp) {
        self.at = at;
        for _ in 0..MAX_DISPATCHES {
            if !self.dispatch_next(at) {
                return;
            }
        }
    }

    /// What the steps so far ask of the host and were not taken yet.
    pub fn take_effects(&mut self) -> VecDeque<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Lets time go on to this moment; what follows waits in [`next_effect`](Self::next_effect).
    pub(crate) fn advance_clock(&mut self, to: Timestamp) {
        self.at = self.at.max(to);
    }

    /// Whether anything was asked that was not answered.
    pub fn has_open_tasks(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// The moment of the last step.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Makes a run again from how it started and its journal. `seen` is told its history.
    ///
    /// [`take_effects`](Self::take_effects) then asks again for whatever was asked and not answered.
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

    /// What is asked again, with how far it had got.
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

    /// Sorts effects into what is history and what is still asked for.
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
        // What was answered is forgotten as the journal goes on, so that a long one needs little room.
        if open.len() > 2 * self.tasks.len() + 16 {
            open.retain(|id, _| self.tasks.contains_key(id));
        }
    }
}
