//! `TestState`: one state, run alone on the functions of this host, or mocked.

use serde_json::Value as Json;
use states::{
    FieldValidationMode, InspectionLevel, Mock, MockedError, StateConfiguration, TestSite, TestStateError,
    TestStateRequest, test_state,
};
use template::Site;

use super::{
    Endpoint, definition,
    error::{Error, Kind},
    machines::check_role,
    validate::Fields,
};
use crate::{clock, resource::check_resource};

/// The most characters of a text with JSON.
const MAX_JSON_CHARS: usize = 262_144;
/// AWS's bound of numbers that have no other: the size of an integer.
const MAX_INTEGER: u64 = 2_147_483_647;

pub(super) async fn test(endpoint: &Endpoint, mut fields: Fields) -> Result<Json, Error> {
    let request = read(&mut fields);
    fields.finish()?;
    request.role_arn.as_deref().map_or(Ok(()), check_role)?;
    let site = TestSite { arn: Site::here().states(), seed: clock::seed() };
    let find = endpoint.executions.services.host.functions.find;
    let check = |resource: &str| check_resource(resource, find);
    let test = test_state(&request, &site, &check, clock::now())?;
    let answer = endpoint.executions.test(test).await?;
    serde_json::to_value(answer).map_err(|error| Error::new(Kind::InternalFailure, error.to_string()))
}

fn read(fields: &mut Fields) -> TestStateRequest {
    TestStateRequest {
        definition: fields.secret("definition", 1..=definition::MAX_CHARS),
        role_arn: fields.text("roleArn", 1..=256),
        input: fields.data("input", MAX_JSON_CHARS),
        inspection_level: match fields.word("inspectionLevel", &["INFO", "DEBUG", "TRACE"]).as_deref() {
            Some("DEBUG") => InspectionLevel::Debug,
            Some("TRACE") => InspectionLevel::Trace,
            _ => InspectionLevel::Info,
        },
        reveal_secrets: fields.flag("revealSecrets").unwrap_or_default(),
        variables: fields.data("variables", MAX_JSON_CHARS),
        state_name: fields.hidden("stateName", 1..=80),
        mock: fields.structure("mock", mock),
        context: fields.data("context", MAX_JSON_CHARS),
        state_configuration: fields.structure("stateConfiguration", configuration),
    }
}

fn mock(fields: &mut Fields) -> Mock {
    Mock {
        result: fields.data("result", MAX_JSON_CHARS),
        error_output: fields.structure("errorOutput", |fields| MockedError {
            error: fields.data("error", 256),
            cause: fields.data("cause", 32_768),
        }),
        field_validation_mode: match fields
            .word("fieldValidationMode", &["STRICT", "PRESENT", "NONE"])
            .as_deref()
        {
            Some("PRESENT") => FieldValidationMode::Present,
            Some("NONE") => FieldValidationMode::None,
            _ => FieldValidationMode::Strict,
        },
    }
}

fn configuration(fields: &mut Fields) -> StateConfiguration {
    let retries = fields.number("retrierRetryCount", 0..=MAX_INTEGER);
    let failed = fields.number("mapIterationFailureCount", 0..=MAX_INTEGER);
    StateConfiguration {
        retrier_retry_count: retries.and_then(|count| u32::try_from(count).ok()),
        error_caused_by_state: fields.hidden("errorCausedByState", 1..=80),
        map_iteration_failure_count: failed.and_then(|count| usize::try_from(count).ok()),
        map_item_reader_data: fields.data("mapItemReaderData", MAX_JSON_CHARS),
    }
}

impl From<TestStateError> for Error {
    fn from(error: TestStateError) -> Self {
        let kind = match error {
            TestStateError::InvalidDefinition(_) => Kind::InvalidDefinition,
            TestStateError::InvalidExecutionInput(_) => Kind::InvalidExecutionInput,
            TestStateError::ValidationException(_) => Kind::ValidationException,
        };
        Self::new(kind, error.message())
    }
}
