//! Failures, by the names state machines catch them with.

use std::fmt;

use crate::value::Value;

/// What went wrong, in the two words the language has for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Failure {
    /// The name that `ErrorEquals` compares with; a `Fail` state may leave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// The names AWS reserves, as far as the engine itself reports or compares them.
pub mod reserved {
    /// Stands for every name but `States.Runtime`.
    pub const ALL: &str = "States.ALL";
    /// A state's input, output or result is larger than 256 KiB.
    pub const DATA_LIMIT_EXCEEDED: &str = "States.DataLimitExceeded";
    /// More items of a distributed Map failed than it tolerates.
    pub const EXCEED_TOLERATED_FAILURE_THRESHOLD: &str = "States.ExceedToleratedFailureThreshold";
    /// A task did not say in time that it is alive.
    pub const HEARTBEAT_TIMEOUT: &str = "States.HeartbeatTimeout";
    /// An intrinsic function could not be called with its arguments.
    pub const INTRINSIC_FAILURE: &str = "States.IntrinsicFailure";
    /// What an `ItemReader` names could not be read.
    pub const ITEM_READER_FAILED: &str = "States.ItemReaderFailed";
    /// No rule of a Choice state holds and it has no `Default`.
    pub const NO_CHOICE_MATCHED: &str = "States.NoChoiceMatched";
    /// The task may not do what it tried.
    pub const PERMISSIONS: &str = "States.Permissions";
    /// The results of a distributed Map could not be written.
    pub const RESULT_WRITER_FAILED: &str = "States.ResultWriterFailed";
    /// An expression failed, gave nothing, or gave the wrong type.
    pub const QUERY_EVALUATION_ERROR: &str = "States.QueryEvaluationError";
    /// The result cannot be put where `ResultPath` says.
    pub const RESULT_PATH_MATCH_FAILURE: &str = "States.ResultPathMatchFailure";
    /// The execution itself cannot go on; nothing catches it.
    pub const RUNTIME: &str = "States.Runtime";
    /// Stands for every failure of a task but a timeout.
    pub const TASK_FAILED: &str = "States.TaskFailed";
    /// A task or an execution took too long.
    pub const TIMEOUT: &str = "States.Timeout";
}

impl Failure {
    /// A failure with a name and a reason.
    pub fn new(error: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { error: Some(error.into()), cause: Some(cause.into()) }
    }

    /// A failure that needs no reason beyond its name.
    pub fn named(error: impl Into<String>) -> Self {
        Self { error: Some(error.into()), cause: None }
    }

    /// The name, or nothing.
    pub fn name(&self) -> &str {
        self.error.as_deref().unwrap_or_default()
    }

    /// Whether one of these names, as written in `ErrorEquals`, stands for this failure. None stands for
    /// `States.Runtime`, not even that name.
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

    /// What a `Catch` gives the next state.
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
