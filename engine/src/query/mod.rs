//! How a state reads its data: JSONata expressions, and templates that hold them.

mod functions;
mod jsonata;
mod path;
mod scope;
mod template;

pub(crate) use functions::moment;
pub(crate) use jsonata::{Expression, Refusal};
pub(crate) use scope::{Reach, Scope, Variables};
pub(crate) use template::{EvaluationError, Template};

use crate::value::Value;

/// What an expression came to when it did not give a value.
#[derive(Debug)]
pub(crate) enum Unresolved {
    /// It gave nothing; JSON has no word for that.
    Undefined,
    /// It gave a function or another thing JSON cannot hold.
    Unsupported,
    /// It failed, with the code and the words of JSONata.
    Threw(String),
}

pub(crate) type Resolved = Result<Value, Unresolved>;
