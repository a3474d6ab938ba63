//! Why a definition is refused, and what AWS warns of.

use std::fmt;

use serde::Serialize;

/// One thing that is wrong with a definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Whether the definition can be used in spite of it.
    pub severity: Severity,
    /// The kind of problem.
    pub code: Code,
    /// JSON Pointer to the place in the definition.
    pub pointer: String,
    /// The place as AWS tells it: sometimes the object around the pointer's, and for text that is not JSON a line
    /// and a column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
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

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Severity {
    /// The definition is refused.
    Error,
    /// The definition is taken, but may not do what was meant.
    Warning,
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
    /// A label is empty, too long, or holds a character that it must not.
    InvalidLabelName,
    /// Two Maps have one label.
    DuplicateLabelName,
    /// A variable cannot have this name.
    InvalidVariableName,
    /// A variable has a name that the language keeps for itself.
    ReservedVariableName,
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
    /// A warning: a text that looks like a path or a call, under a name without `.$`.
    NoDollar,
    /// A warning: a text that looks like a path, in a field whose name does not end with `Path`.
    NoPath,
    /// A warning: the `Result` of a Pass state is never filled in.
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

    /// The place as AWS tells it; the top of a definition is `/`.
    pub fn place(&self) -> Option<&str> {
        self.location.as_deref().map(|location| if location.is_empty() { "/" } else { location })
    }
}

impl Problems {
    /// What AWS answers when it refuses to create the machine: `CODE: message at /place`, with a comma between one and
    /// the next.
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

/// A member's name as part of a JSON Pointer.
pub(crate) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
