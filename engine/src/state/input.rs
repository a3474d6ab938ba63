//! The input of a state's work: `InputPath`, then `Parameters` or `Arguments`.

use crate::load::Fields;
use crate::query::{EvaluationError, Language, Scope, Selection, Stage, Template, Visibility};
use crate::value::Value;

/// The fields that shape a state's input.
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

    /// Whether the fields leave the input unchanged.
    pub(crate) fn is_passthrough(&self) -> bool {
        matches!(self, Self { selection: Selection::All, payload: None, .. })
    }

    /// The input after `InputPath`, on which the state's paths work.
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

    /// The payload for the state's work.
    pub(crate) fn payload(&self, scope: &mut Scope<'_>) -> Result<Value, EvaluationError> {
        let input = self.select(scope)?;
        self.fill_payload(&input, &mut scope.over(&input))
    }

    /// The payload after `Parameters` or `Arguments`. The scope must be over `input`.
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
