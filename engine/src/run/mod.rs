//! A run of a state machine: its memory and its steps, without a clock, a thread or waiting.
//!
//! `run` and `state` import each other by design (double dispatch): a run calls the state of the kind that a
//! strand is at, and the state acts on the run through its `Visit`.

mod children;
mod context;
mod dataset;
mod dispatch;
mod ending;
mod inspection;
mod journal;
mod map_runs;
mod redrive;
mod spawn;
mod strand;
mod visit;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;

pub(crate) use children::{ChildResult, Children};
pub use context::Start;
pub(crate) use context::{MapRunChild, Run};
pub(crate) use dataset::{Dataset, Item, Source};
pub(crate) use inspection::Inspection;
pub use journal::{Entry, Input, REVISION};
pub(crate) use map_runs::tolerance_exceeded;
pub use map_runs::{Counts, MapRun, MapRunStatus, MapRunUpdate};
pub(crate) use strand::{HostTask, Strand, TaskUpdate, Waiting, Wake, task_due};
pub(crate) use visit::{EvalInputs, Fault, Visit, VisitOutcome, VisitResult};

use crate::effect::{Effect, Items, Outcome};
use crate::failure::{Failure, reserved};
use crate::history::{Details, EventType, HistoryEvent};
use crate::ids::{FlowId, RunId, StateId, StrandId, TaskId};
use crate::machine::StateMachine;
use crate::rng::Rng;
use crate::token::TaskToken;
use crate::value::Value;

/// One execution of a machine.
///
/// The host takes [effects](Self::next_effect) until there is none, executes them, and reports the answers.
/// At the [next due time](Self::next_due) it calls again. A host with a journal applies [steps](Self::step)
/// instead, and can rebuild the run with [`replay`](Self::replay).
#[derive(Debug)]
pub struct Execution {
    machine: Arc<StateMachine>,
    start: Start,
    strands: BTreeMap<StrandId, Box<Strand>>,
    /// The run itself is the first; the others are children of distributed Maps.
    runs: BTreeMap<RunId, Run>,
    map_runs: Vec<MapRun>,
    ready: VecDeque<(StrandId, Wake)>,
    timers: BTreeSet<(Timestamp, StrandId)>,
    /// The deadlines of EXPRESS children of distributed Maps.
    expiries: BTreeSet<(Timestamp, RunId)>,
    tasks: BTreeMap<TaskId, StrandId>,
    effects: VecDeque<Effect>,
    deadline: Option<Timestamp>,
    rng: Rng,
    /// The last number given to a strand, a task or a child execution.
    last_number: u64,
    /// The moment of the last step.
    at: Timestamp,
    failed: redrive::FailedStrands,
    outcome: Option<Outcome>,
    /// Set only in a test of one state.
    inspection: Option<Box<Inspection>>,
}

impl Execution {
    /// A run after its first step.
    pub fn start(machine: Arc<StateMachine>, start: Start, input: Value, now: Timestamp) -> Self {
        let first = machine.flows[0].start;
        let mut execution = Self::new_idle(machine, start, now);
        execution.enter_first((FlowId(0), first), input, now);
        execution.advance(now);
        execution
    }

    fn new_idle(machine: Arc<StateMachine>, start: Start, now: Timestamp) -> Self {
        let deadline = machine.timeout().and_then(|timeout| now.checked_add(timeout).ok());
        Self {
            rng: Rng::new(start.seed),
            machine,
            start,
            strands: BTreeMap::new(),
            runs: BTreeMap::new(),
            map_runs: Vec::new(),
            ready: VecDeque::new(),
            timers: BTreeSet::new(),
            expiries: BTreeSet::new(),
            tasks: BTreeMap::new(),
            effects: VecDeque::new(),
            deadline,
            last_number: 0,
            at: now,
            failed: redrive::FailedStrands::default(),
            outcome: None,
            inspection: None,
        }
    }

    fn enter_first(&mut self, (flow, state): (FlowId, StateId), input: Value, now: Timestamp) {
        let (id, name) = (Arc::clone(&self.start.execution_id), Arc::clone(&self.start.execution_name));
        let run = Run::new(id, name, &input, now, self.start.history_limit);
        self.runs.insert(RunId::ROOT, run);
        let details = Details::Started { input: input.clone(), role: self.start.role.clone() };
        self.emit(RunId::ROOT, 0, EventType::ExecutionStarted, details, now);
        let id = StrandId(self.next_number());
        let strand = Strand::new(id, RunId::ROOT, flow, state, input);
        if strand.input.json_len() > MAX_PAYLOAD_BYTES {
            let cause = "The input of the execution is larger than 262144 bytes";
            self.end_with(Outcome::Failed(Failure::new(reserved::DATA_LIMIT_EXCEEDED, cause)), now);
            return;
        }
        self.strands.insert(id, Box::new(strand));
        self.ready.push_back((id, Wake::Enter));
    }

