//! Parallel: gives its input to every branch, and collects the outputs in an array.

use super::exit::ExitKind;
use super::{Exit, Recovery, StateInput};
use crate::history::{Details, EventType};
use crate::ids::FlowId;
use crate::load::{Fields, ParseContext};
use crate::run::{Children, EvalInputs, Visit, VisitOutcome, VisitResult};
use crate::value::Value;

#[derive(Debug)]
pub(crate) struct Parallel {
    pub branches: Vec<FlowId>,
    input: StateInput,
    pub exit: Exit,
    pub recovery: Recovery,
}

impl Parallel {
    pub(crate) fn parse<'a>(fields: Fields<'a>, context: &ParseContext<'a>) -> Option<Self> {
        fields.require(&["Branches"]);
        let mut branches = Vec::new();
        for branch in fields.nonempty_objects("Branches") {
            branch.text("Comment");
            branches.push(context.nested(&branch));
            branch.finish(&[]);
        }
        let input = StateInput::parse(&fields);
        let recovery = Recovery::parse(&fields, context);
        let exit = Exit::parse(&fields, context, ExitKind::Result);
        fields.finish(&[]);
        Some(Self { branches, input, exit: exit?, recovery: recovery? })
    }

    pub(crate) fn start(&self, visit: &mut Visit<'_>) -> VisitResult {
        let input = visit.evaluate(EvalInputs::default(), |scope| self.input.payload(scope))?;
        visit.check_payload(&input)?;
        visit.event(EventType::ParallelStateStarted, Details::None);
        if let Some(answer) = visit.mock() {
            return visit.leave(&self.exit, "", EvalInputs::result(&answer?));
        }
        let inputs = vec![input; self.branches.len()];
        visit.wait_for_children(Children::branches(inputs));
        Ok(VisitOutcome::Wait)
    }

    pub(crate) fn finish(&self, visit: &mut Visit<'_>, outputs: Vec<Value>) -> VisitResult {
        let last = visit.strand.last_event;
        visit.event(EventType::ParallelStateSucceeded, Details::None);
        // On AWS the next event follows the last branch's last event, not the success of the state.
        visit.strand.last_event = last;
        let outputs = Value::from(outputs);
        visit.leave(&self.exit, "", EvalInputs::result(&outputs))
    }
}
