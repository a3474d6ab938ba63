//! Why a definition is refused.

use std::fmt;

use serde::Serialize;

/// One thing that keeps a definition from being loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The kind of problem.
    pub code: Code,
    /// JSON Pointer to the place in the definition.
    pub pointer: String,
    /// The state the place belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The field the problem is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is wrong, for people.
    pub message: String,
    /// The line in the definition's text, counted from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
}

/// Kinds of problems, by the names AWS validation gives them where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// The text is not JSON.
    InvalidJsonDescription,
    /// A field is missing, unknown, or not what it must be.
    SchemaValidationFailed,
    /// A transition leads nowhere, or no transition leads to a state.
    MissingTransitionTarget,
    /// No state of a flow ends it.
    MissingEndState,
    /// Two states have one name.
    DuplicateStateName,
    /// A state's name is empty or too long.
    InvalidStateName,
    /// An expression cannot be parsed.
    #[serde(rename = "INVALID_JSONATA_EXPRESSION")]
    InvalidExpression,
    /// An expression names what does not exist where it stands.
    #[serde(rename = "UNSUPPORTED_JSONATA_EXPRESSION")]
    UnsupportedExpression,
    /// This host cannot run the resource.
    InvalidResource,
    /// AWS would take it; this engine does not run it yet.
    NotSupported,
}

/// All problems of one definition; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        let pointer = if self.pointer.is_empty() { "/" } else { &self.pointer };
        write!(f, "{}: {} at {pointer}", self.code, self.message)
    }
}

/// A member's name as part of a JSON Pointer.
pub(crate) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
