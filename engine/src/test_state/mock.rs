//! Mocked results and errors of a state's work, with their checks.

use super::error::TestStateError;
use super::request::{FieldValidationMode, Mock, TestStateRequest};
use super::result_check;
use crate::failure::Failure;
use crate::machine::State;
use crate::state::Kind;
use crate::value::Value;

/// The mocked result or error.
pub(super) fn answer(
    mock: &Mock,
    request: &TestStateRequest,
    state: &State,
) -> Result<Result<Value, Failure>, TestStateError> {
    if request.reveal_secrets {
        let why = "TestState does not support RevealSecrets when a mock is specified.";
        return Err(TestStateError::invalid(why));
    }
    match (&mock.result, &mock.error_output) {
        (Some(result), None) => result_of(result, mock.field_validation_mode, state).map(Ok),
        (None, Some(error)) => match &error.error {
            Some(_) => Ok(Err(Failure { error: error.error.clone(), cause: error.cause.clone() })),
            None => Err(TestStateError::invalid("An error was not specified in the mocked error output.")),
        },
        _ => Err(TestStateError::invalid(
            "A test mock should have only one of the following fields: [result, errorOutput].",
        )),
    }
}

/// Checks that states of this kind can have a mock.
pub(super) fn is_possible(state: &State) -> Result<(), TestStateError> {
    match &state.kind {
        Kind::Task(_) | Kind::Map(_) | Kind::Parallel(_) => Ok(()),
        kind => Err(TestStateError::invalid(format!(
            "State type '{}' is not supported when a mock is specified",
            kind.name()
        ))),
    }
}

fn result_of(text: &str, mode: FieldValidationMode, state: &State) -> Result<Value, TestStateError> {
    let result =
        Value::parse(text).map_err(|_| TestStateError::invalid("Mocked result must be valid JSON"))?;
    let checked = match &state.kind {
        Kind::Task(task) => result_check::check(&task.resource, &result, mode),
        Kind::Map(map) if map.writes() => {
            result.as_object().map(|_| ()).ok_or_else(|| "Mocked result must be a JSON object.".to_owned())
        }
        Kind::Map(_) => items(&result).map(|_| ()),
        Kind::Parallel(parallel) => items(&result).and_then(|all| {
            let why = "Mocked result must contain the same number of items as number of Parallel branches.";
            (all == parallel.branches.len()).then_some(()).ok_or_else(|| why.into())
        }),
        _ => Ok(()),
    };
    checked.map(|()| result).map_err(TestStateError::ValidationException)
}

fn items(result: &Value) -> Result<usize, String> {
    let items = result.as_array().map(|items| items.len());
    items.ok_or_else(|| "Mocked result must be an array.".to_owned())
}
