//! What a state's work gets of its input: `InputPath`, then `Parameters` or `Arguments`.

use crate::load::Fields;
use crate::query::{EvaluationError, Language, Scope, Selection, Stage, Template, Visibility};
use crate::value::Value;

/// A way in.
#[derive(Debug)]
pub(crate) struct StateInput {
    selection: Selection,
    payload: Option<Template>,
    language: Language,
}

impl StateInput {
    /// Reads `InputPath`.
    pub(crate) fn parse_path(fields: &Fields<'_>) -> Self {
        Self { selection: fields.selection("InputPath"), payload: None, language: fields.language() }
    }

    /// Reads `InputPath` and `Parameters`, or `Arguments`.
    pub(crate) fn parse(fields: &Fields<'_>) -> Self {
        Self { payload: fields.payload(Visibility::INPUT), ..Self::parse_path(fields) }
    }

    /// Whether the input is taken as it is.
    pub(crate) fn is_passthrough(&self) -> bool {
        matches!(self, Self { selection: Selection::All, payload: None, .. })
    }

    /// The input that paths of the state see.
    pub(crate) fn select(&self, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
        let input = self.selection.of(scope)?;
        if !self.is_jsonata() {
            scope.inspect(Stage::AfterInputPath, &input);
        }
        Ok(input)
    }

    pub(crate) fn is_jsonata(&self) -> bool {
        self.language == Language::Jsonata
    }

    /// The input of the state's work.
    pub(crate) fn payload(&self, scope: &mut Scope<'_>) -> Result<Value, EvaluationError> {
        let input = self.select(scope)?;
        self.fill_payload(&input, &mut scope.over(&input))
    }

    /// What `Parameters` or `Arguments` make of the input, which the scope is over.
    pub(crate) fn fill_payload(
        &self,
        input: &Value,
        scope: &mut Scope<'_>,
    ) -> Result<Value, EvaluationError> {
        let effective = match &self.payload {
            Some(template) => template.fill("Arguments", scope)?,
            None => input.clone(),
        };
        if !self.is_jsonata() {
            scope.inspect(Stage::AfterParameters, &effective);
        }
        Ok(effective)
    }
}
