//! Pass: hands its input on, or what its fields make of it.

use super::Exit;
use super::entry::Entry;
use super::exit::ExitKind;
use crate::load::{Fields, Place};
use crate::query::{Language, Stage};
use crate::run::{EvalInputs, Step, Visit};
use crate::value::Value;

/// A Pass state.
#[derive(Debug)]
pub(crate) struct Pass {
    entry: Entry,
    /// Stands for the output of work.
    result: Option<Value>,
    pub exit: Exit,
}

impl Pass {
    pub(crate) fn parse(fields: Fields<'_>, place: &Place<'_>) -> Option<Self> {
        let (entry, result) = match fields.language() {
            Language::Jsonata => (Entry::plain(&fields), None),
            Language::JsonPath => {
                let result = fields.value("Result");
                result.into_iter().for_each(|result| fields.warn_of_static("Result", result));
                (Entry::parse(&fields), result.cloned())
            }
        };
        let exit = Exit::parse(&fields, place, ExitKind::Pass);
        fields.finish(&[]);
        Some(Self { entry, result, exit: exit? })
    }

    pub(crate) fn start(&self, visit: &mut Visit<'_>) -> Step {
        if let Some(result) = &self.result {
            visit.note(Stage::Result, result);
            return visit.leave(&self.exit, "", EvalInputs::result(result));
        }
        if self.entry.is_passthrough() && !visit.sees(&self.entry) {
            return visit.leave(&self.exit, "", EvalInputs::default());
        }
        let input = visit.evaluate(EvalInputs::default(), |scope| self.entry.effective(scope))?;
        visit.leave(&self.exit, "", EvalInputs::result(&input))
    }
}
