//! The errors of a test's request, with AWS's names and messages.

use std::fmt;

use crate::problem::Problems;

/// A request that gives no test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestStateError {
    /// The definition has errors.
    InvalidDefinition(String),
    /// The input is not JSON.
    InvalidExecutionInput(String),
    /// Parts of the request contradict one another.
    ValidationException(String),
}

impl TestStateError {
    /// The error's name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::InvalidDefinition(_) => "InvalidDefinition",
            Self::InvalidExecutionInput(_) => "InvalidExecutionInput",
            Self::ValidationException(_) => "ValidationException",
        }
    }

    /// The error's message for people.
    pub fn message(&self) -> &str {
        match self {
            Self::InvalidDefinition(message)
            | Self::InvalidExecutionInput(message)
            | Self::ValidationException(message) => message,
        }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::ValidationException(message.into())
    }

    pub(super) fn definition(why: impl fmt::Display) -> Self {
        Self::InvalidDefinition(format!("Invalid State Machine Definition: '{why}'"))
    }

    pub(super) fn context(why: impl fmt::Display) -> Self {
        Self::invalid(format!("Invalid Context object provided: {why}"))
    }
}

impl From<Problems> for TestStateError {
    fn from(problems: Problems) -> Self {
        Self::definition(problems.cause())
    }
}

impl fmt::Display for TestStateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.message())
    }
}

impl std::error::Error for TestStateError {}
