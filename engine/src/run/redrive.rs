//! Redrive: a run that ended without success goes on from where it failed.
//!
//! Threads that fail or are given up are not forgotten until a state above them goes on without them. What
//! is left of them when the run ends is what a redrive takes up again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;

use super::{Execution, Run, RunId, Thread, ThreadId, Waiting, Wake};
use crate::effect::Outcome;
use crate::history::{Details, EventType};
use crate::state::Kind;

/// What did not come to a good end.
#[derive(Debug, Default)]
pub(super) struct Fallen {
    threads: BTreeMap<ThreadId, Box<Thread>>,
    /// Child executions of distributed Maps.
    runs: BTreeMap<RunId, Run>,
}

impl Fallen {
    pub(super) fn keep(&mut self, thread: Box<Thread>) {
        self.threads.insert(thread.id, thread);
    }

    pub(super) fn keep_run(&mut self, id: RunId, run: Run) {
        self.runs.insert(id, run);
    }

    /// Forgets what fell below a thread: its state goes on without it.
    pub(super) fn discard_below(&mut self, id: ThreadId) {
        if self.threads.is_empty() {
            return;
        }
        // A child's number is higher than its parent's.
        let mut below = BTreeSet::from([id]);
        let (threads, runs) = (&mut self.threads, &mut self.runs);
        threads.retain(|id, thread| {
            let gone = thread.parent.is_some_and(|(parent, _)| below.contains(&parent));
            if gone {
                below.insert(*id);
                runs.remove(&RunId(id.0));
            }
            !gone
        });
    }

    /// The children of a thread that fell, by their index.
    fn children(&self, parent: ThreadId) -> BTreeMap<usize, ThreadId> {
        let own = |thread: &Thread| thread.parent.filter(|(id, _)| *id == parent).map(|(_, index)| index);
        self.threads.values().filter_map(|thread| Some((own(thread)?, thread.id))).collect()
    }
}

impl Execution {
    /// Whether the run can be redriven; `Err` says why not, in AWS's words.
    ///
    /// # Errors
    /// It runs, has succeeded, or its history is full.
    pub fn redrivable(&self) -> Result<(), &'static str> {
        match &self.outcome {
            None => return Err("Execution is RUNNING and cannot be redriven"),
            Some(Outcome::Succeeded(_)) => return Err("Execution is SUCCEEDED and cannot be redriven"),
            Some(Outcome::Failed(_) | Outcome::TimedOut(_) | Outcome::Aborted(_)) => {}
        }
        if self.is_too_long(RunId::ROOT) {
            return Err("Execution history event limit exceeded");
        }
        Ok(())
    }

    /// Goes on from where the run failed, if it can be redriven.
    pub(super) fn redrive(&mut self, now: Timestamp) {
        let root =
            self.fallen.threads.values().find(|thread| thread.parent.is_none()).map(|thread| thread.id);
        let Some(root) = root.filter(|_| self.redrivable().is_ok()) else {
            return;
        };
        self.outcome = None;
        self.deadline = self.machine.timeout.and_then(|timeout| now.checked_add(timeout).ok());
        self.redrive_run(RunId::ROOT, now);
        self.revive(root, now);
    }

    fn redrive_run(&mut self, id: RunId, now: Timestamp) {
        let Some(run) = self.runs.get_mut(&id) else {
            return;
        };
        run.redrives += 1;
        run.redriven = Some(now);
        let (last, details) = (run.events, Details::Redriven { count: run.redrives });
        let event = self.emit(id, last, EventType::ExecutionRedriven, details, now);
        if let Some(run) = self.runs.get_mut(&id) {
            run.redriven_event = event;
        }
    }

    /// Lets a thread go on: its state is tried again, or the children of it that fell are.
    pub(super) fn revive(&mut self, id: ThreadId, now: Timestamp) {
        let Some(mut thread) = self.fallen.threads.remove(&id) else {
            return;
        };
        thread.last_event = self.runs.get(&thread.run).map_or(thread.last_event, |run| run.redriven_event);
        thread.attempts = 0;
        thread.failures.clear();
        let again = self.fallen.children(id);
        if let Waiting::Children(children) = &mut thread.waiting {
            children.again = again.into_iter().collect();
            children.running.clear();
            children.failed = 0;
            if let Some(arn) = children.map_run.clone() {
                children.redrives += 1;
                let details = Details::MapRunRedriven { arn, count: children.redrives };
                thread.last_event =
                    self.emit(thread.run, thread.last_event, EventType::MapRunRedriven, details, now);
            }
            self.threads.insert(id, thread);
            self.start_children(id, now);
            return;
        }
        thread.waiting = Waiting::Nothing;
        let wake = if thread.entered_event == 0 { Wake::Enter } else { Wake::Redrive };
        self.threads.insert(id, thread);
        self.ready.push_back((id, wake));
    }

    /// Lets a child that fell go on; gives its index and `false` when it has to start anew.
    pub(super) fn revive_child(
        &mut self,
        parent: &mut Thread,
        (index, child): (usize, ThreadId),
        now: Timestamp,
    ) -> bool {
        let state = self.machine.state(parent.flow, parent.state);
        let express = match &state.kind {
            Kind::Map(map) => map.distributed.as_ref().is_some_and(|distributed| distributed.express),
            _ => false,
        };
        if express {
            // An EXPRESS execution is not redriven: another takes its place.
            self.fallen.discard_below(child);
            self.fallen.threads.remove(&child);
            self.fallen.runs.remove(&RunId(child.0));
            return false;
        }
        if let Some(run) = self.fallen.runs.remove(&RunId(child.0)) {
            self.runs.insert(RunId(child.0), run);
            self.redrive_run(RunId(child.0), now);
        }
        if let Waiting::Children(children) = &mut parent.waiting {
            children.running.insert(child, index);
        }
        true
    }
}

/// Children to take up again: each one's index, and the thread it was.
pub(super) type Again = VecDeque<(usize, ThreadId)>;
