//! Redrive: a failed run continues from its failed states.
//!
//! The run keeps failed and aborted strands until a state above them continues without them. A redrive
//! continues the strands that are left at the run's end.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Children, Execution, Item, Run, Strand, Waiting, Wake};
use crate::effect::Outcome;
use crate::history::{Details, EventType};
use crate::ids::{RunId, StrandId};

/// The strands and child executions that failed or were aborted.
#[derive(Debug, Default)]
pub(super) struct FailedStrands {
    strands: BTreeMap<StrandId, Box<Strand>>,
    /// Child executions of distributed Maps.
    runs: BTreeMap<RunId, Run>,
}

impl FailedStrands {
    pub(super) fn add(&mut self, mut strand: Box<Strand>) {
        if let Waiting::Children(children) = std::mem::replace(&mut strand.waiting, Waiting::Nothing) {
            strand.ended_children = Some(children);
        }
        self.strands.insert(strand.id, strand);
    }

    pub(super) fn add_run(&mut self, id: RunId, run: Run) {
        self.runs.insert(id, run);
    }

    /// Drops the failed strands below this one, since its state continues without them.
    pub(super) fn discard_below(&mut self, id: StrandId) {
        // A child has a higher number than its parent, so one pass in ascending order finds all descendants.
        let mut below = BTreeSet::from([id]);
        let (strands, runs) = (&mut self.strands, &mut self.runs);
        strands.retain(|id, strand| {
            let is_below = strand.parent.is_some_and(|(parent, _)| below.contains(&parent));
            if is_below {
                below.insert(*id);
                runs.remove(&RunId(id.0));
            }
            !is_below
        });
    }

    fn discard(&mut self, id: StrandId) {
        self.discard_below(id);
        self.strands.remove(&id);
        self.runs.remove(&RunId(id.0));
    }

    /// The failed children of a strand, by index.
    fn children(&self, parent: StrandId) -> BTreeMap<usize, StrandId> {
        let own = |strand: &Strand| strand.parent.filter(|(id, _)| *id == parent).map(|(_, index)| index);
        self.strands.values().filter_map(|strand| Some((own(strand)?, strand.id))).collect()
    }
}

impl Execution {
    /// Whether the run can be redriven. The error is AWS's sentence.
    ///
    /// # Errors
    /// The run is running or has succeeded, or its history is full.
    pub fn redrivable(&self) -> Result<(), &'static str> {
        match &self.outcome {
            None => return Err("Execution is RUNNING and cannot be redriven"),
            Some(Outcome::Succeeded(_)) => return Err("Execution is SUCCEEDED and cannot be redriven"),
            Some(Outcome::Failed(_) | Outcome::TimedOut(_) | Outcome::Aborted(_)) => {}
        }
        if self.runs.get(&RunId::ROOT).is_some_and(Run::has_room_for_end_only) {
            return Err("Execution history event limit exceeded");
        }
        Ok(())
    }

    /// Continues the run from its failed states, if it can be redriven.
    pub(super) fn redrive(&mut self, now: Timestamp) {
        let root =
            self.failed.strands.values().find(|strand| strand.parent.is_none()).map(|strand| strand.id);
        let Some(root) = root.filter(|_| self.redrivable().is_ok()) else {
            return;
        };
        self.outcome = None;
        self.deadline = self.machine.timeout().and_then(|timeout| now.checked_add(timeout).ok());
        self.redrive_run(RunId::ROOT, now);
        self.redrive_strand(root, now);
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

    /// Continues a strand: the run retries its state, or redrives its failed children.
    pub(super) fn redrive_strand(&mut self, id: StrandId, now: Timestamp) {
        let Some(mut strand) = self.failed.strands.remove(&id) else {
            return;
        };
        strand.last_event = self.runs.get(&strand.run).map_or(strand.last_event, |run| run.redriven_event);
        strand.attempts = 0;
        strand.failures.clear();
        strand.waiting = Waiting::Nothing;
        if let Some(children) = strand.ended_children.take() {
            self.redrive_children(strand, children, now);
            return;
        }
        let wake = if strand.entered_event == 0 { Wake::Enter } else { Wake::Redrive };
        self.strands.insert(id, strand);
        self.ready.push_back((id, wake));
    }

    fn redrive_children(&mut self, mut strand: Box<Strand>, mut children: Box<Children>, now: Timestamp) {
        let id = strand.id;
        children.redrive(self.failed.children(id).into_iter().collect());
        if let Some(run) = children.map_run.and_then(|run| self.map_run(run)) {
            run.redrive(now);
            let details = Details::MapRunRedriven { arn: run.arn.clone(), count: run.redrive_count };
            strand.last_event =
                self.emit(strand.run, strand.last_event, EventType::MapRunRedriven, details, now);
        }
        strand.waiting = Waiting::Children(children);
        self.strands.insert(id, strand);
        self.start_children(id, now);
    }

    /// Prepares a failed child for its redrive; `None`: the child must start anew.
    pub(super) fn redrive_child(
        &mut self,
        parent: &mut Strand,
        item: &Item,
        child: StrandId,
        now: Timestamp,
    ) -> Option<StrandId> {
        let run = RunId(child.0);
        if let Some(map_run_child) = self.failed.runs.get(&run).and_then(|run| run.map_run_child) {
            if let Some(map_run) = self.map_run(map_run_child.run) {
                map_run.child_redriven(map_run_child.items, map_run_child.express);
            }
            if map_run_child.express {
                // AWS does not redrive an EXPRESS execution, so a new one replaces it.
                self.failed.discard(child);
                return None;
            }
        }
        if let Some(failed) = self.failed.runs.remove(&run) {
            self.runs.insert(run, failed);
            self.redrive_run(run, now);
        }
        if let Waiting::Children(children) = &mut parent.waiting {
            children.running.insert(child, item.index);
        }
        Some(child)
    }
}
