//! The queries of states on their data: JSONPath, intrinsic functions, JSONata, and templates with them.

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

/// The language of a state's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    JsonPath,
    Jsonata,
}

/// The reason why the loader refuses an expression.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The source is no JSONata.
    Syntax(String),
    /// The expression names a variable or field that does not exist in its place.
    Unsupported(String),
    /// The text starts with `{%` and does not end with `%}`.
    Unclosed,
}

/// The result of an expression without a value.
#[derive(Debug)]
pub(crate) enum Unresolved {
    /// The expression gave nothing. JSON has no such value.
    Undefined,
    /// The expression gave a function or another value that JSON cannot represent.
    Unsupported,
    /// The expression failed, with the code and the message of JSONata.
    Threw(String),
}

pub(crate) type Resolved = Result<Value, Unresolved>;

/// A message of JSONata without its code, as AWS shows it for a refused definition.
fn without_code(message: &str) -> &str {
    let is_code = |end: usize| {
        let code = message.get(end.saturating_sub(5)..end).unwrap_or_default().as_bytes();
        matches!(code, [letter, digits @ ..] if letter.is_ascii_uppercase() && digits.len() == 4 && digits.iter().all(u8::is_ascii_digit))
    };
    let code = message.match_indices(": ").find(|(end, _)| is_code(*end));
    code.map_or(message, |(end, _)| &message[end + 2..])
}
