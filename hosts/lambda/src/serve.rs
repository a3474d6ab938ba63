//! A step as a Lambda function: JSON in, JSON out, and a failure by the name that state machines catch.

use functions::{BatchId, Error, Function, door};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

/// A failure as Lambda is told of it.
#[derive(Debug)]
struct Failure(Error);

impl From<Failure> for Diagnostic {
    fn from(Failure(error): Failure) -> Self {
        Self { error_type: error.name().to_owned(), error_message: error.to_string() }
    }
}

/// Serves calls of `function` until the environment ends.
pub async fn serve<I, O>(
    function: Function,
    step: impl AsyncFn(I) -> Result<O, Error>,
) -> Result<(), lambda_runtime::Error>
where
    I: DeserializeOwned,
    O: Serialize,
{
    log();
    lambda_runtime::run(service_fn(|event: LambdaEvent<Box<RawValue>>| {
        invoke(function, event.payload, &step)
    }))
    .await
}

async fn invoke<I, O>(
    function: Function,
    payload: Box<RawValue>,
    step: &impl AsyncFn(I) -> Result<O, Error>,
) -> Result<Box<RawValue>, Failure>
where
    I: DeserializeOwned,
    O: Serialize,
{
    let done = match door::decode(payload.get().as_bytes()) {
        // On the heap: all that a step waits for makes one very large future.
        Ok(input) => Box::pin(step(input)).await,
        Err(error) => Err(error),
    };
    let answer = done
        .and_then(|output| to_raw_value(&output).map_err(|error| Error::BadInput(door::describe(&error))));
    answer.map_err(|error| {
        report(function, &payload, &error);
        Failure(error)
    })
}

/// Where the id of the batch stands, in what most steps take.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    batch: Option<BatchNamed>,
    input: Option<Box<RawValue>>,
    upload: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchNamed {
    batch_id: BatchId,
}

fn batch_of(payload: &str) -> Option<BatchId> {
    let Named { batch, input, upload } = serde_json::from_str(payload).ok()?;
    match (batch, input, upload) {
        (Some(batch), ..) => Some(batch.batch_id),
        (None, Some(input), _) => batch_of(input.get()),
        (None, None, Some(upload)) => upload.rsplit('/').next()?.parse().ok(),
        (None, None, None) => None,
    }
}

/// The one line that a failed call leaves; it is not logged anywhere else.
fn report(function: Function, payload: &RawValue, error: &Error) {
    let name = function.name();
    let batch = batch_of(payload.get()).map(|id| id.to_string());
    tracing::error!(
        function = name,
        batch.id = batch,
        error.name = error.name(),
        error.transient = error.is_transient(),
        "{name} could not be done: {error}"
    );
}

/// Logs go to CloudWatch as JSON lines; each holds the id of the request. What a panic says may come out of
/// a record, so only its place is logged.
pub fn log() {
    // lambda_runtime logs a failed call too, without the batch.
    let targets = Targets::new()
        .with_default(tracing::Level::INFO)
        .with_target("lambda_runtime::layers::panic", tracing::level_filters::LevelFilter::OFF);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_target(false)
        .with_current_span(true)
        .with_span_list(false);
    // A second call, as in tests, changes nothing.
    let _ = tracing_subscriber::registry().with(targets).with(lines).try_init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "a fault in crmflow stopped this call");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(payload: &str, batch: Option<&str>) {
        assert_eq!(batch_of(payload).map(|id| id.to_string()).as_deref(), batch, "{payload}");
    }

    #[test]
    fn the_batch_of_a_call_is_found_for_its_log_line() {
        let id = "01JD0000000000000000000000";
        check(&format!(r#"{{"batch":{{"batchId":"{id}","tenant":"x"}},"records":{{}}}}"#), Some(id));
        check(&format!(r#"{{"input":{{"batch":{{"batchId":"{id}"}}}},"execution":{{}}}}"#), Some(id));
        check(r#"{"input":[{"name":"n"}]}"#, None);
        check(&format!(r#"{{"upload":"uploads/t/{id}","execution":{{}}}}"#), Some(id));
        check(r#"{"upload":"uploads/t/x"}"#, None);
        check("7", None);
    }

    #[test]
    fn a_failure_goes_by_the_name_that_machines_catch() {
        let failure = Failure(Error::StorageUnavailable("busy".into()));
        let Diagnostic { error_type, error_message } = failure.into();
        assert_eq!(
            (error_type.as_str(), error_message.as_str()),
            ("StorageUnavailable", "storage is not available: busy")
        );
    }
}
