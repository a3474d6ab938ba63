//! A visit: the access that a state has to its run while it acts.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    Children, Execution, MAX_PAYLOAD_BYTES, MapRun, MapRunStatus, MapRunUpdate, Strand, Waiting, context,
};
use crate::effect::Effect;
use crate::failure::{Failure, reserved};
use crate::history::{Details, EventType};
use crate::ids::{MapRunId, TaskId};
use crate::machine::State;
use crate::query::{EvaluationError, Scope};
use crate::rng::Rng;
use crate::state::exit::ExitResult;
use crate::state::{Exit, Kind};
use crate::token::TaskToken;
use crate::value::{MAX_DEPTH, Value};

/// AWS's limit for all variables of an execution, in bytes of JSON.
const MAX_VARIABLES_BYTES: usize = 10 * 1024 * 1024;

/// One visit of a strand to a state.
pub(crate) struct Visit<'a> {
    pub run: &'a mut Execution,
    pub strand: &'a mut Strand,
    pub state: &'a State,
    pub now: Timestamp,
}

/// The result of a visit.
pub(crate) type VisitResult = Result<VisitOutcome, Fault>;

/// The strand's next move after a visit.
pub(crate) enum VisitOutcome {
    /// The strand waits for an event.
    Wait,
    Exit(ExitResult),
}

/// A failure of a state, before Retry and Catch.
#[derive(Debug)]
pub(crate) struct Fault {
    pub failure: Failure,
    /// Set when an expression failed, with its location.
    pub evaluation: Option<Option<String>>,
    /// Only the exact name catches it, no wildcard. The engine itself found a payload too large.
    pub terminal: bool,
}

/// The members of `$states` that an evaluation adds to the state's raw input.
#[derive(Clone, Copy, Default)]
pub(crate) struct EvalInputs<'a> {
    /// The input after `InputPath`, when it differs from the raw one.
    pub input: Option<&'a Value>,
    pub result: Option<&'a Value>,
    pub error: Option<&'a Value>,
}

impl<'a> EvalInputs<'a> {
    pub(crate) fn input(input: &'a Value) -> Self {
        Self { input: Some(input), ..Self::default() }
    }

    pub(crate) fn result(result: &'a Value) -> Self {
        Self { result: Some(result), ..Self::default() }
    }

    pub(crate) fn error(error: &'a Value) -> Self {
        Self { error: Some(error), ..Self::default() }
    }

    /// The state's result so far: the error, the result or the input.
    fn outcome(self) -> Option<&'a Value> {
        self.error.or(self.result).or(self.input)
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self { failure, evaluation: None, terminal: false }
    }
}

impl Fault {
    /// Whether one of these names of an `ErrorEquals` matches the fault.
    pub(crate) fn matches(&self, names: &[Arc<str>]) -> bool {
        if self.terminal {
            return names.iter().any(|name| **name == *self.failure.name());
        }
        self.failure.matches(names)
    }
}

