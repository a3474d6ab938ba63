//! The end of a child: its output is kept, or its failure ends the others.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Execution, Thread, ThreadId, Waiting, Wake};
use crate::effect::Outcome;
use crate::failure::Failure;
use crate::history::{Details, EventType};
use crate::state::Kind;
use crate::value::Value;

impl Execution {
    /// A child has come to its end.
    pub(super) fn child_ended(
        &mut self,
        (parent, index): (ThreadId, usize),
        child: &Thread,
        result: Result<Value, Failure>,
        now: Timestamp,
    ) {
        let Some(mut thread) = self.threads.remove(&parent) else {
            return;
        };
        let report = if child.run == thread.run {
            self.note_end(&mut thread, child, index, result.is_ok(), now);
            Value::Null
        } else {
            self.end_child_run(child, &result, now)
        };
        let failure = match &mut thread.waiting {
            Waiting::Children(children) => {
                children.gather(child.id, index, result.map_err(|failure| (failure, report)))
            }
            _ => None,
        };
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
            let last = children.running.len() == 1 && children.next == children.inputs.len();
            if good && last {
                thread.last_event = event;
            }
        }
    }

    /// Closes a child execution; gives what stands for the output of one that failed.
    fn end_child_run(&mut self, child: &Thread, result: &Result<Value, Failure>, now: Timestamp) -> Value {
        let outcome = result.clone().map_or_else(Outcome::Failed, Outcome::Succeeded);
        self.conclude(child.run, child.last_event, &outcome, now);
        match (self.runs.remove(&child.run), result) {
            (Some(run), Err(failure)) => {
                let report = run.report(failure, now);
                self.fallen.keep_run(child.run, run);
                report
            }
            _ => Value::Null,
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
        let map_run = children.map_run.is_some();
        let (run, last) = (thread.run, thread.last_event);
        for child in running.into_keys() {
            self.abort(child, now);
        }
        if map_run {
            let last = self.emit(run, last, EventType::MapRunFailed, Details::Failed(failure.clone()), now);
            if let Some(thread) = self.threads.get_mut(&parent) {
                thread.last_event = last;
            }
        }
        self.ready.push_back((parent, Wake::Children(Err(failure))));
    }

    /// Drops a thread and all below it, and says so.
    fn abort(&mut self, id: ThreadId, now: Timestamp) {
        let Some(mut thread) = self.drop_thread(id) else {
            return;
        };
        if let Waiting::Children(children) = &mut thread.waiting {
            for child in std::mem::take(&mut children.running).into_keys() {
                self.abort(child, now);
            }
        }
        let aborted = self.kind(&thread).aborted().filter(|_| thread.entered_event > 0);
        if let Some(aborted) = aborted {
            thread.last_event = self.emit(thread.run, thread.last_event, aborted, Details::None, now);
        }
        self.note_abort(&thread, now);
        self.fallen.keep(thread);
    }

    /// Tells history of the end of an iteration or a child execution that is given up.
    fn note_abort(&mut self, thread: &Thread, now: Timestamp) {
        let Some((parent, index)) = thread.parent else {
            return;
        };
        let Some(parent) = self.threads.get(&parent) else {
            return;
        };
        if parent.run != thread.run {
            self.conclude(thread.run, thread.last_event, &Outcome::Aborted(Failure::default()), now);
            if let Some(run) = self.runs.remove(&thread.run) {
                self.fallen.keep_run(thread.run, run);
            }
        } else if matches!(self.kind(parent), Kind::Map(_)) {
            let details = Details::Iteration { name: self.name(parent), index };
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