    /// The next effect for the host; `None`: the run waits for an answer or a due time.
    pub fn next_effect(&mut self, now: Timestamp) -> Option<Effect> {
        self.at = now;
        while self.effects.is_empty() && self.dispatch_next(now) {}
        self.effects.pop_front()
    }

    /// The time of the next step, unless an input comes before.
    pub fn next_due(&self) -> Option<Timestamp> {
        if self.outcome.is_some() {
            return None;
        }
        if !self.ready.is_empty() {
            return Some(self.at);
        }
        let timer = self.timers.first().map(|(due, _)| *due);
        let expiry = self.expiries.first().map(|(due, _)| *due);
        timer.into_iter().chain(expiry).chain(self.deadline).min()
    }

    /// The run's outcome, once it has ended. Some effects may still wait for the host.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// The machine of this run.
    pub fn machine(&self) -> &Arc<StateMachine> {
        &self.machine
    }

    /// Reports the result of a task. The run ignores a result that it no longer waits for.
    pub fn task_done(&mut self, task: TaskId, result: Result<Value, Failure>) {
        if let Some(strand) = self.tasks.remove(&task) {
            self.ready.push_back((strand, Wake::Answer(result)));
        }
    }

    /// Reports that a service accepted the request of a callback or of a job, with its answer.
    pub fn task_submitted(&mut self, task: TaskId, output: Value) {
        self.task_updated(task, TaskUpdate::Submitted(output));
    }

    /// Reports that a worker has received the task of an activity.
    pub fn task_started(&mut self, task: TaskId, worker: Option<Arc<str>>) {
        self.task_updated(task, TaskUpdate::Started(worker));
    }

    fn task_updated(&mut self, task: TaskId, update: TaskUpdate) {
        if let Some(strand) = self.tasks.get(&task) {
            self.ready.push_back((*strand, Wake::Update(update)));
        }
    }

    /// Whether the run waits for the task that a token names.
    pub fn waits_for(&self, token: &TaskToken) -> bool {
        let strand = self.tasks.get(&token.task).and_then(|strand| self.strands.get(strand));
        strand.is_some_and(|strand| strand.token.as_ref() == Some(token))
    }

    /// Reports the items for a distributed Map.
    pub fn items_read(&mut self, reading: TaskId, items: Result<Items, Failure>) {
        if let Some(strand) = self.tasks.remove(&reading) {
            self.ready.push_back((strand, Wake::Items(items)));
        }
    }

    /// Reports that the host has written the results of a distributed Map, or the reason why it could not.
    pub fn results_written(&mut self, writing: TaskId, result: Result<(), Failure>) {
        if let Some(strand) = self.tasks.remove(&writing) {
            self.ready.push_back((strand, Wake::Written(result)));
        }
    }

    /// Reports a heartbeat of a task: its heartbeat timeout starts again.
    pub fn heartbeat(&mut self, task: TaskId, now: Timestamp) {
        let strand = self.tasks.get(&task).and_then(|strand| self.strands.get_mut(strand));
        let Some(strand) = strand else { return };
        let Waiting::Task { timeout, heartbeat: heartbeat @ Some(_), .. } = strand.waiting else {
            return;
        };
        set_timer(&mut self.timers, strand, task_due(timeout, heartbeat, now));
    }

    /// Handles a restart of the host: in-process tasks start again, and so do their timeouts and the time
    /// limits of EXPRESS children.
    pub(super) fn resume(&mut self, now: Timestamp) {
        for strand in self.strands.values_mut() {
            let Waiting::Task { host_task: Some(HostTask { limit }), timeout, heartbeat, .. } =
                &mut strand.waiting
            else {
                continue;
            };
            *timeout = limit.and_then(|limit| now.checked_add(limit).ok());
            let due = task_due(*timeout, *heartbeat, now);
            set_timer(&mut self.timers, strand, due);
        }
        self.expiries.clear();
        for (id, run) in &mut self.runs {
            run.deadline = run.expiry(now);
            self.expiries.extend(run.deadline.map(|deadline| (deadline, *id)));
        }
    }