impl Visit<'_> {
    /// Evaluates expressions in the scope of this visit.
    pub(crate) fn evaluate<T>(
        &mut self,
        inputs: EvalInputs<'_>,
        read: impl FnOnce(&mut Scope<'_>) -> Result<T, EvaluationError>,
    ) -> Result<T, Fault> {
        let inspection = self.new_inspection_cell(inputs);
        let mut rng: Rng = self.run.rng;
        let (run, strand, state) = (&*self.run, &*self.strand, self.state);
        let context = || {
            if let Some(inspection) = &run.inspection {
                return inspection.context(strand);
            }
            let own = run.runs.get(&strand.run);
            own.map_or(Value::Null, |own| {
                context::context_object(&run.start, run.machine.kind, own, strand, state)
            })
        };
        let mut scope = Scope {
            input: inputs.input.unwrap_or(&strand.input),
            result: inputs.result,
            error: inputs.error,
            context: &context,
            variables: &strand.variables,
            now: self.now,
            rng: &mut rng,
            inspection: inspection.as_ref(),
        };
        let read = read(&mut scope);
        self.run.rng = rng;
        self.save_inspection(inspection);
        read.map_err(|error| {
            // Only JSONata has an event for a failed expression.
            let jsonata = error.error == reserved::QUERY_EVALUATION_ERROR;
            let failure = Failure::new(error.error, self.cause_in_state(&error.cause));
            Fault { failure, evaluation: jsonata.then_some(error.location), terminal: false }
        })
    }

    /// Evaluates the fields of a Map on its input after `InputPath`.
    pub(crate) fn evaluate_in_map<T>(
        &mut self,
        read: impl FnOnce(&mut Scope<'_>) -> Result<T, EvaluationError>,
    ) -> Result<T, Fault> {
        let Kind::Map(map) = &self.state.kind else {
            return self.evaluate(EvalInputs::default(), read);
        };
        self.evaluate(EvalInputs::default(), |scope| {
            let input = map.input.select(scope)?;
            read(&mut scope.over(&input))
        })
    }

    /// The cause, after AWS's words that name the state.
    pub(crate) fn cause_in_state(&self, cause: &str) -> String {
        if self.mock().is_some() {
            // No event entered a mocked state.
            return cause.to_owned();
        }
        format!(
            "An error occurred while executing the state '{}' (entered at the event id #{}). {cause}",
            self.state.name, self.strand.entered_event
        )
    }

    /// Leaves the state by this exit.
    pub(crate) fn leave(&mut self, exit: &Exit, prefix: &str, inputs: EvalInputs<'_>) -> VisitResult {
        let result = if exit.is_passthrough() && !self.is_test() {
            // This shortcut evaluates and copies nothing.
            let output = inputs.outcome().unwrap_or(&self.strand.input).clone();
            ExitResult { to: exit.to, output, assigned: Vec::new() }
        } else {
            self.evaluate(inputs, |scope| {
                let result = inputs.outcome().unwrap_or(scope.input);
                exit.evaluate(prefix, result, scope)
            })?
        };
        self.check_payload(&result.output)?;
        self.check_variables(&result.assigned)?;
        Ok(VisitOutcome::Exit(result))
    }

    /// Checks the size and the depth of a payload.
    pub(crate) fn check_payload(&self, payload: &Value) -> Result<(), Fault> {
        let cause = if payload.json_len() > MAX_PAYLOAD_BYTES {
            format!(
                "The state/task '{}' returned a result with a size exceeding the maximum number of bytes service limit.",
                self.state.name
            )
        } else if payload.is_too_deep() {
            self.cause_in_state(&too_deep())
        } else {
            return Ok(());
        };
        Err(Fault { terminal: true, ..Failure::new(reserved::DATA_LIMIT_EXCEEDED, cause).into() })
    }

    /// Checks the size and the depth of new variables.
    fn check_variables(&self, assigned: &[(Arc<str>, Value)]) -> Result<(), Fault> {
        if assigned.is_empty() {
            return Ok(());
        }
        let new: usize = assigned.iter().map(|(_, value)| value.json_len()).sum();
        let kept =
            self.strand.variables.iter().filter(|(name, _)| assigned.iter().all(|(own, _)| own != *name));
        let all = new + kept.map(|(_, value)| value.json_len()).sum::<usize>();
        let cause = if new > MAX_PAYLOAD_BYTES || all > MAX_VARIABLES_BYTES {
            "The variables are larger than 262144 bytes at once or 10485760 bytes in all.".to_owned()
        } else if assigned.iter().any(|(_, value)| value.is_too_deep()) {
            too_deep()
        } else {
            return Ok(());
        };
        let cause = self.cause_in_state(&cause);
        Err(Fault { terminal: true, ..Failure::new(reserved::DATA_LIMIT_EXCEEDED, cause).into() })
    }

    /// Adds an event to the history. Later events of the strand follow it.
    pub(crate) fn event(&mut self, kind: EventType, details: Details) -> u64 {
        let previous = self.strand.last_event;
        self.strand.last_event = self.run.emit(self.strand.run, previous, kind, details, self.now);
        self.strand.last_event
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.run.effects.push_back(effect);
    }

    /// A new task id, whose answers reach this strand.
    pub(crate) fn register_new_task(&mut self) -> TaskId {
        let id = self.new_task_id();
        self.register_task(id);
        id
    }

    /// A new task id.
    pub(crate) fn new_task_id(&mut self) -> TaskId {
        TaskId(self.run.next_number())
    }

    /// Directs the answers of this task to this strand.
    pub(crate) fn register_task(&mut self, id: TaskId) {
        self.run.tasks.insert(id, self.strand.id);
    }

    /// Cancels a task and ignores its answers.
    pub(crate) fn cancel_task(&mut self, id: TaskId) {
        self.run.tasks.remove(&id);
        self.effect(Effect::Cancel(id));
    }

    /// A token with a new task id.
    pub(crate) fn new_token(&mut self) -> TaskToken {
        let execution = Arc::clone(&self.run.start.execution_id);
        TaskToken::new(execution, self.new_task_id(), self.run.rng.bits())
    }

    pub(crate) fn wait(&mut self, waiting: Waiting, due: Option<Timestamp>) {
        self.strand.waiting = waiting;
        self.strand.due = due;
        self.run.timers.extend(due.map(|due| (due, self.strand.id)));
    }

    /// Waits for children. The run starts them after this visit.
    pub(crate) fn wait_for_children(&mut self, children: Children) {
        self.wait(Waiting::Children(Box::new(children)), None);
    }

    /// The id of the current execution.
    pub(crate) fn execution(&self) -> Arc<str> {
        let run = self.run.runs.get(&self.strand.run);
        run.map_or_else(|| Arc::clone(&self.run.start.execution_id), |run| Arc::clone(&run.id))
    }

    /// The region in the machine's ARN.
    pub(crate) fn region(&self) -> Arc<str> {
        self.run.start.machine_id.split(':').nth(3).unwrap_or("us-east-1").into()
    }

    /// Starts a Map run.
    pub(crate) fn start_map_run(&mut self, label: Option<&str>, limits: MapRunUpdate) -> MapRunId {
        let machine = self.run.start.machine_id.replacen(":stateMachine:", ":mapRun:", 1);
        let label = label.map_or_else(|| self.run.rng.uuid(), str::to_owned);
        let arn: Arc<str> = format!("{machine}/{label}:{}", self.run.rng.uuid()).into();
        self.event(EventType::MapRunStarted, Details::MapRun { arn: Arc::clone(&arn) });
        let run = MapRun::new(arn, self.execution(), limits, self.now);
        self.run.add_map_run(run)
    }

    /// Ends a Map run.
    pub(crate) fn end_map_run(&mut self, run: MapRunId, status: MapRunStatus) {
        let now = self.now;
        self.run.map_run(run).into_iter().for_each(|run| run.end(status, now));
    }
}

fn too_deep() -> String {
    format!("The data is nested more than {MAX_DEPTH} levels deep.")
}
