//! The end of a child: the parent stores its output, or its failure ends its siblings.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Execution, MapRunStatus, Strand, Waiting, Wake};
use crate::effect::Outcome;
use crate::failure::Failure;
use crate::history::{Details, EventType};
use crate::ids::{FlowId, RunId, StateId, StrandId};
use crate::state::Kind;
use crate::state::distributed::Distributed;
use crate::state::writer::Transformation;
use crate::value::Value;

/// The state that is the parent of aborted children.
#[derive(Clone, Copy)]
struct Parent {
    run: RunId,
    flow: FlowId,
    state: StateId,
}

impl Parent {
    fn of(strand: &Strand) -> Self {
        Self { run: strand.run, flow: strand.flow, state: strand.state }
    }
}

impl Execution {
    /// Hands the outcome of a child to its parent.
    pub(super) fn child_ended(
        &mut self,
        (parent, index): (StrandId, usize),
        child: &Strand,
        outcome: Outcome,
        now: Timestamp,
    ) {
        let Some(mut strand) = self.strands.remove(&parent) else {
            return;
        };
        let succeeded = matches!(outcome, Outcome::Succeeded(_));
        let (value, failure) = if child.run == strand.run {
            self.record_iteration_end(&mut strand, child, index, succeeded, now);
            match outcome {
                Outcome::Succeeded(output) => (output, None),
                Outcome::Failed(why) | Outcome::TimedOut(why) | Outcome::Aborted(why) => {
                    (Value::Null, Some(why))
                }
            }
        } else {
            let transformation = self.transformation(&strand);
            self.end_child_run(child, outcome, transformation, now)
        };
        if let Waiting::Children(children) = &mut strand.waiting {
            children.record_result(child.id, index, value, succeeded);
        }
        self.strands.insert(parent, strand);
        match failure {
            Some(failure) => self.fail_children(parent, failure, now),
            None => self.start_children(parent, now),
        }
    }

    /// Adds the event for the end of an iteration, and moves the parent's last event behind that of the
    /// child.
    fn record_iteration_end(
        &mut self,
        strand: &mut Strand,
        child: &Strand,
        index: usize,
        good: bool,
        now: Timestamp,
    ) {
        strand.last_event = child.last_event;
        if !matches!(self.kind(strand), Kind::Map(_)) {
            return;
        }
        let ended = if good { EventType::MapIterationSucceeded } else { EventType::MapIterationFailed };
        let details = Details::Iteration { name: self.name(strand), index };
        let event = self.emit(strand.run, child.last_event, ended, details, now);
        if let Waiting::Children(children) = &strand.waiting {
            // On AWS, later events follow the end of the last iteration, if it succeeded. They follow no
            // other iteration's end.
            let last = children.running.len() == 1 && children.next == children.len();
            if good && last {
                strand.last_event = event;
            }
        }
    }

    /// Ends a child execution. Gives its result, and a failure if the Map run now exceeds its tolerance.
    fn end_child_run(
        &mut self,
        child: &Strand,
        outcome: Outcome,
        transformation: Transformation,
        now: Timestamp,
    ) -> (Value, Option<Failure>) {
        self.record_end(child.run, child.last_event, &outcome, now);
        let Some(run) = self.remove_run(child.run) else {
            return (Value::Null, None);
        };
        let tolerance_exceeded =
            run.map_run_child.and_then(|child| self.map_run(child.run)?.tolerance_exceeded());
        match outcome {
            Outcome::Succeeded(output) if transformation != Transformation::None => (output, None),
            Outcome::Succeeded(_) => (run.report(&outcome, now), None),
            Outcome::Failed(_) | Outcome::TimedOut(_) | Outcome::Aborted(_) => {
                let report = run.report(&outcome, now);
                self.failed.add_run(child.run, run);
                (report, tolerance_exceeded)
            }
        }
    }

    /// The part of a child's result that its Map stores.
    fn transformation(&self, strand: &Strand) -> Transformation {
        match self.kind(strand) {
            Kind::Map(map) => {
                map.distributed.as_ref().map_or(Transformation::default(), Distributed::transformation)
            }
            _ => Transformation::default(),
        }
    }

