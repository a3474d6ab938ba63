//! Redrive: a run that ended without success goes on from where it failed.
//!
//! Threads that fail or are given up are not forgotten until a state above them goes on without them. What
//! is left of them when the run ends is what a redrive takes up again.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Children, Execution, Item, Run, Thread, Waiting, Wake};
use crate::effect::Outcome;
use crate::history::{Details, EventType};
use crate::ids::{RunId, ThreadId};

/// What did not come to a good end.
#[derive(Debug, Default)]
pub(super) struct Fallen {
    threads: BTreeMap<ThreadId, Box<Thread>>,
    /// Child executions of distributed Maps.
    runs: BTreeMap<RunId, Run>,
}

impl Fallen {
    pub(super) fn keep(&mut self, mut thread: Box<Thread>) {
        if let Waiting::Children(children) = std::mem::replace(&mut thread.waiting, Waiting::Nothing) {
            thread.wreck = Some(children);
        }
        self.threads.insert(thread.id, thread);
    }

    pub(super) fn keep_run(&mut self, id: RunId, run: Run) {
        self.runs.insert(id, run);
    }

    /// Forgets what fell below a thread: its state goes on without it.
    pub(super) fn discard_below(&mut self, id: ThreadId) {
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

    fn discard(&mut self, id: ThreadId) {
        self.discard_below(id);
        self.threads.remove(&id);
        self.runs.remove(&RunId(id.0));
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
        if self.runs.get(&RunId::ROOT).is_some_and(Run::has_no_room) {
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
        self.deadline = self.machine.timeout().and_then(|timeout| now.checked_add(timeout).ok());
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
        thread.waiting = Waiting::Nothing;
        if let Some(children) = thread.wreck.take() {
            self.revive_children(thread, children, now);
            return;
        }
        let wake = if thread.entered_event == 0 { Wake::Enter } else { Wake::Redrive };
        self.threads.insert(id, thread);
        self.ready.push_back((id, wake));
    }

    fn revive_children(&mut self, mut thread: Box<Thread>, mut children: Box<Children>, now: Timestamp) {
        let id = thread.id;
        children.again(self.fallen.children(id).into_iter().collect());
        if let Some(run) = children.map_run.and_then(|run| self.map_run(run)) {
            run.redrive(now);
            let details = Details::MapRunRedriven { arn: run.arn.clone(), count: run.redrive_count };
            thread.last_event =
                self.emit(thread.run, thread.last_event, EventType::MapRunRedriven, details, now);
        }
        thread.waiting = Waiting::Children(children);
        self.threads.insert(id, thread);
        self.start_children(id, now);
    }

    /// Lets a child that fell go on; `None`: it has to start anew.
    pub(super) fn revive_child(
        &mut self,
        parent: &mut Thread,
        item: &Item,
        child: ThreadId,
        now: Timestamp,
    ) -> Option<ThreadId> {
        let run = RunId(child.0);
        if let Some(counted) = self.fallen.runs.get(&run).and_then(|run| run.counted) {
            if let Some(map_run) = self.map_run(counted.run) {
                map_run.child_redriven(counted.items, counted.express);
            }
            if counted.express {
                // An EXPRESS execution is not redriven: another takes its place.
                self.fallen.discard(child);
                return None;
            }
        }
        if let Some(fallen) = self.fallen.runs.remove(&run) {
            self.runs.insert(run, fallen);
            self.redrive_run(run, now);
        }
        if let Waiting::Children(children) = &mut parent.waiting {
            children.running.insert(child, item.index);
        }
        Some(child)
    }
}
