//! The end of a child: its output is kept, or its failure ends the others.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Execution, MapRunStatus, Thread, Waiting, Wake};
use crate::effect::Outcome;
use crate::failure::Failure;
use crate::history::{Details, EventType};
use crate::ids::{FlowId, RunId, StateId, ThreadId};
use crate::state::Kind;
use crate::state::distributed::Distributed;
use crate::state::writer::Form;
use crate::value::Value;

/// The state that children are dropped of.
#[derive(Clone, Copy)]
struct Holder {
    run: RunId,
    flow: FlowId,
    state: StateId,
}

impl Holder {
    fn of(thread: &Thread) -> Self {
        Self { run: thread.run, flow: thread.flow, state: thread.state }
    }
}

impl Execution {
    /// A child has come to its end.
    pub(super) fn child_ended(
        &mut self,
        (parent, index): (ThreadId, usize),
        child: &Thread,
        outcome: Outcome,
        now: Timestamp,
    ) {
        let Some(mut thread) = self.threads.remove(&parent) else {
            return;
        };
        let succeeded = matches!(outcome, Outcome::Succeeded(_));
        let (value, failure) = if child.run == thread.run {
            self.note_end(&mut thread, child, index, succeeded, now);
            match outcome {
                Outcome::Succeeded(output) => (output, None),
                Outcome::Failed(why) | Outcome::TimedOut(why) | Outcome::Aborted(why) => {
                    (Value::Null, Some(why))
                }
            }
        } else {
            let form = self.form(&thread);
            self.end_child_run(child, outcome, form, now)
        };
        if let Waiting::Children(children) = &mut thread.waiting {
            children.gather(child.id, index, value, succeeded);
        }
        self.threads.insert(parent, thread);
        match failure {
            Some(failure) => self.fail_children(parent, failure, now),
            None => self.start_children(parent, now),
        }
    }

    /// Tells history of the end of an iteration, and where it goes on from a child that shares it.
    fn note_end(&mut self, thread: &mut Thread, child: &Thread, index: usize, good: bool, now: Timestamp) {
        thread.last_event = child.last_event;
        if !matches!(self.kind(thread), Kind::Map(_)) {
            return;
        }
        let ended = if good { EventType::MapIterationSucceeded } else { EventType::MapIterationFailed };
        let details = Details::Iteration { name: self.name(thread), index };
        let event = self.emit(thread.run, child.last_event, ended, details, now);
        if let Waiting::Children(children) = &thread.waiting {
            // On AWS the end of the last iteration leads on; that of another one, or of a failed one, does not.
            let last = children.running.len() == 1 && children.next == children.len();
            if good && last {
                thread.last_event = event;
            }
        }
    }

    /// Closes a child execution; gives what is kept of it, and a failure when too many have failed.
    fn end_child_run(
        &mut self,
        child: &Thread,
        outcome: Outcome,
        form: Form,
        now: Timestamp,
    ) -> (Value, Option<Failure>) {
        self.conclude(child.run, child.last_event, &outcome, now);
        let Some(run) = self.close(child.run) else {
            return (Value::Null, None);
        };
        let exceeded = run.counted.and_then(|child| self.map_run(child.run)?.exceeded());
        match outcome {
            Outcome::Succeeded(output) if form != Form::Whole => (output, None),
            Outcome::Succeeded(_) => (run.report(&outcome, now), None),
            Outcome::Failed(_) | Outcome::TimedOut(_) | Outcome::Aborted(_) => {
                let report = run.report(&outcome, now);
                self.fallen.keep_run(child.run, run);
                (report, exceeded)
            }
        }
    }

    /// What a Map keeps of its children.
    fn form(&self, thread: &Thread) -> Form {
        match self.kind(thread) {
            Kind::Map(map) => map.distributed.as_ref().map_or(Form::default(), Distributed::form),
            _ => Form::default(),
        }
    }

