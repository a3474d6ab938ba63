//! A run of one state alone, and the data that TestState shows of it.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{EvalInputs, Execution, Fault, Item, Source, Start, Strand, Visit, VisitResult, context};
use crate::effect::Items;
use crate::failure::Failure;
use crate::ids::{FlowId, StateId};
use crate::machine::StateMachine;
use crate::query::{InspectionCell, InspectionData, Stage, Variables};
use crate::state::{Kind, StateInput, Transition};
use crate::value::Value;

/// AWS's time limit for a test.
const TEST_TIMEOUT: SignedDuration = SignedDuration::from_mins(5);

/// The parameters of a test, and the data that it collects.
#[derive(Debug, Default)]
pub(crate) struct Inspection {
    /// The context object.
    pub context: Value,
    /// Whether the context object is the engine's own. Then the input of a state in a Map is also its item.
    pub input_is_item: bool,
    /// The mocked result of the state's work.
    pub mock: Option<Result<Value, Failure>>,
    /// The mocked items of an `ItemReader`.
    pub items: Option<Items>,
    /// The number of earlier attempts by the retrier that matches the error.
    pub retries: u32,
    /// The number of failed iterations of a Map.
    pub failed_iterations: Option<usize>,
    /// The state inside a Map or Parallel that throws the mocked error.
    pub origin: Option<(FlowId, StateId)>,
    /// The values that the state computed.
    pub data: InspectionData,
    /// The variables after the state.
    pub variables: Variables,
    /// The next state.
    pub next: Option<Arc<str>>,
    /// The error that Retry or Catch handles.
    pub failure: Option<Failure>,
    pub retried_by: Option<usize>,
    /// The delay before AWS's next attempt, in seconds.
    pub delay: Option<u64>,
    pub caught_by: Option<usize>,
    /// The reason why the mock does not suit the state. The test has no answer then.
    pub mock_error: Option<&'static str>,
}

impl Inspection {
    pub(super) fn context(&self, strand: &Strand) -> Value {
        let Some(members) = self.context.as_object() else {
            return self.context.clone();
        };
        let members = members.iter().map(|(name, value)| (Arc::clone(name), value.clone()));
        members.chain(context::map_field(strand)).collect()
    }
}

impl Execution {
    /// A run of one state of a machine. It ends when a strand leaves the state.
    pub(crate) fn inspect(
        machine: Arc<StateMachine>,
        start: Start,
        state: (FlowId, StateId),
        input: Value,
        variables: Variables,
        inspection: Inspection,
        now: Timestamp,
    ) -> Self {
        let item = (inspection.input_is_item && is_in_map(&machine, state.0))
            .then(|| Arc::new(Item { index: 0, value: input.clone(), key: None, source: Source::State }));
        let mut execution = Self::new_idle(machine, start, now);
        let longest = now.checked_add(TEST_TIMEOUT).ok();
        execution.deadline = execution.deadline.into_iter().chain(longest).min();
        execution.inspection = Some(Box::new(inspection));
        execution.enter_first(state, input, now);
        for strand in execution.strands.values_mut() {
            strand.variables = Variables::clone(&variables);
            strand.item.clone_from(&item);
        }
        execution.advance(now);
        execution
    }

    pub(crate) fn inspection(&self) -> Option<&Inspection> {
        self.inspection.as_deref()
    }

    /// Whether this run is a test, which ends here. Stores the variables and the next state for its answer.
    pub(super) fn end_of_test(&mut self, strand: &Strand, to: Transition) -> bool {
        let Some(inspection) = &mut self.inspection else {
            return false;
        };
        inspection.variables = Variables::clone(&strand.variables);
        if inspection.caught_by.is_none() {
            let next = to.target().map(|state| Arc::clone(&self.machine.state(strand.flow, state).name));
            inspection.next = next;
        }
        true
    }
}

