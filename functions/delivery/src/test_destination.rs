//! TestDestination: one event is sent to a destination at once, and what came of it is given back.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::worker;
use destinations::{destination::Destination, outbound::Outbound};
use events::event;
use kernel::start::Execution;
use kernel::{
    arrival::{Arrival, Via},
    batch::{BatchId, Name},
    destination_name::DestinationName,
    error::Error,
    fault::Fault,
    store::Store,
};

/// What the step takes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TestDestination {
    /// Whose destination.
    pub tenant: Name,
    /// Its name.
    pub destination: DestinationName,
    /// The event to send, a JSON text; without it one that says it is a test.
    #[serde(default)]
    pub event: Option<String>,
    /// The execution; the event's id is its name.
    pub execution: Execution,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestResult {
    /// Whether the destination took it.
    pub delivered: bool,
    /// The status of its answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What went wrong where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// More about it, in words: why the mapping made no body of the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// Sends one event. It is not stored, and not tried again.
pub async fn test_destination(
    step: TestDestination,
    store: &impl Store,
    outbound: &Outbound,
    now: Timestamp,
) -> Result<TestResult, Error> {
    let TestDestination { tenant, destination, event, execution } = step;
    let stored = Destination::find(&tenant, &destination, store).await?;
    let stored = stored.ok_or_else(|| Error::BadInput("there is no destination of this name".into()))?;
    let arrival = Arrival {
        id: BatchId::new(execution.started_at, 0),
        index: 0,
        message_id: execution.name,
        via: Via::Events,
        received_at: execution.started_at,
        sent_at: None,
    };
    let payload = event.unwrap_or_else(|| test_event(execution.started_at));
    let event = event::check(&payload, &arrival).map_err(|faults| {
        let sentences: Vec<String> = faults.iter().map(Fault::sentence).collect();
        Error::BadInput(sentences.join("; "))
    })?;
    let attempt = worker::test_send(stored, &event, &payload, outbound, now).await?;
    Ok(TestResult {
        delivered: attempt.status.is_some_and(|status| (200..300).contains(&status)),
        status: attempt.status,
        error: attempt.error,
        message: attempt.message,
        duration_ms: attempt.duration_ms,
    })
}

/// The event that is sent where nobody says which.
fn test_event(at: Timestamp) -> String {
    format!(
        r#"{{"userId":"test","event":"crmflow test","timestamp":"{at}","metadata":{{"preferredChannel":"email"}}}}"#
    )
}
