//! What a state's work gets of its input: `InputPath`, then `Parameters` or `Arguments`.

use crate::load::Fields;
use crate::query::{EvaluationError, Language, Reach, Scope, Selection, Stage, Template};
use crate::value::Value;

/// A way in.
#[derive(Debug)]
pub(crate) struct Entry {
    input: Selection,
    payload: Option<Template>,
    language: Language,
}

impl Entry {
    /// Reads `InputPath`.
    pub(crate) fn plain(fields: &Fields<'_>) -> Self {
        Self { input: fields.selection("InputPath"), payload: None, language: fields.language() }
    }

    /// Reads `InputPath` and `Parameters`, or `Arguments`.
    pub(crate) fn parse(fields: &Fields<'_>) -> Self {
        Self { payload: fields.payload(Reach::INPUT), ..Self::plain(fields) }
    }

    /// Whether the input is taken as it is.
    pub(crate) fn is_passthrough(&self) -> bool {
        matches!(self, Self { input: Selection::All, payload: None, .. })
    }

    /// The input that paths of the state see.
    pub(crate) fn input(&self, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
        let input = self.input.of(scope)?;
        if !self.is_jsonata() {
            scope.note(Stage::AfterInputPath, &input);
        }
        Ok(input)
    }

    pub(crate) fn is_jsonata(&self) -> bool {
        self.language == Language::Jsonata
    }

    /// The input of the state's work.
    pub(crate) fn effective(&self, scope: &mut Scope<'_>) -> Result<Value, EvaluationError> {
        let input = self.input(scope)?;
        self.fill(&input, &mut scope.over(&input))
    }

    /// What `Parameters` or `Arguments` make of the input, which the scope is over.
    pub(crate) fn fill(&self, input: &Value, scope: &mut Scope<'_>) -> Result<Value, EvaluationError> {
        let effective = match &self.payload {
            Some(template) => template.fill("Arguments", scope)?,
            None => input.clone(),
        };
        if !self.is_jsonata() {
            scope.note(Stage::AfterParameters, &effective);
        }
        Ok(effective)
    }
}
