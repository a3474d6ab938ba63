//! The dispatcher: it wakes a strand, its state acts, and the strand waits, moves on or ends.

use std::sync::Arc;

use jiff::Timestamp;

use super::{EvalInputs, Execution, Fault, Strand, Visit, VisitOutcome, VisitResult, Waiting, Wake};
use crate::effect::{Effect, Outcome};
use crate::failure::{Failure, reserved};
use crate::history::{Details, EventType};
use crate::ids::{RunId, StrandId};
use crate::state::Kind;
use crate::state::exit::{ExitResult, Transition};
use crate::state::task::TimeoutKind;

impl Execution {
    /// Wakes the next strand that is ready or due; `false`: there is none.
    pub(super) fn dispatch_next(&mut self, now: Timestamp) -> bool {
        if self.outcome.is_some() {
            return false;
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            // AWS reports no error name here, since the status names the timeout.
            self.end_with(Outcome::TimedOut(Failure::default()), now);
            return true;
        }
        if let Some((_, run)) = self.expiries.first().copied().filter(|(due, _)| *due <= now) {
            self.expire_child(run, now);
            return true;
        }
        let (id, wake) = match self.ready.pop_front() {
            Some(ready) => ready,
            None => match self.timers.first().copied() {
                Some((due, id)) if due <= now => (id, Wake::Time),
                _ => return false,
            },
        };
        // The run has dropped this strand since.
        let Some(mut strand) = self.strands.remove(&id) else {
            return self.remove_timers(id);
        };
        if let Some(due) = strand.due.take() {
            self.timers.remove(&(due, id));
        }
        let machine = Arc::clone(&self.machine);
        let state = machine.state(strand.flow, strand.state);
        let mut visit = Visit { run: self, strand: &mut strand, state, now };
        let mut step = visit.wake(wake);
        if let Err(fault) = step {
            step = if visit.is_test() { visit.test_recovery(fault) } else { visit.recover(fault) };
        }
        if self.is_history_full(strand.run) {
            self.withdraw_task(&strand);
            step = Err(Fault::from(self.history_limit_reached()));
        }
        match step {
            Ok(VisitOutcome::Wait) => self.wait(strand, now),
            Ok(VisitOutcome::Exit(exit)) => self.leave(strand, &state.kind, exit, now),
            Err(fault) => self.end(strand, Outcome::Failed(fault.failure), now),
        }
        true
    }

    /// Removes the timers of a dropped strand.
    fn remove_timers(&mut self, id: StrandId) -> bool {
        self.timers.retain(|(_, strand)| *strand != id);
        true
    }

    /// Whether an event of this run exceeded the history's limit.
    fn is_history_full(&self, run: RunId) -> bool {
        self.runs.get(&run).is_some_and(|run| run.history_overflowed)
    }

    fn history_limit_reached(&self) -> Failure {
        let limit = self.start.history_limit.unwrap_or_default();
        let cause = format!("The execution reached the maximum number of history events ({limit}).");
        Failure::new(reserved::RUNTIME, cause)
    }

    /// Removes a task that the failed visit has just requested.
    fn withdraw_task(&mut self, strand: &Strand) {
        if let Some(task) = strand.waiting.task()
            && self.tasks.remove(&task).is_some()
        {
            self.effects.retain(|effect| !matches!(effect, Effect::StartTask(request) if request.id == task));
        }
    }

    fn wait(&mut self, mut strand: Box<Strand>, now: Timestamp) {
        if matches!(strand.waiting, Waiting::Retry) && strand.ended_children.take().is_some() {
            self.failed.discard_below(strand.id);
        }
        let id = strand.id;
        let parent = matches!(strand.waiting, Waiting::Children(_));
        self.strands.insert(id, strand);
        if parent {
            self.start_children(id, now);
        }
    }

    fn leave(&mut self, mut strand: Box<Strand>, kind: &Kind, exit: ExitResult, now: Timestamp) {
        if strand.ended_children.take().is_some() {
            self.failed.discard_below(strand.id);
        }
        let ExitResult { to, output, assigned } = exit;
        let machine = Arc::clone(&self.machine);
        let name = Arc::clone(&machine.state(strand.flow, strand.state).name);
        if let Some(exited) = kind.exited() {
            let details = Details::Exited { name, output: output.clone(), assigned: assigned.clone() };
            strand.last_event = self.emit(strand.run, strand.last_event, exited, details, now);
        }
        if self.is_history_full(strand.run) {
            let failure = self.history_limit_reached();
            self.end(strand, Outcome::Failed(failure), now);
            return;
        }
        if !assigned.is_empty() {
            Arc::make_mut(&mut strand.variables).extend(assigned);
        }
        if self.end_of_test(&strand, to) {
            self.end(strand, Outcome::Succeeded(output), now);
            return;
        }
        match to {
            Transition::End => self.end(strand, Outcome::Succeeded(output), now),
            Transition::Next(state) => {
                strand.state = state;
                strand.entered_event = 0;
                strand.input = output;
                self.ready.push_back((strand.id, Wake::Enter));
                self.strands.insert(strand.id, strand);
            }
        }
    }

    /// Ends a strand with this outcome.
    pub(super) fn end(&mut self, strand: Box<Strand>, outcome: Outcome, now: Timestamp) {
        let failed = !matches!(outcome, Outcome::Succeeded(_));
        if let Some(parent) = strand.parent {
            self.child_ended(parent, &strand, outcome, now);
            if failed {
                self.failed.add(strand);
            }
            return;
        }
        let (run, last) = (strand.run, strand.last_event);
        if failed {
            self.failed.add(strand);
        }
        self.record_end(run, last, &outcome, now);
        self.ready.clear();
        self.outcome = Some(outcome);
    }
}

