//! One call that is no delivery: to see how a destination answers. Nothing of it is stored, and nothing tried again.

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
use kernel::{arrival::Via, door, error::Error};

/// Calls a destination with an event as a delivery of it would, whatever state the destination is in.
pub async fn test_send(
    stored: Stored,
    event: &Event<'_>,
    payload: &str,
    outbound: &Outbound,
    at: Timestamp,
) -> Result<Attempt, Error> {
    let canonical = serde_json::to_string(event).map_err(|error| Error::BadInput(door::describe(&error)))?;
    let payload_of_event = Payload { original: payload.to_owned(), canonical, via: Via::Crmflow };
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
