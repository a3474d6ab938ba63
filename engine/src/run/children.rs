//! Branches, iterations and child executions: started as room allows, gathered in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Execution, Fault, Given, Run, RunId, Thread, ThreadId, Visit, Waiting, Wake};
use crate::failure::{Failure, reserved};
use crate::history::{Details, EventType};
use crate::machine::FlowId;
use crate::state::{Kind, Map};
use crate::value::{Array, Value};

/// What a Map or Parallel state waits for.
#[derive(Debug)]
pub(crate) struct Children {
    pub inputs: Array,
    outputs: Vec<Option<Value>>,
    /// The next one to start.
    pub next: usize,
    pub running: BTreeMap<ThreadId, usize>,
    concurrency: usize,
    failed: usize,
    /// What a distributed Map bears.
    tolerance: Option<Tolerance>,
    /// The ARN of a distributed Map's run.
    pub map_run: Option<Arc<str>>,
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
                count.is_some_and(|count| failed > count) || percentage.is_some_and(|most| share > most)
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

    /// Keeps what a child came to, a failure with what stands in its output's place. `Some`: it fails them all.
    pub(super) fn gather(
        &mut self,
        child: ThreadId,
        index: usize,
        result: Result<Value, (Failure, Value)>,
    ) -> Option<Failure> {
        self.running.remove(&child);
        match (result, self.tolerance) {
            (Ok(output), _) => {
                self.outputs[index] = Some(output);
                None
            }
            (Err((failure, _)), None) => Some(failure),
            (Err((_, report)), Some(tolerance)) => {
                self.failed += 1;
                self.outputs[index] = Some(report);
                let cause = "The specified tolerated failure threshold was exceeded";
                tolerance
                    .is_exceeded(self.failed, self.inputs.len())
                    .then(|| Failure::new(reserved::EXCEED_TOLERATED_FAILURE_THRESHOLD, cause))
            }
        }
    }
}

/// A child about to start.
struct Beginning {
    index: usize,
    /// Of a Map.
    item: Option<Value>,
    input: Value,
    flow: FlowId,
    map_run: Option<Arc<str>>,
    /// How long the history of a child execution may be.
    limit: Option<u64>,
}

impl Execution {
    /// Starts as many children of a thread as there is room for; ends the wait when none is left.
    pub(super) fn start_children(&mut self, parent: ThreadId, now: Timestamp) {
        while let Some((index, input)) = self.next_child(parent) {
            let Some(mut thread) = self.threads.remove(&parent) else {
                return;
            };
            let begun = self.start_child(&mut thread, index, input, now);
            self.threads.insert(parent, thread);
            if let Err(fault) = begun {
                self.fail_children(parent, fault.failure, now);
                return;
            }
        }
        let Some(thread) = self.threads.get_mut(&parent) else {
            return;
        };
        let Waiting::Children(children) = &mut thread.waiting else {
            return;
        };
        if children.running.is_empty() {
            let outputs = std::mem::take(&mut children.outputs);
            let outputs = outputs.into_iter().map(Option::unwrap_or_default).collect();
            self.ready.push_back((parent, Wake::Children(Ok(outputs))));
        }
    }

    /// The next child's index and input, when there is one and room for it.
    fn next_child(&mut self, parent: ThreadId) -> Option<(usize, Value)> {
        let Waiting::Children(children) = &mut self.threads.get_mut(&parent)?.waiting else {
            return None;
        };
        if children.running.len() >= children.concurrency {
            return None;
        }
        let input = children.inputs.get(children.next)?.clone();
        children.next += 1;
        Some((children.next - 1, input))
    }

    fn start_child(
        &mut self,
        thread: &mut Thread,
        index: usize,
        input: Value,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let machine = Arc::clone(&self.machine);
        let state = machine.state(thread.flow, thread.state);
        let begin = match &state.kind {
            Kind::Parallel(parallel) => {
                let Some(flow) = parallel.branches.get(index).copied() else {
                    return Ok(());
                };
                Beginning { index, item: None, input, flow, map_run: None, limit: None }
            }
            Kind::Map(map) => {
                let mut visit = Visit { run: self, thread, state, now };
                let selected = visit.selected(map, index, &input).map_err(|fault| visit.noted(fault))?;
                let Waiting::Children(children) = &thread.waiting else {
                    return Ok(());
                };
                let map_run = children.map_run.clone();
                let express = map.distributed.as_ref().is_some_and(|distributed| distributed.express);
                let limit = self.about.history_limit.filter(|_| !express);
                Beginning { index, item: Some(input), input: selected, flow: map.processor, map_run, limit }
            }
            _ => return Ok(()),
        };
        let child = self.branch(thread, begin, &state.name, now);
        if let Waiting::Children(children) = &mut thread.waiting {
            children.running.insert(child, index);
        }
        Ok(())
    }

    /// A thread for a child, and for a child of a distributed Map an execution of its own.
    fn branch(&mut self, parent: &Thread, begin: Beginning, name: &Arc<str>, now: Timestamp) -> ThreadId {
        let Beginning { index, item, input, flow, map_run, limit } = begin;
        let start = self.machine.flows[flow.0].start;
        let id = ThreadId(self.number());
        let mut child = Thread::new(id, parent.run, flow, start, input);
        child.parent = Some((parent.id, index));
        if let Some(arn) = map_run {
            child.run = self.child_run(id, &arn, &child.input, limit, now);
        } else {
            child.variables = Arc::clone(&parent.variables);
            child.last_event = parent.last_event;
            if item.is_some() {
                let details = Details::Iteration { name: Arc::clone(name), index };
                child.last_event =
                    self.emit(parent.run, parent.last_event, EventType::MapIterationStarted, details, now);
            }
        }
        child.item = item.map(|item| (index, item)).or_else(|| parent.item.clone());
        self.threads.insert(id, Box::new(child));
        self.ready.push_back((id, Wake::Enter));
        id
    }

    /// The execution a distributed Map starts for an item.
    fn child_run(
        &mut self,
        id: ThreadId,
        map_run: &str,
        input: &Value,
        limit: Option<u64>,
        now: Timestamp,
    ) -> RunId {
        let name: Arc<str> = self.rng.uuid().into();
        // The Map run's ARN ends with an id of its own, where the child's has the child's name.
        let stem = map_run.rsplit_once(':').map_or(map_run, |(stem, _)| stem);
        let stem = stem.replacen(":mapRun:", ":execution:", 1);
        let run = RunId(id.0);
        let id = format!("{stem}:{name}").into();
        self.runs.insert(run, Run::new(id, name, input, now, limit));
        let details = Details::Started { input: input.clone(), role: self.about.role.clone() };
        self.emit(run, 0, EventType::ExecutionStarted, details, now);
        run
    }
}

impl Visit<'_> {
    /// What an iteration gets: the item, or what `ItemSelector` makes of it.
    fn selected(&mut self, map: &Map, index: usize, item: &Value) -> Result<Value, Fault> {
        let Some(selector) = &map.selector else {
            return Ok(item.clone());
        };
        let outer = self.thread.item.replace((index, item.clone()));
        let selected = self.evaluate(Given::default(), |scope| {
            let input = map.entry.input(scope)?;
            selector.fill("ItemSelector", &mut scope.over(&input))
        });
        self.thread.item = outer;
        selected.and_then(|selected| self.fits(&selected).map(|()| selected))
    }
}
