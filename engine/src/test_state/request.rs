//! What a test is asked with, in the names of AWS's `TestState`.

use serde::Deserialize;

/// A state, and what it is tested with. Texts that hold JSON stay texts: what is wrong with them is told in order.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TestStateRequest {
    /// A state; or a whole machine, together with `state_name`.
    pub definition: String,
    /// The role the state would have. A Task that runs, and is not mocked, needs one.
    pub role_arn: Option<String>,
    /// The state's input, as JSON; `{}` when it is left out.
    pub input: Option<String>,
    /// How much is told.
    pub inspection_level: InspectionLevel,
    /// Whether secrets in what is told stay readable.
    pub reveal_secrets: bool,
    /// The variables that are set, as a JSON object.
    pub variables: Option<String>,
    /// The state of the machine that is tested, which may be nested in another.
    pub state_name: Option<String>,
    /// What stands for the state's work.
    pub mock: Option<Mock>,
    /// The context object, as JSON; only with a mock.
    pub context: Option<String>,
    /// What happened before the mocked result or error.
    pub state_configuration: Option<StateConfiguration>,
}

/// How much a test tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum InspectionLevel {
    /// The output or the error.
    #[default]
    Info,
    /// And what the state computed on its way.
    Debug,
    /// And what an HTTP task sent and got.
    Trace,
}

/// What stands for the work of a Task, Map or Parallel state: a result or an error.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Mock {
    /// JSON.
    pub result: Option<String>,
    /// An error.
    pub error_output: Option<MockedError>,
    /// How a result is held against what its service answers.
    pub field_validation_mode: FieldValidationMode,
}

/// A mocked error.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct MockedError {
    /// Its name.
    pub error: Option<String>,
    /// Its reason.
    pub cause: Option<String>,
}

/// How a mocked result is held against what its service answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum FieldValidationMode {
    /// Required fields must be there, and what is there must be right.
    #[default]
    Strict,
    /// What is there must be right.
    Present,
    /// Nothing is checked.
    None,
}

/// What happened before the mocked result or error.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StateConfiguration {
    /// How often the retrier that knows the error has tried before.
    pub retrier_retry_count: Option<u32>,
    /// The state inside a Map or Parallel that the mocked error comes from.
    pub error_caused_by_state: Option<String>,
    /// How many iterations of a Map have failed.
    pub map_iteration_failure_count: Option<usize>,
    /// What an `ItemReader` finds, as it is stored.
    pub map_item_reader_data: Option<String>,
}

impl StateConfiguration {
    /// The first field that says something, by AWS's name for it in a complaint.
    pub(super) fn given(&self) -> Option<&'static str> {
        let fields = [
            (self.retrier_retry_count.is_some(), "RetrierRetryCount"),
            (self.error_caused_by_state.is_some(), "ErrorCausedByState"),
            (self.map_iteration_failure_count.is_some(), "MapIterationFailureCount"),
            (self.map_item_reader_data.is_some(), "MapItemReaderData"),
        ];
        fields.into_iter().find(|(given, _)| *given).map(|(_, name)| name)
    }
}