    /// Stops the run.
    pub fn stop(&mut self, why: Failure, now: Timestamp) {
        if self.outcome.is_none() {
            self.end_with(Outcome::Aborted(why), now);
        }
    }

    /// Ends the run at once, and drops all its strands.
    fn end_with(&mut self, outcome: Outcome, now: Timestamp) {
        let last =
            self.strands.values().filter(|strand| strand.run == RunId::ROOT).map(|t| t.last_event).max();
        let all: Vec<_> = self.strands.keys().copied().collect();
        for strand in all {
            if let Some(strand) = self.drop_strand(strand) {
                self.failed.add(strand);
            }
        }
        self.ready.clear();
        let children: Vec<_> = self.runs.keys().copied().filter(|run| *run != RunId::ROOT).collect();
        for child in children {
            let previous = self.runs.get(&child).map_or(0, |run| run.events);
            self.record_end(child, previous, &Outcome::Aborted(Failure::default()), now);
            if let Some(run) = self.remove_run(child) {
                self.failed.add_run(child, run);
            }
        }
        for run in self.map_runs.iter_mut().filter(|run| run.status == MapRunStatus::Running) {
            run.end(MapRunStatus::Aborted, now);
        }
        self.record_end(RunId::ROOT, last.unwrap_or(0), &outcome, now);
        self.outcome = Some(outcome);
    }

    /// Adds the last event of an execution.
    fn record_end(&mut self, run: RunId, previous: u64, outcome: &Outcome, now: Timestamp) {
        let mut previous = previous;
        let (kind, details) = match outcome {
            Outcome::Succeeded(output) => (EventType::ExecutionSucceeded, Details::Output(output.clone())),
            Outcome::Failed(failure) => (EventType::ExecutionFailed, Details::Failed(failure.clone())),
            Outcome::TimedOut(failure) => {
                // As on AWS, this event always names the error and follows no other event.
                previous = 0;
                let error = failure.error.clone().or_else(|| Some(reserved::TIMEOUT.to_owned()));
                (EventType::ExecutionTimedOut, Details::Failed(Failure { error, ..failure.clone() }))
            }
            Outcome::Aborted(failure) => (EventType::ExecutionAborted, Details::Failed(failure.clone())),
        };
        self.emit(run, previous, kind, details, now);
        if let Some(child) = self.runs.get(&run).and_then(|run| run.map_run_child)
            && let Some(map_run) = self.map_run(child.run)
        {
            map_run.child_ended(outcome, child.items);
        }
    }

    /// Removes a child execution that has ended.
    fn remove_run(&mut self, run: RunId) -> Option<Run> {
        let closed = self.runs.remove(&run)?;
        closed.deadline.iter().for_each(|deadline| _ = self.expiries.remove(&(*deadline, run)));
        Some(closed)
    }

    /// Removes a strand with its timer, and cancels its task.
    fn drop_strand(&mut self, id: StrandId) -> Option<Box<Strand>> {
        let mut strand = self.strands.remove(&id)?;
        if let Some(due) = strand.due.take() {
            self.timers.remove(&(due, id));
        }
        if let Some(task) = strand.waiting.task()
            && self.tasks.remove(&task).is_some()
        {
            self.effects.push_back(Effect::Cancel(task));
        }
        Some(strand)
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn emit(&mut self, run: RunId, previous: u64, kind: EventType, details: Details, now: Timestamp) -> u64 {
        let Some(run) = self.runs.get_mut(&run) else {
            return previous;
        };
        // The last free place belongs to the event that ends the execution.
        if !kind.ends_execution() && run.has_room_for_end_only() {
            run.history_overflowed = true;
            return previous;
        }
        run.events += 1;
        let event = HistoryEvent {
            execution: Arc::clone(&run.id),
            id: run.events,
            previous_event_id: previous,
            timestamp: now,
            kind,
            details,
        };
        self.effects.push_back(Effect::Event(event));
        run.events
    }
}

/// Moves a strand's timer to another moment.
fn set_timer(timers: &mut BTreeSet<(Timestamp, StrandId)>, strand: &mut Strand, due: Option<Timestamp>) {
    if let Some(old) = std::mem::replace(&mut strand.due, due) {
        timers.remove(&(old, strand.id));
    }
    timers.extend(due.map(|due| (due, strand.id)));
}

/// AWS's limit for a state's input, output and result, in bytes of JSON.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 262_144;