    /// One child has failed for all: the others are dropped.
    pub(super) fn fail_children(&mut self, parent: ThreadId, failure: Failure, now: Timestamp) {
        let Some(thread) = self.threads.get_mut(&parent) else {
            return;
        };
        let Waiting::Children(children) = &mut thread.waiting else {
            return;
        };
        let running = std::mem::take(&mut children.running);
        let holder = Holder::of(thread);
        let mut given_up = Vec::new();
        for (child, index) in running {
            given_up.extend(self.given_up(child, holder, now).map(|report| (child, index, report)));
            self.abort(child, holder, now);
        }
        if let Some(Waiting::Children(children)) = self.threads.get_mut(&parent).map(|t| &mut t.waiting) {
            for (child, index, report) in given_up {
                children.gather(child, index, report, false);
            }
        }
        self.ready.push_back((parent, Wake::Children(Err(failure))));
    }

    /// What is known of a child execution that is about to be given up.
    fn given_up(&self, child: ThreadId, holder: Holder, now: Timestamp) -> Option<Value> {
        let run = self.threads.get(&child)?.run;
        let run = self.runs.get(&run).filter(|_| run != holder.run)?;
        Some(run.report(&Outcome::Aborted(Failure::default()), now))
    }

    /// Drops a thread and all below it, and says so.
    fn abort(&mut self, id: ThreadId, holder: Holder, now: Timestamp) {
        let Some(mut thread) = self.drop_thread(id) else {
            return;
        };
        self.abort_below(&mut thread, now);
        self.note_abort(&thread, holder, now);
        self.fallen.keep(thread);
    }

    /// A child execution of a distributed Map has had all the time that its type allows.
    pub(super) fn expire_child(&mut self, run: RunId, now: Timestamp) {
        match self.drop_thread(ThreadId(run.0)) {
            Some(mut child) => {
                self.abort_below(&mut child, now);
                self.end(child, Outcome::TimedOut(Failure::default()), now);
            }
            None => drop(self.close(run)),
        }
    }

    /// Drops what a thread waits for, and says that its state is given up.
    fn abort_below(&mut self, thread: &mut Thread, now: Timestamp) {
        let map_run = thread.waiting.map_run();
        if let Waiting::Children(children) = &mut thread.waiting {
            let running = std::mem::take(&mut children.running);
            let holder = Holder::of(thread);
            for child in running.into_keys() {
                self.abort(child, holder, now);
            }
        }
        if let Some(run) = map_run.and_then(|run| self.map_run(run)) {
            run.end(MapRunStatus::Aborted, now);
            thread.last_event =
                self.emit(thread.run, thread.last_event, EventType::MapRunAborted, Details::None, now);
        }
        let aborted = self.kind(thread).aborted().filter(|_| thread.entered_event > 0);
        if let Some(aborted) = aborted {
            thread.last_event = self.emit(thread.run, thread.last_event, aborted, Details::None, now);
        }
    }

    /// Tells history of the end of an iteration or a child execution that is given up.
    fn note_abort(&mut self, thread: &Thread, holder: Holder, now: Timestamp) {
        let Some((_, index)) = thread.parent else {
            return;
        };
        let machine = Arc::clone(&self.machine);
        let state = machine.state(holder.flow, holder.state);
        if holder.run != thread.run {
            self.conclude(thread.run, thread.last_event, &Outcome::Aborted(Failure::default()), now);
            if let Some(run) = self.close(thread.run) {
                self.fallen.keep_run(thread.run, run);
            }
        } else if matches!(state.kind, Kind::Map(_)) {
            let details = Details::Iteration { name: Arc::clone(&state.name), index };
            self.emit(thread.run, thread.last_event, EventType::MapIterationAborted, details, now);
        }
    }

    fn kind(&self, thread: &Thread) -> &Kind {
        &self.machine.state(thread.flow, thread.state).kind
    }

    fn name(&self, thread: &Thread) -> Arc<str> {
        Arc::clone(&self.machine.state(thread.flow, thread.state).name)
    }
}
