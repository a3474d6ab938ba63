//! The answer of a test, with the names of AWS's `TestState`.

use std::sync::Arc;

use serde::Serialize;

use crate::effect::Outcome;
use crate::failure::{Failure, reserved};
use crate::query::Stage;
use crate::run::Inspection;
use crate::value::Value;

/// The answer of a test. It serialises to the form of `TestState`, in which data are JSON texts.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TestStateAnswer {
    /// The status at the end of the test.
    pub status: TestStatus,
    /// The output for the next state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// The name of the state's error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The cause of the state's error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The intermediate values, by AWS's names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inspection_data: Option<Value>,
    /// The next state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_state: Option<Arc<str>>,
}

/// The status at the end of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TestStatus {
    /// The state succeeded.
    Succeeded,
    /// The state failed, and nothing handles the error.
    Failed,
    /// The state failed, and a retrier would retry it.
    Retriable,
    /// The state failed, and a catcher handles the error.
    CaughtError,
}

impl TestStateAnswer {
    /// The answer at the end of a test. With `data` it shows the intermediate values and the original text of
    /// `input`.
    pub(super) fn new(outcome: &Outcome, inspection: &Inspection, input: &str, data: bool) -> Self {
        let inspection_data = data.then(|| inspection_data(inspection, input));
        let failure = match outcome {
            Outcome::Succeeded(output) => {
                let failure = inspection.failure.clone().unwrap_or_default();
                let caught = inspection.failure.is_some();
                return Self {
                    status: if caught { TestStatus::CaughtError } else { TestStatus::Succeeded },
                    output: Some(output.to_string()),
                    error: failure.error,
                    cause: failure.cause,
                    inspection_data,
                    next_state: inspection.next.clone(),
                };
            }
            Outcome::TimedOut(_) => Failure::named(reserved::TIMEOUT),
            Outcome::Failed(failure) | Outcome::Aborted(failure) => failure.clone(),
        };
        let again = inspection.delay.is_some();
        Self {
            status: if again { TestStatus::Retriable } else { TestStatus::Failed },
            output: None,
            error: failure.error,
            cause: failure.cause,
            inspection_data,
            next_state: None,
        }
    }
}

fn inspection_data(inspection: &Inspection, input: &str) -> Value {
    let mut data = vec![(Arc::from("input"), Value::from(input))];
    for (stage, value) in &inspection.data {
        let value = if stage.is_number() { value.clone() } else { Value::string(value.to_string()) };
        data.push((stage.name().into(), value));
    }
    if !inspection.variables.is_empty() {
        let variables = inspection.variables.iter();
        let variables: Value = variables.map(|(name, value)| (Arc::clone(name), value.clone())).collect();
        data.push(("variables".into(), Value::string(variables.to_string())));
    }
    let mut details = Vec::new();
    details.extend(inspection.caught_by.map(|index| (Arc::from("catchIndex"), Value::from(index))));
    details.extend(inspection.retried_by.map(|index| ("retryIndex".into(), index.into())));
    details.extend(inspection.delay.map(|delay| ("retryBackoffIntervalSeconds".into(), delay.into())));
    if !details.is_empty() {
        data.push(("errorDetails".into(), details.into_iter().collect()));
    }
    data.into_iter().collect()
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::AfterArguments => "afterArguments",
            Self::AfterInputPath => "afterInputPath",
            Self::AfterParameters => "afterParameters",
            Self::AfterItemsPath => "afterItemsPath",
            Self::AfterItemsPointer => "afterItemsPointer",
            Self::AfterItemSelector => "afterItemSelector",
            Self::AfterItemBatcher => "afterItemBatcher",
            Self::MaxConcurrency => "maxConcurrency",
            Self::ToleratedFailureCount => "toleratedFailureCount",
            Self::ToleratedFailurePercentage => "toleratedFailurePercentage",
            Self::AfterResultSelector => "afterResultSelector",
            Self::AfterResultPath => "afterResultPath",
            Self::Result => "result",
        }
    }

    fn is_number(self) -> bool {
        matches!(self, Self::MaxConcurrency | Self::ToleratedFailureCount | Self::ToleratedFailurePercentage)
    }
}
