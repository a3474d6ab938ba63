//! Ingest: `POST /track`, `POST /events` and Segment's calls. Each request becomes one message of the queue. The API answers
//! when the message is durable.

pub(crate) mod arrival_ids;
mod body;
mod complete;
mod own;
mod segment;
mod status;

use std::{borrow::Cow, time::Duration};

use events::event::{self, Call};
use jiff::Timestamp;
use kernel::{
    Store,
    fault::{Fault, rule},
    provenance::{self, IngestEvent, IngestRequest, Source},
    queue::{MAX_MESSAGE_BYTES, Message, Queue, QueueName},
};
use serde_json::value::RawValue;

use crate::{
    api::{Api, Caller},
    flow::Flow,
    http::{
        problem::{Kind, Problem},
        routes::Routes,
    },
};

/// The routes of this domain.
pub(crate) fn routes<S: Store, F: Flow>() -> Routes<S, F> {
    let own = Routes::described_by(include_str!("openapi.json"))
        .intake("/track", own::track::<S, F>)
        .intake("/events", own::post::<S, F>)
        .intake("/v1/batch", segment::batch::<S, F>);
    let calls = [
        ("/v1/track", Call::Track),
        ("/v1/identify", Call::Identify),
        ("/v1/page", Call::Page),
        ("/v1/screen", Call::Screen),
        ("/v1/group", Call::Group),
        ("/v1/alias", Call::Alias),
    ];
    let segment = calls.into_iter().fold(own, |routes, (path, call)| {
        routes.intake(path, move |api, caller, headers, body| {
            segment::call::<S, F>(call, api, caller, headers, body)
        })
    });
    segment.get("/events/{messageId}", status::get::<S, F>)
}

/// An ingest request without events.
fn open<S: Store, F: Flow>(
    api: &Api<S, F>,
    caller: Caller,
    via: Source,
    sent_at: Option<Timestamp>,
) -> IngestRequest<'static> {
    let received_at = (api.now)();
    let id = api.arrival_ids.next(received_at, (api.random)());
    IngestRequest { id, tenant: caller.tenant, via, received_at, sent_at, retry: 0, events: Vec::new() }
}

/// An event with its id: the client's if it is valid, otherwise a UUID (S0-009).
fn ingest_event<'a, S: Store, F: Flow>(
    api: &Api<S, F>,
    request: &IngestRequest<'_>,
    record: Cow<'a, RawValue>,
) -> IngestEvent<'a> {
    let given = match &record {
        Cow::Borrowed(record) => event::id_of(record.get(), request.via),
        Cow::Owned(record) => event::id_of(record.get(), request.via).map(|id| Cow::Owned(id.into_owned())),
    };
    let message_id =
        given.unwrap_or_else(|| provenance::message_id(request.received_at, (api.random)()).into());
    IngestEvent { message_id, record }
}

/// Puts the events of a request into the queue, durably (S0-017).
async fn send<S: Store, F: Flow>(api: &Api<S, F>, request: &IngestRequest<'_>) -> Result<(), Problem> {
    let text = serde_json::to_string(request)
        .map_err(|error| Problem::internal(format!("writing arrivals: {error}")))?;
    if text.len() > MAX_MESSAGE_BYTES {
        return Err(body::too_large_for_the_queue());
    }
    let message = Message { body: text, delay: Duration::ZERO };
    Ok(api.flow.queue().send(QueueName::Events, vec![message]).await?)
}

/// The problem of a refused event, with all its faults.
pub(crate) fn refused(faults: &[Fault]) -> Problem {
    let is_too_large = faults.iter().any(|fault| fault.rule == rule::SIZE);
    let kind = if is_too_large { Kind::TooLarge } else { Kind::InvalidEvent };
    Problem::of_faults(kind, faults)
}