    /// Aborts the other children after the failure of one.
    pub(super) fn fail_children(&mut self, parent: StrandId, failure: Failure, now: Timestamp) {
        let Some(strand) = self.strands.get_mut(&parent) else {
            return;
        };
        let Waiting::Children(children) = &mut strand.waiting else {
            return;
        };
        let running = std::mem::take(&mut children.running);
        let parent_state = Parent::of(strand);
        let mut aborted = Vec::new();
        for (child, index) in running {
            aborted.extend(self.abort_report(child, parent_state, now).map(|report| (child, index, report)));
            self.abort(child, parent_state, now);
        }
        if let Some(Waiting::Children(children)) = self.strands.get_mut(&parent).map(|t| &mut t.waiting) {
            for (child, index, report) in aborted {
                children.record_result(child, index, report, false);
            }
        }
        self.ready.push_back((parent, Wake::Children(Err(failure))));
    }

    /// The report on a child execution before its abort.
    fn abort_report(&self, child: StrandId, parent_state: Parent, now: Timestamp) -> Option<Value> {
        let run = self.strands.get(&child)?.run;
        let run = self.runs.get(&run).filter(|_| run != parent_state.run)?;
        Some(run.report(&Outcome::Aborted(Failure::default()), now))
    }

    /// Aborts a strand and all strands below it, with their events.
    fn abort(&mut self, id: StrandId, parent_state: Parent, now: Timestamp) {
        let Some(mut strand) = self.drop_strand(id) else {
            return;
        };
        self.abort_below(&mut strand, now);
        self.record_abort(&strand, parent_state, now);
        self.failed.add(strand);
    }

    /// Ends a child execution of a distributed Map at the time limit of its type.
    pub(super) fn expire_child(&mut self, run: RunId, now: Timestamp) {
        match self.drop_strand(StrandId(run.0)) {
            Some(mut child) => {
                self.abort_below(&mut child, now);
                self.end(child, Outcome::TimedOut(Failure::default()), now);
            }
            None => drop(self.remove_run(run)),
        }
    }

    /// Aborts the children and the Map run of a strand, and adds the event that its state was aborted.
    fn abort_below(&mut self, strand: &mut Strand, now: Timestamp) {
        let map_run = strand.waiting.map_run();
        if let Waiting::Children(children) = &mut strand.waiting {
            let running = std::mem::take(&mut children.running);
            let parent_state = Parent::of(strand);
            for child in running.into_keys() {
                self.abort(child, parent_state, now);
            }
        }
        if let Some(run) = map_run.and_then(|run| self.map_run(run)) {
            run.end(MapRunStatus::Aborted, now);
            strand.last_event =
                self.emit(strand.run, strand.last_event, EventType::MapRunAborted, Details::None, now);
        }
        let aborted = self.kind(strand).aborted().filter(|_| strand.entered_event > 0);
        if let Some(aborted) = aborted {
            strand.last_event = self.emit(strand.run, strand.last_event, aborted, Details::None, now);
        }
    }

    /// Adds the event for an aborted iteration or child execution.
    fn record_abort(&mut self, strand: &Strand, parent_state: Parent, now: Timestamp) {
        let Some((_, index)) = strand.parent else {
            return;
        };
        let machine = Arc::clone(&self.machine);
        let state = machine.state(parent_state.flow, parent_state.state);
        if parent_state.run != strand.run {
            self.record_end(strand.run, strand.last_event, &Outcome::Aborted(Failure::default()), now);
            if let Some(run) = self.remove_run(strand.run) {
                self.failed.add_run(strand.run, run);
            }
        } else if matches!(state.kind, Kind::Map(_)) {
            let details = Details::Iteration { name: Arc::clone(&state.name), index };
            self.emit(strand.run, strand.last_event, EventType::MapIterationAborted, details, now);
        }
    }

    fn kind(&self, strand: &Strand) -> &Kind {
        &self.machine.state(strand.flow, strand.state).kind
    }

    fn name(&self, strand: &Strand) -> Arc<str> {
        Arc::clone(&self.machine.state(strand.flow, strand.state).name)
    }
}
