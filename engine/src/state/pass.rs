//! Pass: outputs its input, or the value that its fields make from it.

use super::Exit;
use super::exit::ExitKind;
use super::input::StateInput;
use crate::load::{Fields, ParseContext};
use crate::query::{Language, Stage};
use crate::run::{EvalInputs, Visit, VisitResult};
use crate::value::Value;

#[derive(Debug)]
pub(crate) struct Pass {
    input: StateInput,
    /// A fixed result in place of the input.
    result: Option<Value>,
    pub exit: Exit,
}

impl Pass {
    pub(crate) fn parse(fields: Fields<'_>, context: &ParseContext<'_>) -> Option<Self> {
        let (input, result) = match fields.language() {
            Language::Jsonata => (StateInput::parse_path(&fields), None),
            Language::JsonPath => {
                let result = fields.value("Result");
                result.into_iter().for_each(|result| fields.warn_of_static_result("Result", result));
                (StateInput::parse(&fields), result.cloned())
            }
        };
        let exit = Exit::parse(&fields, context, ExitKind::Pass);
        fields.finish(&[]);
        Some(Self { input, result, exit: exit? })
    }

    pub(crate) fn start(&self, visit: &mut Visit<'_>) -> VisitResult {
        if let Some(result) = &self.result {
            visit.inspect(Stage::Result, result);
            return visit.leave(&self.exit, "", EvalInputs::result(result));
        }
        if self.input.is_passthrough() && !visit.inspects(&self.input) {
            return visit.leave(&self.exit, "", EvalInputs::default());
        }
        let input = visit.evaluate(EvalInputs::default(), |scope| self.input.payload(scope))?;
        visit.leave(&self.exit, "", EvalInputs::result(&input))
    }
}
