//! The errors of a step. State machines catch an [`Error::name`], never a Rust type name.

use crate::{queue::QueueError, store::StoreError};

/// Why a step failed. No text of it contains a value of a record.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input does not have the shape that the step expects; a retry cannot help.
    #[error("{0}")]
    BadInput(String),
    /// The input exceeds a limit; a retry cannot help.
    #[error("{0}")]
    TooLarge(String),
    /// The table store or the object store did not answer, was busy, or its disk is full; a retry may help.
    #[error("storage is not available: {0}")]
    StorageUnavailable(String),
    /// The call has no time left. Its writes stay stored, and the next attempt continues after them.
    #[error("the call has no time left; what is stored of it stays")]
    OutOfTime,
    /// The store refused permanently: no permission, a corrupt file.
    #[error("storage refused: {0}")]
    StorageRefused(String),
    /// The step's input names an object that does not exist.
    #[error("there is no object {0}")]
    ObjectMissing(String),
    /// The outcomes do not add up to the number of received records: a defect of crmflow.
    #[error("{received} records were received and {decided} have an outcome")]
    OutcomesDoNotAddUp {
        /// How many records the step received.
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

    /// The name that a state machine may catch with `ErrorEquals`.
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

    /// Whether a retry can help.
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
