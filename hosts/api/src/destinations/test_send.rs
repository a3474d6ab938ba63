//! `POST /destinations/{name}/test`: sends one event to a destination now, and returns its answer. crmflow stores nothing of
//! it, and does not retry.

use std::sync::Arc;

use ::events::event;
use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use delivery::TestResult;
use kernel::{
    BatchId, Store,
    provenance::{Provenance, Source},
};
use serde_json::json;

use crate::{
    api::{Api, Caller},
    destinations, events,
    flow::{ExecutionStatus, Flow, Machine},
    http::{
        body, media,
        problem::{Kind, Problem},
    },
};

/// Sends the event of the body, or a test event if the body is empty.
pub(crate) async fn post<S: Store, F: Flow>(
    State(api): State<Arc<Api<S, F>>>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = body::read(body, &headers).await?;
    let (id, received_at) = api.new_id();
    let event = if body.trim_ascii().is_empty() {
        None
    } else {
        media::require_json(&headers)?;
        Some(checked(&body, id, received_at)?)
    };
    let stored = destinations::find(&api, &caller.tenant, &name).await?;
    let destination = stored.destination.destination_name;
    let input = json!({ "tenant": caller.tenant, "destination": destination, "event": event });
    let ended = api.flow.run(Machine::TestDestination, &id.to_string(), input.to_string()).await?;
    let output = ended.output.filter(|_| ended.status == ExecutionStatus::Succeeded);
    let output = output.ok_or_else(|| Problem::unavailable("the test of a destination failed"))?;
    let tested: TestResult = kernel::json::decode(output.as_bytes())?;
    Ok(Json(tested).into_response())
}

/// The unchanged event of a body, if `POST /events` would accept it.
fn checked(body: &[u8], id: BatchId, received_at: jiff::Timestamp) -> Result<String, Problem> {
    let text =
        std::str::from_utf8(body).map_err(|_| Problem::new(Kind::BadBody, "The body is not UTF-8."))?;
    let provenance = Provenance {
        id,
        index: 0,
        message_id: id.to_string(),
        via: Source::Events,
        received_at,
        sent_at: None,
    };
    event::check(text, &provenance).map_err(|faults| events::refused(&faults))?;
    Ok(text.to_owned())
}
