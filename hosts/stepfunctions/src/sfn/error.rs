//! The errors of the endpoint, with AWS's names, statuses and words.

use axum::http::StatusCode;
use kernel::store::StoreError;
use serde_json::{Value as Json, json};

use crate::executions::{StartError, Started};

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Error {
    kind: Kind,
    message: Option<String>,
}

/// The names of refusals that this host gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    AccessDeniedException,
    ActivityDoesNotExist,
    ExecutionAlreadyExists,
    ExecutionDoesNotExist,
    ExecutionNotRedrivable,
    InternalFailure,
    InvalidArn,
    InvalidDefinition,
    InvalidEncryptionConfiguration,
    InvalidExecutionInput,
    InvalidLoggingConfiguration,
    InvalidName,
    InvalidOutput,
    InvalidToken,
    MissingRequiredParameter,
    RequestEntityTooLargeException,
    ResourceNotFound,
    SerializationException,
    ServiceUnavailable,
    StateMachineAlreadyExists,
    StateMachineDeleting,
    StateMachineDoesNotExist,
    StateMachineTypeNotSupported,
    TaskDoesNotExist,
    TaskTimedOut,
    TooManyTags,
    UnknownOperationException,
    ValidationException,
}

impl Kind {
    fn status(self) -> StatusCode {
        match self {
            Self::InternalFailure => StatusCode::INTERNAL_SERVER_ERROR,
            Self::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::RequestEntityTooLargeException => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The service's own errors, those of its framework, and those of the framework's validation have namespaces of
    /// their own; clients read the part after the `#` only.
    fn namespace(self) -> &'static str {
        match self {
            Self::AccessDeniedException
            | Self::InternalFailure
            | Self::RequestEntityTooLargeException
            | Self::SerializationException
            | Self::ServiceUnavailable
            | Self::UnknownOperationException => "com.amazon.coral.service",
            Self::ValidationException => "com.amazon.coral.validate",
            _ => "com.amazonaws.swf.service.v2.model",
        }
    }
}

impl Error {
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: Some(message.into()) }
    }

    pub(super) fn too_slow() -> Self {
        Self::new(Kind::ServiceUnavailable, "The request took too long to arrive.")
    }

    pub(super) fn no_test_case(machine: &str, test_case: &str) -> Self {
        let message =
            format!("The mock configuration has no test case '{test_case}' of the state machine '{machine}'");
        Self::new(Kind::InvalidArn, message)
    }

    pub(super) fn unknown_operation() -> Self {
        Self { kind: Kind::UnknownOperationException, message: None }
    }

    pub(super) fn serialization(message: impl Into<String>) -> Self {
        Self::new(Kind::SerializationException, message)
    }

    pub(super) fn too_large() -> Self {
        Self::new(Kind::RequestEntityTooLargeException, "Request size exceeded")
    }

    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::new(Kind::ValidationException, message)
    }

    pub(super) fn arn(why: impl std::fmt::Display) -> Self {
        Self::new(Kind::InvalidArn, format!("Invalid Arn: '{why}'"))
    }

    pub(super) fn name(name: &str) -> Self {
        Self::new(Kind::InvalidName, format!("Invalid Name: '{name}'"))
    }

    pub(super) fn token() -> Self {
        Self::new(Kind::InvalidToken, "Invalid Token: 'Invalid token'")
    }

    pub(super) fn definition(why: &str) -> Self {
        Self::new(Kind::InvalidDefinition, format!("Invalid State Machine Definition: '{why}'"))
    }

    pub(super) fn logging(why: &str) -> Self {
        let message = format!("Invalid Logging Configuration: {why}");
        Self::new(Kind::InvalidLoggingConfiguration, message)
    }

    pub(super) fn input(why: &str) -> Self {
        let message = format!("Invalid State Machine Execution Input: '{why}'");
        Self::new(Kind::InvalidExecutionInput, message)
    }

    pub(super) fn no_machine(arn: &str) -> Self {
        Self::new(Kind::StateMachineDoesNotExist, format!("State Machine Does Not Exist: '{arn}'"))
    }

    pub(super) fn machine_exists(arn: &str) -> Self {
        Self::new(Kind::StateMachineAlreadyExists, format!("State Machine Already Exists: '{arn}'"))
    }

    pub(super) fn machine_deleting(arn: &str) -> Self {
        Self::new(Kind::StateMachineDeleting, format!("State Machine is being deleted: '{arn}'"))
    }

    /// Clients cannot change a machine of the template; an operator changes the template.
    pub(super) fn machine_of_template(arn: &str) -> Self {
        let message = format!("{arn} is a machine of the template, and is changed and removed there");
        Self::new(Kind::AccessDeniedException, message)
    }

    pub(super) fn type_not_supported() -> Self {
        let message = "This operation is not supported by this type of state machine";
        Self::new(Kind::StateMachineTypeNotSupported, message)
    }

    pub(super) fn no_execution(arn: &str) -> Self {
        Self::new(Kind::ExecutionDoesNotExist, format!("Execution Does Not Exist: '{arn}'"))
    }

    pub(super) fn execution_exists(arn: &str) -> Self {
        Self::new(Kind::ExecutionAlreadyExists, format!("Execution Already Exists: '{arn}'"))
    }

    pub(super) fn no_activity(arn: &str) -> Self {
        Self::new(Kind::ActivityDoesNotExist, format!("Activity Does Not Exist: '{arn}'"))
    }

    pub(super) fn no_resource(arn: &str) -> Self {
        Self::new(Kind::ResourceNotFound, format!("Resource not found: '{arn}'"))
    }

    pub(super) fn status(&self) -> StatusCode {
        self.kind.status()
    }

    /// The body. The framework spells its member with a capital.
    pub(super) fn body(&self) -> Json {
        let kind = format!("{}#{:?}", self.kind.namespace(), self.kind);
        match &self.message {
            None => json!({ "__type": kind }),
            Some(message) if self.kind.namespace() == "com.amazon.coral.service" => {
                json!({ "__type": kind, "Message": message })
            }
            Some(message) => json!({ "__type": kind, "message": message }),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        tracing::error!("a call to the Step Functions endpoint failed: {error}");
        match error {
            StoreError::Unavailable(why) => Self::new(Kind::ServiceUnavailable, why),
            StoreError::Refused(why) => Self::new(Kind::InternalFailure, why),
        }
    }
}

impl From<StartError> for Error {
    fn from(error: StartError) -> Self {
        match error {
            StartError::AlreadyExists(Started { arn, .. }) => Self::execution_exists(&arn),
            StartError::Unavailable(why) => StoreError::Unavailable(why).into(),
            StartError::Refused(why) => StoreError::Refused(why).into(),
        }
    }
}
