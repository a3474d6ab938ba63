//! Branches, iterations and child executions: started as room allows, gathered in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Execution, Fault, Run, RunId, Thread, ThreadId, Visit, Waiting, Wake};
use crate::effect::Outcome;
use crate::failure::{Failure, reserved};
use crate::history::{Details, EventType};
use crate::machine::FlowId;
use crate::query::Variables;
use crate::state::Kind;
use crate::value::{Array, Value};

/// What a Map or Parallel state waits for.
#[derive(Debug)]
pub(crate) struct Children {
    inputs: Array,
    outputs: Vec<Option<Value>>,
    /// The next one to start.
    next: usize,
    running: BTreeMap<ThreadId, usize>,
    concurrency: usize,
    failed: usize,
    /// What a distributed Map bears.
    tolerance: Option<Tolerance>,
    /// The ARN of a distributed Map's run.
    map_run: Option<Arc<str>>,
}

/// How many items of a distributed Map may fail.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tolerance {
    pub count: Option<usize>,
    pub percentage: Option<f64>,
}

impl Tolerance {
    #[expect(clippy::cast_precision_loss, reason = "there are never 2^52 items")]
    fn is_exceeded(self, failed: usize, all: usize) -> bool {
        let share = failed as f64 * 100.0 / all as f64;
        match (self.count, self.percentage) {
            (None, None) => failed > 0,
            (count, percentage) => {
                count.is_some_and(|count| failed > count)
                    || percentage.is_some_and(|percentage| share > percentage)
            }
        }
    }
}

impl Children {
    pub(crate) fn branches(inputs: Vec<Value>) -> Self {
        Self::items(inputs.into(), usize::MAX, None, None)
    }

    pub(crate) fn items(
        inputs: Array,
        concurrency: usize,
        tolerance: Option<Tolerance>,
        map_run: Option<Arc<str>>,
    ) -> Self {
        let outputs = vec![None; inputs.len()];
        Self {
            inputs,
            outputs,
            next: 0,
            running: BTreeMap::new(),
            concurrency,
            failed: 0,
            tolerance,
            map_run,
        }
    }
}

/// A child about to start.
struct Beginning {
    index: usize,
    input: Value,
    flow: FlowId,
    map_run: Option<Arc<str>>,
}

impl Execution {
    /// Starts as many children of a thread as there is room for; ends the wait when none is left.
    pub(super) fn start_children(&mut self, parent: ThreadId, now: Timestamp) {
        let machine = Arc::clone(&self.machine);
        loop {
            let Some(mut thread) = self.threads.remove(&parent) else {
                return;
            };
            let Waiting::Children(children) = &mut thread.waiting else {
                return;
            };
            let index = children.next;
            let has_room = children.running.len() < children.concurrency;
            let Some(input) = children.inputs.get(index).filter(|_| has_room).cloned() else {
                let idle = children.running.is_empty();
                let outputs = if idle { std::mem::take(&mut children.outputs) } else { Vec::new() };
                self.threads.insert(parent, thread);
                if idle {
                    let outputs = outputs.into_iter().map(Option::unwrap_or_default).collect();
                    self.ready.push_back((parent, Wake::Children(Ok(outputs))));
                }
                return;
            };
            children.next += 1;
            let map_run = children.map_run.clone();
            let state = machine.state(thread.flow, thread.state);
            let begun = match &state.kind {
                Kind::Parallel(parallel) => {
                    let flow = parallel.branches.get(index).copied().unwrap_or(FlowId(0));
                    Ok(self.branch(&thread, Beginning { index, input, flow, map_run }, None, now))
                }
                Kind::Map(map) => {
                    let mut visit = Visit { run: self, thread: &mut thread, state, now };
                    visit.selected(map, index, &input).map(|selected| {
                        let begin = Beginning { index, input: selected, flow: map.processor, map_run };
                        self.branch(&thread, begin, Some(input), now)
                    })
                }
                _ => return,
            };
            match begun {
                Ok(child) => {
                    if let Waiting::Children(children) = &mut thread.waiting {
                        children.running.insert(child, index);
                    }
                    self.threads.insert(parent, thread);
                }
                Err(fault) => {
                    let id = thread.id;
                    self.threads.insert(id, thread);
                    self.fail_children(id, fault.failure, now);
                    return;
                }
            }
        }
    }

