//! Why a step could not be done. What state machines catch is [`Error::name`], never a Rust type name.

use crate::{queue::QueueError, store::StoreError};

/// Why a step could not be done. No text in it holds a value out of a record.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was given is not what the step takes; trying again cannot help.
    #[error("{0}")]
    BadInput(String),
    /// What was given is larger than is taken; trying again cannot help.
    #[error("{0}")]
    TooLarge(String),
    /// The table store or the object store did not answer, was busy, or its disk is full; trying again may help.
    #[error("storage is not available: {0}")]
    StorageUnavailable(String),
    /// The call has no time left; what it stored is stored, and the next try goes on behind it.
    #[error("the call has no time left; what is stored of it stays")]
    OutOfTime,
    /// The store refused for good: no permission, a corrupt file.
    #[error("storage refused: {0}")]
    StorageRefused(String),
    /// An object that a step was pointed to does not exist.
    #[error("there is no object {0}")]
    ObjectMissing(String),
    /// Outcomes do not add up to what was received. A fault in crmflow.
    #[error("{received} records were received and {decided} have an outcome")]
    OutcomesDoNotAddUp {
        /// How many records the step was given.
        received: u64,
        /// How many of them have an outcome.
        decided: u64,
    },
}

impl Error {
    /// The names of all errors, for the contract test between machines and functions.
    pub const NAMES: [&'static str; 7] = [
        "BadInput",
        "TooLarge",
        "StorageUnavailable",
        "OutOfTime",
        "StorageRefused",
        "ObjectMissing",
        "OutcomesDoNotAddUp",
    ];

    /// The name that a state machine's `ErrorEquals` may hold.
    pub fn name(&self) -> &'static str {
        match self {
            Self::BadInput(_) => "BadInput",
            Self::TooLarge(_) => "TooLarge",
            Self::StorageUnavailable(_) => "StorageUnavailable",
            Self::OutOfTime => "OutOfTime",
            Self::StorageRefused(_) => "StorageRefused",
            Self::ObjectMissing(_) => "ObjectMissing",
            Self::OutcomesDoNotAddUp { .. } => "OutcomesDoNotAddUp",
        }
    }

    /// Whether trying again can help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::StorageUnavailable(_) | Self::OutOfTime => true,
            Self::BadInput(_)
            | Self::TooLarge(_)
            | Self::StorageRefused(_)
            | Self::ObjectMissing(_)
            | Self::OutcomesDoNotAddUp { .. } => false,
        }
    }
}

impl From<QueueError> for Error {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Full | QueueError::Unavailable(_) => Self::StorageUnavailable(error.to_string()),
            QueueError::Refused(_) => Self::StorageRefused(error.to_string()),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(why) => Self::StorageUnavailable(why),
            StoreError::Refused(why) => Self::StorageRefused(why),
        }
    }
}
