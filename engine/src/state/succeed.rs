//! Succeed: ends its flow with success.

use super::input::StateInput;
use crate::load::Fields;
use crate::run::{EvalInputs, Visit, VisitResult};
use crate::state::Exit;

#[derive(Debug)]
pub(crate) struct Succeed {
    input: StateInput,
    exit: Exit,
}

impl Succeed {
    pub(crate) fn parse(fields: Fields<'_>) -> Self {
        let state = Self { input: StateInput::parse_path(&fields), exit: Exit::parse_end(&fields) };
        fields.finish(&[]);
        state
    }

    pub(crate) fn start(&self, visit: &mut Visit<'_>) -> VisitResult {
        if self.input.is_passthrough() && !visit.inspects(&self.input) {
            return visit.leave(&self.exit, "", EvalInputs::default());
        }
        let input = visit.evaluate(EvalInputs::default(), |scope| self.input.select(scope))?;
        visit.leave(&self.exit, "", EvalInputs::result(&input))
    }
}