/// Whether a flow is inside a Map.
fn is_in_map(machine: &StateMachine, mut flow: FlowId) -> bool {
    while let Some((outer, state)) = machine.flows[flow.0].parent {
        if matches!(machine.state(outer, state).kind, Kind::Map(_)) {
            return true;
        }
        flow = outer;
    }
    false
}

impl Visit<'_> {
    pub(crate) fn is_test(&self) -> bool {
        self.run.inspection.is_some()
    }

    /// Stores a computed value, if the run is a test.
    pub(crate) fn inspect(&mut self, stage: Stage, value: &Value) {
        if let Some(inspection) = &mut self.run.inspection {
            inspection.data.insert(stage, value.clone());
        }
    }

    /// A cell for the values that expressions compute in a test. AWS shows no values of a catcher.
    pub(super) fn new_inspection_cell(&self, inputs: EvalInputs<'_>) -> Option<InspectionCell> {
        (self.is_test() && inputs.error.is_none()).then(InspectionCell::default)
    }

    /// Stores the values that expressions have computed.
    pub(super) fn save_inspection(&mut self, data: Option<InspectionCell>) {
        let Some(mut data) = data.map(InspectionCell::into_inner) else {
            return;
        };
        if !matches!(self.state.kind, Kind::Pass(_) | Kind::Task(_) | Kind::Map(_) | Kind::Parallel(_)) {
            // AWS shows these stages only for states that have a result.
            data.remove(&Stage::AfterResultSelector);
            data.remove(&Stage::AfterResultPath);
        }
        if matches!(self.state.kind, Kind::Parallel(_)) {
            // As on AWS, the test shows only the input of the branches.
            data.remove(&Stage::AfterInputPath);
        }
        if let Some(inspection) = &mut self.run.inspection {
            inspection.data.append(&mut data);
        }
    }

    /// Whether the test shows the value that this input field gives.
    pub(crate) fn inspects(&self, input: &StateInput) -> bool {
        self.is_test() && !input.is_jsonata()
    }

    /// The mocked result of the state's work.
    pub(crate) fn mock(&self) -> Option<Result<Value, Failure>> {
        self.run.inspection.as_ref()?.mock.clone()
    }

    /// The parameters and data of the test.
    pub(crate) fn inspection(&mut self) -> Option<&mut Inspection> {
        self.run.inspection.as_deref_mut()
    }

    /// Applies Retry and Catch of a tested state, and ends the test with their decision. As in a run, an
    /// error without a handler passes to the state around.
    pub(super) fn test_recovery(&mut self, fault: Fault) -> VisitResult {
        let Some(inspection) = &mut self.run.inspection else {
            return Err(fault);
        };
        inspection.failure = Some(fault.failure.clone());
        let retries = inspection.retries;
        let machine = Arc::clone(&self.run.machine);
        let mut position = inspection.origin.take().or(Some((self.strand.flow, self.strand.state)));
        while let Some((flow, state)) = position {
            position = machine.flows[flow.0].parent;
            let Some(recovery) = machine.state(flow, state).kind.recovery() else {
                continue;
            };
            if let Some((index, retrier)) = recovery.retrier(&fault) {
                let delay = retrier.delay(retries.saturating_add(1), &mut self.run.rng);
                let Some(inspection) = &mut self.run.inspection else {
                    break;
                };
                inspection.retried_by = Some(index);
                inspection.delay = delay.map(|delay| delay.as_secs());
                if delay.is_some() {
                    return Err(fault);
                }
            }
            if let Some((index, catcher)) = recovery.catcher(&fault) {
                if let Some(inspection) = &mut self.run.inspection {
                    inspection.caught_by = Some(index);
                    let next = catcher.exit.to.target();
                    inspection.next = next.map(|next| Arc::clone(&machine.state(flow, next).name));
                }
                let error = fault.failure.output();
                let inputs = EvalInputs::error(&error);
                return self.leave(&catcher.exit, &format!("Catch[{index}]/"), inputs);
            }
        }
        Err(fault)
    }
}
