//! Succeed: ends its flow well.

use super::entry::Entry;
use crate::load::Fields;
use crate::run::{Given, Step, Visit};
use crate::state::Exit;

/// A Succeed state.
#[derive(Debug)]
pub(crate) struct Succeed {
    entry: Entry,
    exit: Exit,
}

impl Succeed {
    pub(crate) fn parse(fields: Fields<'_>) -> Self {
        let state = Self { entry: Entry::plain(&fields), exit: Exit::end(&fields) };
        fields.finish(&[]);
        state
    }

    pub(crate) fn start(&self, visit: &mut Visit<'_>) -> Step {
        if self.entry.is_bare() && !visit.sees(&self.entry) {
            return visit.leave(&self.exit, "", Given::default());
        }
        let input = visit.evaluate(Given::default(), |scope| self.entry.input(scope))?;
        visit.leave(&self.exit, "", Given::result(&input))
    }
}