impl Visit<'_> {
    fn wake(&mut self, wake: Wake) -> VisitResult {
        let mut waiting = std::mem::replace(&mut self.strand.waiting, Waiting::Nothing);
        if let Waiting::Children(children) = waiting {
            self.strand.ended_children = Some(children);
            waiting = Waiting::Nothing;
        }
        let kind = &self.state.kind;
        match (wake, kind) {
            (Wake::Enter, _) => {
                self.enter();
                self.start()
            }
            (Wake::Redrive, _) => self.start(),
            (Wake::Time, _) if matches!(waiting, Waiting::Retry) => self.start(),
            (Wake::Time, Kind::Wait(wait)) => wait.finish(self),
            (Wake::Time, Kind::Task(task)) => self.expire(task, &waiting),
            (Wake::Update(update), Kind::Task(task)) => task.progress(self, waiting, update),
            (Wake::Answer(answer), Kind::Task(task)) => task.finish(self, &waiting, answer),
            (wake, Kind::Map(map)) => self.wake_map(map, wake, waiting),
            (Wake::Children(Ok(outputs)), Kind::Parallel(parallel)) => parallel.finish(self, outputs),
            (Wake::Children(Err(failure)), _) => Err(Fault::from(failure)),
            (_, kind) => {
                let cause = format!("an unexpected event woke a {} state", kind.name());
                Err(Fault::from(Failure::new(reserved::RUNTIME, cause)))
            }
        }
    }

    fn wake_map(&mut self, map: &crate::state::Map, wake: Wake, waiting: Waiting) -> VisitResult {
        match (wake, waiting, &map.distributed) {
            (Wake::Children(Ok(outputs)), _, None) => map.finish(self, outputs),
            (Wake::Children(result), _, Some(distributed)) => {
                map.children_ended(self, distributed, result.err())
            }
            (Wake::Items(items), Waiting::Items { pending, .. }, Some(distributed)) => {
                map.items_read(self, distributed, *pending, items)
            }
            (Wake::Written(result), Waiting::Results { pending, .. }, Some(_)) => {
                map.results_written(self, *pending, result)
            }
            (Wake::Children(Err(failure)) | Wake::Items(Err(failure)) | Wake::Written(Err(failure)), ..) => {
                Err(Fault::from(failure))
            }
            _ => Err(Fault::from(Failure::new(reserved::RUNTIME, "an unexpected event woke a Map state"))),
        }
    }

    fn enter(&mut self) {
        self.strand.attempts = 0;
        self.strand.failures.clear();
        self.strand.token = None;
        self.strand.entered_at = self.now;
        self.strand.entered_previous = self.strand.last_event;
        let details =
            Details::Entered { name: Arc::clone(&self.state.name), input: self.strand.input.clone() };
        self.strand.entered_event = self.event(self.state.kind.entered(), details);
    }

    fn start(&mut self) -> VisitResult {
        match &self.state.kind {
            Kind::Pass(pass) => pass.start(self),
            Kind::Task(task) => task.start(self),
            Kind::Choice(choice) => choice.start(self),
            Kind::Wait(wait) => wait.start(self),
            Kind::Succeed(succeed) => succeed.start(self),
            Kind::Fail(fail) => fail.start(self),
            Kind::Map(map) => map.start(self),
            Kind::Parallel(parallel) => parallel.start(self),
        }
    }

    fn expire(&mut self, task: &crate::state::Task, waiting: &Waiting) -> VisitResult {
        let Waiting::Task { id, timeout, .. } = waiting else {
            return Ok(VisitOutcome::Wait);
        };
        self.cancel_task(*id);
        let late = timeout.is_some_and(|timeout| timeout <= self.now);
        task.expire(self, if late { TimeoutKind::Timeout } else { TimeoutKind::Heartbeat })
    }

    /// Applies Retry, then Catch. The strand fails if neither matches.
    fn recover(&mut self, fault: Fault) -> VisitResult {
        let fault = self.record_fault(fault);
        let Some(recovery) = self.state.kind.recovery() else {
            return Err(fault);
        };
        if let Some((index, retrier)) = recovery.retrier(&fault) {
            self.strand.failures.resize(recovery.retry.len(), 0);
            self.strand.failures[index] += 1;
            let failures = self.strand.failures[index];
            if let Some(delay) = retrier.delay(failures, &mut self.run.rng) {
                self.strand.attempts += 1;
                self.wait(Waiting::Retry, Some(self.now.saturating_add(delay).unwrap_or(Timestamp::MAX)));
                return Ok(VisitOutcome::Wait);
            }
        }
        if let Some(closing) = self.state.kind.failed()
            && fault.failure.name() != reserved::RUNTIME
        {
            self.event(closing, Details::None);
        }
        let Some((index, catcher)) = recovery.catcher(&fault) else {
            return Err(fault);
        };
        let error = fault.failure.output();
        let inputs = EvalInputs::error(&error);
        self.leave(&catcher.exit, &format!("Catch[{index}]/"), inputs)
            .map_err(|fault| self.record_fault(fault))
    }

    /// Adds the event of a failed expression, if the fault has one.
    pub(crate) fn record_fault(&mut self, mut fault: Fault) -> Fault {
        if let Some(location) = fault.evaluation.take() {
            let details = Details::Evaluation {
                failure: fault.failure.clone(),
                location,
                state: Arc::clone(&self.state.name),
            };
            if self.strand.last_event == self.strand.entered_event {
                // On AWS this event follows the event before the state.
                self.strand.last_event = self.strand.entered_previous;
            }
            self.event(EventType::EvaluationFailed, details);
        }
        fault
    }
}
