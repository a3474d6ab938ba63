//! The request of a test, with the names of AWS's `TestState`.

use serde::Deserialize;

/// A state, and the data for its test. JSON texts stay texts here, so that the checks report their errors in
/// order.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TestStateRequest {
    /// A state; or a whole machine, together with `state_name`.
    pub definition: String,
    /// The role of the state. A Task without a mock needs one.
    pub role_arn: Option<String>,
    /// The state's input as JSON; `{}` by default.
    pub input: Option<String>,
    /// The level of detail in the answer.
    pub inspection_level: InspectionLevel,
    /// Whether the answer shows secrets in plain text.
    pub reveal_secrets: bool,
    /// The variables before the state, as a JSON object.
    pub variables: Option<String>,
    /// The name of the tested state in the machine. It may be nested in another state.
    pub state_name: Option<String>,
    /// The mock for the state's work.
    pub mock: Option<Mock>,
    /// The context object as JSON; only with a mock.
    pub context: Option<String>,
    /// The events before the mocked result or error.
    pub state_configuration: Option<StateConfiguration>,
}

/// The level of detail in a test's answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum InspectionLevel {
    /// The output or the error.
    #[default]
    Info,
    /// The same, with the state's intermediate values.
    Debug,
    /// The same, with the request and the response of an HTTP task.
    Trace,
}

/// The mock for the work of a Task, Map or Parallel state: a result or an error.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Mock {
    /// The result as JSON.
    pub result: Option<String>,
    /// The error.
    pub error_output: Option<MockedError>,
    /// The check of the result against the shape of the service's answer.
    pub field_validation_mode: FieldValidationMode,
}

/// A mocked error.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct MockedError {
    /// The error's name.
    pub error: Option<String>,
    /// The error's cause.
    pub cause: Option<String>,
}

/// The check of a mocked result against the shape of its service's answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum FieldValidationMode {
    /// Required fields must be present, and present fields must be valid.
    #[default]
    Strict,
    /// Present fields must be valid.
    Present,
    /// There is no check.
    None,
}

/// The events before the mocked result or error.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StateConfiguration {
    /// The number of earlier attempts by the retrier that matches the error.
    pub retrier_retry_count: Option<u32>,
    /// The state inside a Map or Parallel that throws the mocked error.
    pub error_caused_by_state: Option<String>,
    /// The number of failed iterations of a Map.
    pub map_iteration_failure_count: Option<usize>,
    /// The content of the object that an `ItemReader` reads.
    pub map_item_reader_data: Option<String>,
}

impl StateConfiguration {
    /// The first field with a value, by AWS's name in an error message.
    pub(super) fn first_field(&self) -> Option<&'static str> {
        let fields = [
            (self.retrier_retry_count.is_some(), "RetrierRetryCount"),
            (self.error_caused_by_state.is_some(), "ErrorCausedByState"),
            (self.map_iteration_failure_count.is_some(), "MapIterationFailureCount"),
            (self.map_item_reader_data.is_some(), "MapItemReaderData"),
        ];
        fields.into_iter().find(|(is_set, _)| *is_set).map(|(_, name)| name)
    }
}
