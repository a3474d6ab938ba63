//! Succeed: ends its flow well.

use super::entry::Entry;
use crate::load::Fields;
use crate::run::{EvalInputs, Step, Visit};
use crate::state::Exit;

/// A Succeed state.
#[derive(Debug)]
pub(crate) struct Succeed {
    entry: Entry,
    exit: Exit,
}

impl Succeed {
    pub(crate) fn parse(fields: Fields<'_>) -> Self {
        let state = Self { entry: Entry::plain(&fields), exit: Exit::parse_end(&fields) };
        fields.finish(&[]);
        state
    }

    pub(crate) fn start(&self, visit: &mut Visit<'_>) -> Step {
        if self.entry.is_passthrough() && !visit.sees(&self.entry) {
            return visit.leave(&self.exit, "", EvalInputs::default());
        }
        let input = visit.evaluate(EvalInputs::default(), |scope| self.entry.input(scope))?;
        visit.leave(&self.exit, "", EvalInputs::result(&input))
    }
}
