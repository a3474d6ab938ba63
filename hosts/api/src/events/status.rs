//! `GET /events/{messageId}`: the event as crmflow read it, its outcome, and each delivery attempt.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::Uri,
    response::{IntoResponse, Response},
};
use delivery::{
    model::{Attempt, Status},
    query,
};
use events::{
    event::{EventStatus, MAX_MESSAGE_ID_CHARS, StoredEvent},
    response::{self, EventResponse},
};
use jiff::Timestamp;
use kernel::{Store, destination_name::DestinationName, fault::Fault, provenance::Source, store::Table};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    api::{Api, Caller},
    flow::Flow,
    http::{
        page::Next,
        problem::{Kind, Problem},
        query::{Parameters, encoded},
    },
};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    message_id: String,
    outcome: EventStatus,
    via: Source,
    received_at: Timestamp,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<Fault>,
    /// Later events with the same id and different content.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conflicts: Vec<String>,
    /// The event as crmflow read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<Box<RawValue>>,
    /// The response row of the seed (S0-026 to S0-029); absent if no destination wanted the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Body>,
    /// A page of its deliveries, sorted by destination.
    deliveries: Vec<Delivery>,
    links: Next,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    response_id: String,
    response_body: Box<RawValue>,
    destinations: std::collections::BTreeMap<DestinationName, bool>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Delivery {
    destination: DestinationName,
    status: Status,
    attempts: Vec<Attempt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    replays: u32,
}

impl Delivery {
    fn new(destination: DestinationName, known: Option<query::DeliveryView>) -> Self {
        match known {
            Some(known) => Self {
                destination,
                status: known.status,
                attempts: known.attempts.unwrap_or_default(),
                next_attempt_at: known.next_attempt_at,
                reason: known.reason,
                replays: known.replays,
            },
            None => Self {
                destination,
                status: Status::Pending,
                attempts: Vec::new(),
                next_attempt_at: None,
                reason: None,
                replays: 0,
            },
        }
    }
}

/// The result of one event.
pub(crate) async fn get<S: Store, F: Flow>(
    State(api): State<Arc<Api<S, F>>>,
    caller: Caller,
    Path(message_id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = Parameters::read(&uri, &["limit", "after"])?;
    let limit = query.limit()?;
    let (partition, sort) = StoredEvent::key(&caller.tenant, &message_id);
    // No event has a longer id, and a table limits the length of keys.
    let stored = if message_id.chars().count() > MAX_MESSAGE_ID_CHARS {
        None
    } else {
        api.store.get(Table::Events, &partition, &sort).await?
    };
    let stored = stored.ok_or_else(|| {
        Problem::new(
            Kind::NotDecided,
            "There is no event with this id. A new event appears when it has left the queue.",
        )
    })?;
    let event = StoredEvent::read(&stored)?;
    let sent = api.store.get(response::TABLE, &partition, response::SORT).await?;
    let sent = sent.as_ref().map(EventResponse::read).transpose()?;
    // A reused id may have the response of an earlier event.
    let sent = sent.filter(|sent| sent.sequence == event.sequence);
    let outcome = match event.outcome {
        EventStatus::Stored if sent.is_some() => EventStatus::Routed,
        outcome => outcome,
    };
    // Without a destination there is no response to show.
    let sent = sent.filter(|sent| !sent.destinations.is_empty());
    let (deliveries, next) = match &sent {
        Some(sent) => page(&api, &caller, sent, query.get("after"), limit).await?,
        None => (Vec::new(), None),
    };
    let path = format!("/events/{}", encoded(&message_id));
    let next = next.map(|name| query.next(&path, "after", name.as_str()));
    let raw = event.event.map(RawValue::from_string).transpose();
    let view = View {
        event: raw.map_err(|_| Problem::internal("the event that is stored is not JSON"))?,
        message_id: event.message_id,
        outcome,
        via: event.via,
        received_at: event.received_at,
        faults: event.faults,
        conflicts: event.conflicts,
        response: sent.map(|sent| Body {
            response_id: sent.response_id,
            response_body: sent.response_body,
            destinations: sent.destinations,
        }),
        deliveries,
        links: Next { next },
    };
    Ok(Json(view).into_response())
}

/// Deliveries of an event after a name, and the start of the next page.
async fn page<S: Store, F: Flow>(
    api: &Api<S, F>,
    caller: &Caller,
    sent: &EventResponse,
    after: Option<&str>,
    limit: usize,
) -> Result<(Vec<Delivery>, Option<DestinationName>), Problem> {
    let behind = |name: &&DestinationName| after.is_none_or(|after| name.as_str() > after);
    let mut names: Vec<DestinationName> =
        sent.destinations.keys().filter(behind).take(limit + 1).cloned().collect();
    let is_last = names.len() <= limit;
    names.truncate(limit);
    let known = query::of_event(&caller.tenant, &sent.sequence, &names, &api.store).await?;
    let next = names.last().filter(|_| !is_last).cloned();
    Ok((names.into_iter().zip(known).map(|(name, known)| Delivery::new(name, known)).collect(), next))
}
