//! Fields that select a part of a value: `InputPath`, `OutputPath`, `ItemsPath`.

use super::{EvaluationError, JsonPath, Scope};
use crate::value::{Object, Value};

/// The part of a value that a path field selects.
#[derive(Clone, Debug)]
pub(crate) enum Selection {
    /// No field, or `$`.
    All,
    /// `null`: an empty object.
    Nothing,
    Path(Box<JsonPath>),
}

impl Selection {
    /// The selected part of the scope's input.
    pub(crate) fn of(&self, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
        match self {
            Self::All => Ok(scope.input.clone()),
            Self::Nothing => Ok(Value::Object(Object::default())),
            Self::Path(path) => path.pick(scope),
        }
    }
}
