//! The errors and warnings of a definition.

use std::fmt;

use serde::Serialize;

/// One problem of a definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Whether the problem makes the definition unusable.
    pub severity: Severity,
    /// The kind of problem.
    pub code: Code,
    /// JSON Pointer to the place in the definition.
    pub pointer: String,
    /// The place as AWS writes it. It may be the object around the pointer's place. For a text that is no
    /// JSON it is a line and a column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The state that contains the place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The field with the problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// A sentence for people.
    pub message: String,
    /// The line in the definition's text, counted from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
}

/// The severity of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Severity {
    /// The loader refuses the definition.
    Error,
    /// The loader accepts the definition, but it may not do what its author meant.
    Warning,
}

/// Kinds of problems, by the names of AWS's validation where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// The text is not JSON.
    InvalidJsonDescription,
    /// A field is missing, unknown or of the wrong type or value.
    SchemaValidationFailed,
    /// A transition has no target, or a state has no transition to it.
    MissingTransitionTarget,
    /// No state of a flow ends it.
    MissingEndState,
    /// Two states have one name.
    DuplicateStateName,
    /// A state's name is empty or too long.
    InvalidStateName,
    /// A label is empty, too long, or contains a forbidden character.
    InvalidLabelName,
    /// Two Maps have one label.
    DuplicateLabelName,
    /// The name is not allowed for a variable.
    InvalidVariableName,
    /// The name of the variable is reserved by the language.
    ReservedVariableName,
    /// The parser refuses an expression.
    #[serde(rename = "INVALID_JSONATA_EXPRESSION")]
    InvalidExpression,
    /// An expression names a variable or field that does not exist in its place.
    #[serde(rename = "UNSUPPORTED_JSONATA_EXPRESSION")]
    UnsupportedExpression,
    /// This host cannot run the resource.
    InvalidResource,
    /// AWS accepts this, but the engine does not run it yet.
    NotSupported,
    /// A warning: a text looks like a path or a call, but its name does not end with `.$`.
    NoDollar,
    /// A warning: a text looks like a path, but the name of its field does not end with `Path`.
    NoPath,
    /// A warning: the `Result` of a Pass state looks like a template, but stays as it is.
    PassResultIsStatic,
}

/// All problems of one definition; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Problems(pub Vec<Problem>);

impl Problem {
    /// An error at a place.
    pub(crate) fn error(code: Code, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        let pointer = pointer.into();
        Self {
            severity: Severity::Error,
            code,
            location: Some(pointer.clone()),
            pointer,
            state: None,
            field: None,
            message: message.into(),
            line: None,
        }
    }

    /// The place as AWS writes it. The top of a definition is `/`.
    pub fn place(&self) -> Option<&str> {
        self.location.as_deref().map(|location| if location.is_empty() { "/" } else { location })
    }
}

impl Problems {
    /// AWS's answer when it refuses to create the machine: `CODE: message at /place`, joined by commas.
    pub fn cause(&self) -> String {
        let texts = self.0.iter().map(|problem| {
            let place = problem.place().map(|place| format!(" at {place}")).unwrap_or_default();
            let place = if problem.message.ends_with(&place) { "" } else { &place };
            format!("{}: {}{place}", problem.code, problem.message)
        });
        texts.collect::<Vec<_>>().join(", ")
    }
}

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

/// A member's name as a step of a JSON Pointer.
pub(crate) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
