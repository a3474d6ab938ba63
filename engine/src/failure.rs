//! Failures, with the names by which state machines catch them.

use std::fmt;

use crate::value::Value;

/// An error, in the two fields that the language has for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Failure {
    /// The name that `ErrorEquals` compares with. A `Fail` state may omit it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// A sentence for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// AWS's reserved names, as far as the engine itself reports or compares them.
pub mod reserved {
    /// Matches every name but `States.Runtime`.
    pub const ALL: &str = "States.ALL";
    /// The input, output or result of a state exceeds 256 KiB.
    pub const DATA_LIMIT_EXCEEDED: &str = "States.DataLimitExceeded";
    /// More items of a distributed Map failed than it tolerates.
    pub const EXCEED_TOLERATED_FAILURE_THRESHOLD: &str = "States.ExceedToleratedFailureThreshold";
    /// A task sent no heartbeat in time.
    pub const HEARTBEAT_TIMEOUT: &str = "States.HeartbeatTimeout";
    /// The arguments do not suit the intrinsic function.
    pub const INTRINSIC_FAILURE: &str = "States.IntrinsicFailure";
    /// The host could not read the source of an `ItemReader`.
    pub const ITEM_READER_FAILED: &str = "States.ItemReaderFailed";
    /// No rule of a Choice state is true, and the state has no `Default`.
    pub const NO_CHOICE_MATCHED: &str = "States.NoChoiceMatched";
    /// The task lacks a permission.
    pub const PERMISSIONS: &str = "States.Permissions";
    /// The host could not write the results of a distributed Map.
    pub const RESULT_WRITER_FAILED: &str = "States.ResultWriterFailed";
    /// An expression failed, gave nothing, or gave the wrong type.
    pub const QUERY_EVALUATION_ERROR: &str = "States.QueryEvaluationError";
    /// The result does not fit the place that `ResultPath` names.
    pub const RESULT_PATH_MATCH_FAILURE: &str = "States.ResultPathMatchFailure";
    /// The execution itself cannot continue. No catcher matches this name.
    pub const RUNTIME: &str = "States.Runtime";
    /// Matches every failure of a task but a timeout.
    pub const TASK_FAILED: &str = "States.TaskFailed";
    /// A task or an execution took too long.
    pub const TIMEOUT: &str = "States.Timeout";
}

impl Failure {
    /// A failure with a name and a cause.
    pub fn new(error: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { error: Some(error.into()), cause: Some(cause.into()) }
    }

    /// A failure with a name and without a cause.
    pub fn named(error: impl Into<String>) -> Self {
        Self { error: Some(error.into()), cause: None }
    }

    /// The name, or an empty text.
    pub fn name(&self) -> &str {
        self.error.as_deref().unwrap_or_default()
    }

    /// Whether one of these names of an `ErrorEquals` matches this failure. No name matches `States.Runtime`,
    /// not even that name itself.
    pub fn matches(&self, names: &[std::sync::Arc<str>]) -> bool {
        let own = self.name();
        if own == reserved::RUNTIME {
            return false;
        }
        names.iter().any(|name| match &**name {
            reserved::ALL => true,
            reserved::TASK_FAILED => !is_timeout(own),
            reserved::TIMEOUT => is_timeout(own),
            name => own == name,
        })
    }

    /// The error output that a `Catch` gives to the next state.
    pub(crate) fn output(&self) -> Value {
        let members = [("Error", &self.error), ("Cause", &self.cause)];
        let members = members.into_iter();
        members.filter_map(|(name, text)| Some((name.into(), Value::from(text.as_deref()?)))).collect()
    }
}

fn is_timeout(name: &str) -> bool {
    matches!(name, reserved::TIMEOUT | reserved::HEARTBEAT_TIMEOUT)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.error, &self.cause) {
            (Some(error), Some(cause)) => write!(f, "{error}: {cause}"),
            (Some(text), None) | (None, Some(text)) => f.write_str(text),
            (None, None) => f.write_str("failed without a name"),
        }
    }
}

impl std::error::Error for Failure {}
