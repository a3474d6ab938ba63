//! What a state's work gets of its input: `InputPath`, then `Parameters` or `Arguments`.

use crate::load::Fields;
use crate::query::{EvaluationError, JsonPath, Reach, Scope, Template};
use crate::value::{Object, Value};

/// A way in.
#[derive(Debug)]
pub(crate) struct Entry {
    input: Selection,
    payload: Option<Template>,
}

/// The part of a value that a path field leaves.
#[derive(Clone, Debug)]
pub(crate) enum Selection {
    /// No field, or `$`.
    All,
    /// `null`: an empty object.
    Nothing,
    Path(Box<JsonPath>),
}

impl Entry {
    /// Reads `InputPath`.
    pub(crate) fn plain(fields: &Fields<'_>) -> Self {
        Self { input: fields.selection("InputPath"), payload: None }
    }

    /// Reads `InputPath` and `Parameters`, or `Arguments`.
    pub(crate) fn parse(fields: &Fields<'_>) -> Self {
        Self { payload: fields.payload(Reach::INPUT), ..Self::plain(fields) }
    }

    /// Whether the input is taken as it is.
    pub(crate) fn is_bare(&self) -> bool {
        matches!(self, Self { input: Selection::All, payload: None })
    }

    /// The input that paths of the state see.
    pub(crate) fn input(&self, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
        self.input.of(scope)
    }

    /// The input of the state's work.
    pub(crate) fn effective(&self, scope: &mut Scope<'_>) -> Result<Value, EvaluationError> {
        let input = self.input.of(scope)?;
        match &self.payload {
            Some(template) => template.fill("Arguments", &mut scope.over(&input)),
            None => Ok(input),
        }
    }
}

impl Selection {
    /// The part of the scope's input.
    pub(crate) fn of(&self, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
        match self {
            Self::All => Ok(scope.input.clone()),
            Self::Nothing => Ok(Value::Object(Object::default())),
            Self::Path(path) => path.pick(scope),
        }
    }
}
