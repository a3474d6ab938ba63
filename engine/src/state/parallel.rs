//! Parallel: every branch gets the input; the outputs come back as one array.

use super::exit::ExitKind;
use super::{Entry, Exit, Recovery};
use crate::history::{Details, EventType};
use crate::ids::FlowId;
use crate::load::{Fields, Place};
use crate::run::{Children, EvalInputs, Next, Step, Visit};
use crate::value::Value;

/// A Parallel state.
#[derive(Debug)]
pub(crate) struct Parallel {
    pub branches: Vec<FlowId>,
    entry: Entry,
    pub exit: Exit,
    pub recovery: Recovery,
}

impl Parallel {
    pub(crate) fn parse<'a>(fields: Fields<'a>, place: &Place<'a>) -> Option<Self> {
        fields.require(&["Branches"]);
        let mut branches = Vec::new();
        for branch in fields.objects("Branches") {
            branch.text("Comment");
            branches.push(place.nested(&branch));
            branch.finish(&[]);
        }
        let entry = Entry::parse(&fields);
        let recovery = Recovery::parse(&fields, place);
        let exit = Exit::parse(&fields, place, ExitKind::Result);
        fields.finish(&[]);
        Some(Self { branches, entry, exit: exit?, recovery: recovery? })
    }

    pub(crate) fn start(&self, visit: &mut Visit<'_>) -> Step {
        let input = visit.evaluate(EvalInputs::default(), |scope| self.entry.effective(scope))?;
        visit.fits(&input)?;
        visit.event(EventType::ParallelStateStarted, Details::None);
        if let Some(answer) = visit.mock() {
            return visit.leave(&self.exit, "", EvalInputs::result(&answer?));
        }
        let inputs = vec![input; self.branches.len()];
        visit.begin(Children::branches(inputs));
        Ok(Next::Wait)
    }

    pub(crate) fn finish(&self, visit: &mut Visit<'_>, outputs: Vec<Value>) -> Step {
        let last = visit.strand.last_event;
        visit.event(EventType::ParallelStateSucceeded, Details::None);
        // What follows points to the last branch's last event, not to the success of the state.
        visit.strand.last_event = last;
        let outputs = Value::from(outputs);
        visit.leave(&self.exit, "", EvalInputs::result(&outputs))
    }
}