    /// A thread for a child, and for a child of a distributed Map an execution of its own.
    fn branch(&mut self, parent: &Thread, begin: Beginning, item: Option<Value>, now: Timestamp) -> ThreadId {
        let Beginning { index, input, flow, map_run } = begin;
        let start = self.machine.flows[flow.0].start;
        let id = ThreadId(self.number());
        let mut child = Thread::new(id, parent.run, flow, start, input);
        child.parent = Some((parent.id, index));
        child.item = item.map(|item| (index, item)).or_else(|| parent.item.clone());
        child.variables = Arc::clone(&parent.variables);
        child.last_event = parent.last_event;
        if let Some(arn) = map_run {
            child.run = RunId(id.0);
            child.variables = Variables::default();
            child.last_event = 0;
            let name: Arc<str> = self.rng.uuid().into();
            // The Map run's ARN ends with an id of its own, where the child's has the child's name.
            let stem =
                arn.rsplit_once(':').map_or(&*arn, |(stem, _)| stem).replacen(":mapRun:", ":execution:", 1);
            let run = Run::new(format!("{stem}:{name}").into(), name, &child.input, now);
            self.runs.insert(child.run, run);
            let details = Details::Started { input: child.input.clone(), role: self.about.role.clone() };
            self.emit(child.run, 0, EventType::ExecutionStarted, details, now);
        } else if child.item.is_some() && matches!(self.kind(parent), Kind::Map(_)) {
            let details = Details::Iteration { name: self.name(parent), index };
            child.last_event =
                self.emit(parent.run, parent.last_event, EventType::MapIterationStarted, details, now);
        }
        self.threads.insert(id, Box::new(child));
        self.ready.push_back((id, Wake::Enter));
        id
    }

    fn kind(&self, thread: &Thread) -> &Kind {
        &self.machine.state(thread.flow, thread.state).kind
    }

    fn name(&self, thread: &Thread) -> Arc<str> {
        Arc::clone(&self.machine.state(thread.flow, thread.state).name)
    }

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
        let iteration = matches!(self.kind(&thread), Kind::Map(_)) && child.run == thread.run;
        if child.run == thread.run {
            thread.last_event = child.last_event;
        } else {
            let outcome = result.clone().map_or_else(Outcome::Failed, Outcome::Succeeded);
            self.conclude(child.run, child.last_event, &outcome, now);
            self.runs.remove(&child.run);
        }
        if iteration {
            let ended =
                if result.is_ok() { EventType::MapIterationSucceeded } else { EventType::MapIterationFailed };
            let details = Details::Iteration { name: self.name(&thread), index };
            let event = self.emit(thread.run, child.last_event, ended, details, now);
            // The end of the last iteration leads on; that of another one does not.
            if let (Waiting::Children(children), true) = (&thread.waiting, result.is_ok()) {
                let last = children.running.len() == 1 && children.next == children.inputs.len();
                thread.last_event = if last { event } else { child.last_event };
            }
        }
        let failure = match &mut thread.waiting {
            Waiting::Children(children) => children.gather(child.id, index, result),
            _ => None,
        };
        self.threads.insert(parent, thread);
        match failure {
            Some(failure) => self.fail_children(parent, failure, now),
            None => self.start_children(parent, now),
        }
    }

    /// One child has failed for all: the others are dropped.
    fn fail_children(&mut self, parent: ThreadId, failure: Failure, now: Timestamp) {
        let Some(thread) = self.threads.get_mut(&parent) else {
            return;
        };
        let Waiting::Children(children) = &mut thread.waiting else {
            return;
        };
        let running = std::mem::take(&mut children.running);
        let map_run = children.map_run.clone();
        let (run, last) = (thread.run, thread.last_event);
        for child in running.into_keys() {
            self.abort(child, now);
        }
        if map_run.is_some() {
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
        if let Some(aborted) = self.kind(&thread).aborted()
            && thread.entered_event > 0
        {
            thread.last_event = self.emit(thread.run, thread.last_event, aborted, Details::None, now);
        }
        let Some((parent, index)) = thread.parent else {
            return;
        };
        let Some(parent) = self.threads.get(&parent) else {
            return;
        };
        if parent.run != thread.run {
            let outcome = Outcome::Aborted(Failure::default());
            self.conclude(thread.run, thread.last_event, &outcome, now);
            self.runs.remove(&thread.run);
        } else if matches!(self.kind(parent), Kind::Map(_)) {
            let details = Details::Iteration { name: self.name(parent), index };
            self.emit(thread.run, thread.last_event, EventType::MapIterationAborted, details, now);
        }
    }
}

impl Children {
    /// Keeps what a child came to; `Some` when it fails all of them.
    fn gather(&mut self, child: ThreadId, index: usize, result: Result<Value, Failure>) -> Option<Failure> {
        self.running.remove(&child);
        match (result, self.tolerance) {
            (Ok(output), _) => {
                self.outputs[index] = Some(output);
                None
            }
            (Err(failure), None) => Some(failure),
            (Err(failure), Some(tolerance)) => {
                self.failed += 1;
                self.outputs[index] = Some(failure.output());
                let cause = "The specified tolerated failure threshold was exceeded";
                tolerance
                    .is_exceeded(self.failed, self.inputs.len())
                    .then(|| Failure::new(reserved::EXCEED_TOLERATED_FAILURE_THRESHOLD, cause))
            }
        }
    }
}

impl Visit<'_> {
    /// What an iteration gets: the item, or what `ItemSelector` makes of it.
    fn selected(&mut self, map: &crate::state::Map, index: usize, item: &Value) -> Result<Value, Fault> {
        let Some(selector) = &map.selector else {
            return Ok(item.clone());
        };
        let outer = self.thread.item.replace((index, item.clone()));
        let selected = self.evaluate(super::Given::default(), |scope| selector.fill("ItemSelector", scope));
        self.thread.item = outer;
        selected
    }
}
