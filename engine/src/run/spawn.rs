//! The start of branches, iterations and child executions, within the concurrency of their parent.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Execution, Fault, Item, MapRunChild, Run, Strand, Visit, Waiting, Wake};
use crate::history::{Details, EventType};
use crate::ids::{FlowId, RunId, StrandId};
use crate::state::{Kind, Map};
use crate::value::Value;

/// The parameters of a new child.
struct NewChild {
    index: usize,
    /// The item, in a Map.
    item: Option<Arc<Item>>,
    input: Value,
    flow: FlowId,
    map_run_child: Option<MapRunChild>,
}

impl Execution {
    /// Starts as many children as the concurrency allows. Wakes the parent if no child is left.
    pub(super) fn start_children(&mut self, parent: StrandId, now: Timestamp) {
        while let Some((item, failed)) = self.next_child(parent) {
            let Some(mut strand) = self.strands.remove(&parent) else {
                return;
            };
            let first = failed.is_none();
            let failed = failed.and_then(|child| self.redrive_child(&mut strand, &item, child, now));
            let begun = if failed.is_some() { Ok(()) } else { self.start_child(&mut strand, item, now) };
            self.strands.insert(parent, strand);
            if let Some(child) = failed {
                self.redrive_strand(child, now);
            }
            if let Err(fault) = begun {
                if first {
                    self.rewind_last_child(parent);
                }
                self.fail_children(parent, fault.failure, now);
                return;
            }
        }
        let Some(strand) = self.strands.get_mut(&parent) else {
            return;
        };
        let Waiting::Children(children) = &mut strand.waiting else {
            return;
        };
        if children.running.is_empty() {
            let outputs = if children.map_run.is_some() {
                Vec::new()
            } else {
                std::mem::take(&mut children.outputs).into_iter().map(Option::unwrap_or_default).collect()
            };
            self.ready.push_back((parent, Wake::Children(Ok(outputs))));
        }
    }

    /// The next child's item, if the concurrency allows one; and its failed strand, if it is a redrive.
    fn next_child(&mut self, parent: StrandId) -> Option<(Arc<Item>, Option<StrandId>)> {
        let Waiting::Children(children) = &mut self.strands.get_mut(&parent)?.waiting else {
            return None;
        };
        if children.running.len() >= children.concurrency {
            return None;
        }
        if let Some((index, child)) = children.to_redrive.pop_front() {
            return Some((children.dataset.item(index)?, Some(child)));
        }
        let item = children.dataset.item(children.next)?;
        children.next += 1;
        Some((item, None))
    }

    /// Counts the last child as not started, since its input failed. A redrive starts with it.
    fn rewind_last_child(&mut self, parent: StrandId) {
        if let Some(Waiting::Children(children)) =
            self.strands.get_mut(&parent).map(|strand| &mut strand.waiting)
        {
            children.next = children.next.saturating_sub(1);
        }
    }

    fn start_child(&mut self, strand: &mut Strand, item: Arc<Item>, now: Timestamp) -> Result<(), Fault> {
        let machine = Arc::clone(&self.machine);
        let state = machine.state(strand.flow, strand.state);
        let index = item.index;
        let new = match &state.kind {
            Kind::Parallel(parallel) => {
                let Some(flow) = parallel.branches.get(index).copied() else {
                    return Ok(());
                };
                NewChild { index, item: None, input: item.value.clone(), flow, map_run_child: None }
            }
            Kind::Map(map) => {
                let Waiting::Children(children) = &strand.waiting else {
                    return Ok(());
                };
                let (batched, items) = (children.batches.is_some(), children.items_of(index));
                let express = map.distributed.as_ref().is_some_and(|distributed| distributed.express);
                let map_run_child = children.map_run.map(|run| MapRunChild { run, items, express });
                let flow = map.processor;
                if batched {
                    NewChild { index, item: None, input: item.value.clone(), flow, map_run_child }
                } else {
                    let mut visit = Visit { run: self, strand, state, now };
                    let selected = visit.iteration_input(map, Arc::clone(&item));
                    let input = selected.map_err(|fault| visit.record_fault(fault))?;
                    NewChild { index, item: Some(item), input, flow, map_run_child }
                }
            }
            _ => return Ok(()),
        };
        let child = self.add_child(strand, new, &state.name, now);
        if let Waiting::Children(children) = &mut strand.waiting {
            children.running.insert(child, index);
        }
        Ok(())
    }

    /// Adds the strand of a child. A child of a distributed Map also has an execution of its own.
    fn add_child(&mut self, parent: &Strand, new: NewChild, name: &Arc<str>, now: Timestamp) -> StrandId {
        let NewChild { index, item, input, flow, map_run_child } = new;
        let start = self.machine.flows[flow.0].start;
        let id = StrandId(self.next_number());
        let mut child = Strand::new(id, parent.run, flow, start, input);
        child.parent = Some((parent.id, index));
        if let Some(map_run_child) = map_run_child {
            child.run = self.add_child_run(id, &child.input, map_run_child, now);
            child.item = item;
        } else {
            child.variables = Arc::clone(&parent.variables);
            child.last_event = parent.last_event;
            if item.is_some() {
                let details = Details::Iteration { name: Arc::clone(name), index };
                child.last_event =
                    self.emit(parent.run, parent.last_event, EventType::MapIterationStarted, details, now);
            }
            child.item = item.or_else(|| parent.item.clone());
        }
        self.strands.insert(id, Box::new(child));
        self.ready.push_back((id, Wake::Enter));
        id
    }

    /// Adds the execution of a distributed Map's child.
    fn add_child_run(
        &mut self,
        id: StrandId,
        input: &Value,
        map_run_child: MapRunChild,
        now: Timestamp,
    ) -> RunId {
        let name: Arc<str> = self.rng.uuid().into();
        let map_run = self.map_run(map_run_child.run).map(|run| {
            run.child_started(map_run_child.items);
            Arc::clone(&run.arn)
        });
        let map_run = map_run.unwrap_or_default();
        // A Map run's ARN ends with its own id. The child's ARN has the child's name there.
        let stem = map_run.rsplit_once(':').map_or(&*map_run, |(stem, _)| stem);
        let stem = stem.replacen(":mapRun:", ":execution:", 1);
        let run = RunId(id.0);
        let id = format!("{stem}:{name}").into();
        let limit = self.start.history_limit.filter(|_| !map_run_child.express);
        let mut child = Run { map_run_child: Some(map_run_child), ..Run::new(id, name, input, now, limit) };
        child.deadline = child.expiry(now);
        self.expiries.extend(child.deadline.map(|deadline| (deadline, run)));
        self.runs.insert(run, child);
        let details = Details::Started { input: input.clone(), role: self.start.role.clone() };
        self.emit(run, 0, EventType::ExecutionStarted, details, now);
        run
    }
}

impl Visit<'_> {
    /// The input of an iteration: the item, or the value that `ItemSelector` makes from it.
    pub(crate) fn iteration_input(&mut self, map: &Map, item: Arc<Item>) -> Result<Value, Fault> {
        let Some(selector) = &map.selector else {
            let input = item.input();
            return self.check_payload(&input).map(|()| input);
        };
        let outer = self.strand.item.replace(item);
        let selected = self.evaluate_in_map(|scope| selector.fill("ItemSelector", scope));
        self.strand.item = outer;
        selected.and_then(|selected| self.check_payload(&selected).map(|()| selected))
    }
}
