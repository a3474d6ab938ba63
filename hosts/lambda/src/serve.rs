//! A step as a Lambda function: JSON in, JSON out, and failures with the names that state machines catch. A consumer as a
//! Lambda function: messages in, the failed ones out.

use std::time::Duration;

use jiff::Timestamp;
use kernel::{
    BatchId, Error, json,
    queue::{BatchResponse, SqsEvent},
};
use lambda_runtime::{Context, Diagnostic, LambdaEvent, service_fn};
use registry::{Consumer, Function};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use crate::clock;

/// A failure as Lambda receives it.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) Error);

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
    lambda_runtime::run(service_fn(|event| run(function, event, &step))).await
}

/// A step that exceeds its time fails with a name that machines retry, before Lambda ends the call without a name.
async fn run<I, O>(
    function: Function,
    event: LambdaEvent<Box<RawValue>>,
    step: &impl AsyncFn(I) -> Result<O, Error>,
) -> Result<Box<RawValue>, Failure>
where
    I: DeserializeOwned,
    O: Serialize,
{
    let deadline = Deadline::of(&event.context);
    let step = async |input| deadline.bound(clock::now(), step(input)).await;
    invoke(function.name(), event.payload, &step).await
}

/// The deadline of a call: unfinished work is aborted, and all its messages have failed.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Timestamp);

/// Time that a call needs for its answer, after its work.
const MIN_ANSWER_TIME: Duration = Duration::from_secs(5);

impl Deadline {
    /// A call with this deadline.
    pub fn new(ends: Timestamp) -> Self {
        Self(ends)
    }

    fn of(context: &Context) -> Self {
        let ends = i64::try_from(context.deadline).unwrap_or(i64::MAX);
        Self(Timestamp::from_millisecond(ends).unwrap_or(Timestamp::MAX))
    }

    /// Runs the work until its deadline.
    pub async fn bound<T>(
        self,
        now: Timestamp,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let left = self.left(now).unwrap_or_default();
        // On the heap, because the future of a step is very large.
        tokio::time::timeout(left, Box::pin(work)).await.unwrap_or(Err(Error::OutOfTime))
    }

    /// The remaining time for work; `None`: the call must answer now.
    pub fn left(self, now: Timestamp) -> Option<Duration> {
        let left = Duration::try_from(self.0.duration_since(now)).ok()?;
        left.checked_sub(MIN_ANSWER_TIME).filter(|left| !left.is_zero())
    }
}

/// Serves the messages of a queue until the environment ends. After a failure of `consume`, or a panic, SQS delivers all of
/// them again.
pub async fn serve_queue(
    consumer: Consumer,
    consume: impl AsyncFn(SqsEvent, Deadline) -> Result<BatchResponse, Error>,
) -> Result<(), lambda_runtime::Error> {
    log();
    lambda_runtime::run(service_fn(|event| take(consumer, event, &consume))).await
}

async fn take(
    consumer: Consumer,
    event: LambdaEvent<Box<RawValue>>,
    consume: &impl AsyncFn(SqsEvent, Deadline) -> Result<BatchResponse, Error>,
) -> Result<Box<RawValue>, Failure> {
    let deadline = Deadline::of(&event.context);
    invoke(consumer.name(), event.payload, &async |messages| consume(messages, deadline).await).await
}

async fn invoke<I, O>(
    name: &str,
    payload: Box<RawValue>,
    step: &impl AsyncFn(I) -> Result<O, Error>,
) -> Result<Box<RawValue>, Failure>
where
    I: DeserializeOwned,
    O: Serialize,
{
    let done = match json::decode(payload.get().as_bytes()) {
        // On the heap, because the future of a step is very large.
        Ok(input) => Box::pin(step(input)).await,
        Err(error) => Err(error),
    };
    let answer = done
        .and_then(|output| to_raw_value(&output).map_err(|error| Error::BadInput(json::describe(&error))));
    answer.map_err(|error| {
        report(name, &payload, &error);
        Failure(error)
    })
}

/// The input of most steps, as far as it has the id of the batch.
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

/// Logs a failed call in one line; no other place logs it.
pub(crate) fn report(name: &str, payload: &RawValue, error: &Error) {
    let batch = batch_of(payload.get()).map(|id| id.to_string());
    tracing::error!(
        function = name,
        batch.id = batch,
        error.name = error.name(),
        error.transient = error.is_transient(),
        "{name} failed: {error}"
    );
}

/// Starts logging to CloudWatch, as JSON lines with the id of the request. The message of a panic may contain a part of a
/// record, so the log has only its place.
pub fn log() {
    // lambda_runtime also logs a failed call, without the batch.
    let targets = Targets::new()
        .with_default(tracing::Level::INFO)
        .with_target("lambda_runtime::layers::panic", tracing::level_filters::LevelFilter::OFF);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_target(false)
        .with_current_span(true)
        .with_span_list(false);
    // A second call changes nothing; tests make one.
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

    #[track_caller]
    fn check_left(now: i64, left: Option<u64>) {
        let at = |second| Timestamp::from_second(second).expect("a time");
        assert_eq!(Deadline(at(60)).left(at(now)), left.map(Duration::from_secs), "{now}");
    }

    #[test]
    fn a_call_stops_working_in_time_to_answer() {
        check_left(0, Some(55));
        check_left(54, Some(1));
        check_left(55, None);
        check_left(58, None);
        check_left(61, None);
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
