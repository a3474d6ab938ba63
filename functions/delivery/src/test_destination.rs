//! TestDestination: sends one event to a destination at once, and returns the result.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::worker;
use destinations::{destination::Destination, outbound::Outbound};
use events::event;
use kernel::start::Execution;
use kernel::{
    batch::{BatchId, Name},
    destination_name::DestinationName,
    error::Error,
    fault::Fault,
    provenance::{Provenance, Source},
    store::Store,
};

/// The input of the step.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TestDestination {
    /// The tenant.
    pub tenant: Name,
    /// The name of the destination.
    pub destination: DestinationName,
    /// The event to send, as JSON text; without it crmflow sends a test event.
    #[serde(default)]
    pub event: Option<String>,
    /// The execution; its name is the id of the event.
    pub execution: Execution,
}

/// The result of the step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestResult {
    /// Whether the destination accepted the event.
    pub delivered: bool,
    /// The status of the response, if the destination responded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The error, if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// More about the error, in words: why the mapping failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The duration in milliseconds.
    pub duration_ms: u64,
}

/// Sends one event. Nothing is stored, and no retry follows.
pub async fn test_destination(
    step: TestDestination,
    store: &impl Store,
    outbound: &Outbound,
    now: Timestamp,
) -> Result<TestResult, Error> {
    let TestDestination { tenant, destination, event, execution } = step;
    let stored = Destination::find(&tenant, &destination, store).await?;
    let stored = stored.ok_or_else(|| Error::BadInput("there is no destination of this name".into()))?;
    let provenance = Provenance {
        id: BatchId::new(execution.started_at, 0),
        index: 0,
        message_id: execution.name,
        via: Source::Events,
        received_at: execution.started_at,
        sent_at: None,
    };
    let payload = event.unwrap_or_else(|| test_event(execution.started_at));
    let event = event::check(&payload, &provenance).map_err(|faults| {
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

/// The event that is sent by default.
fn test_event(at: Timestamp) -> String {
    format!(
        r#"{{"userId":"test","event":"crmflow test","timestamp":"{at}","metadata":{{"preferredChannel":"email"}}}}"#
    )
}
