//! How a state reads its data: JSONPath, intrinsic functions, JSONata, and templates that hold them.

mod functions;
mod inspection;
mod intrinsic;
mod jsonata;
mod jsonpath;
mod messages;
mod scope;
mod selection;
mod signatures;
mod template;
mod value_path;
mod values;

pub(crate) use functions::format_timestamp;
pub(crate) use inspection::{InspectionCell, InspectionData, Stage};
pub(crate) use intrinsic::Intrinsic;
pub(crate) use jsonata::Expression;
pub(crate) use jsonpath::{JsonPath, ReferencePath};
pub(crate) use scope::{Scope, Variables, Visibility};
pub(crate) use selection::Selection;
pub(crate) use template::{EvaluationError, Template};

use crate::value::Value;

/// The language that a state's fields are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    JsonPath,
    Jsonata,
}

/// Why an expression is refused when its machine is loaded.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It is not JSONata.
    Syntax(String),
    /// It names what does not exist where it stands.
    Unsupported(String),
    /// It begins as an expression and does not end as one.
    Unclosed,
}

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

/// A message of JSONata without the code before it, as AWS shows it when it refuses a definition.
fn without_code(message: &str) -> &str {
    let is_code = |end: usize| {
        let code = message.get(end.saturating_sub(5)..end).unwrap_or_default().as_bytes();
        matches!(code, [letter, digits @ ..] if letter.is_ascii_uppercase() && digits.len() == 4 && digits.iter().all(u8::is_ascii_digit))
    };
    let code = message.match_indices(": ").find(|(end, _)| is_code(*end));
    code.map_or(message, |(end, _)| &message[end + 2..])
}
