//! A test send: one call outside of any lane, which shows how a destination responds. Nothing is stored, and
//! no retry follows.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    attempt::{Target, call},
    context::REQUEST_TIMEOUT,
    evaluator::Evaluator,
    task::Payload,
};
use crate::model::Attempt;
use destinations::{destination::Stored, outbound::Outbound};
use events::event::Event;
use kernel::{error::Error, json, provenance::Source};

/// Calls a destination with an event as a delivery does, in any state of the destination.
pub async fn test_send(
    stored: Stored,
    event: &Event<'_>,
    payload: &str,
    outbound: &Outbound,
    at: Timestamp,
) -> Result<Attempt, Error> {
    let canonical = serde_json::to_string(event).map_err(|error| Error::BadInput(json::describe(&error)))?;
    let payload_of_event = Payload { original: payload.to_owned(), canonical, via: Source::Crmflow };
    let target = Arc::new(Target::new(stored, outbound.guard(), Evaluator::default()));
    let channel = event.preferred_channel();
    let (attempt, _) = call(
        &target,
        &payload_of_event,
        &event.message_id,
        channel.as_deref(),
        outbound,
        at,
        REQUEST_TIMEOUT,
    )
    .await;
    Ok(attempt)
}
