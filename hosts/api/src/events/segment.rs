//! `POST /v1/batch`, `/v1/track` and the other calls in Segment's format, so that the SDKs of Segment and RudderStack work
//! unchanged. The SDKs drop a whole batch on a 400, so a bad event goes to quarantine instead. The SDKs' Content-Type can be
//! wrong, so the API ignores it. It accepts any write key, and stores none.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use events::event::Call;
use jiff::Timestamp;
use kernel::{Store, provenance::Source, queue::MAX_MESSAGE_BYTES};
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{body, complete::complete, ingest_event, open, send};
use crate::{
    api::{Api, Caller},
    flow::Flow,
    http::problem::{Kind, Problem},
};

/// The members of a batch that the API reads.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Batch<'a> {
    #[serde(borrow)]
    batch: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    context: Option<&'a RawValue>,
    #[serde(borrow, default)]
    integrations: Option<&'a RawValue>,
    #[serde(borrow, default)]
    sent_at: Option<&'a RawValue>,
}

/// Accepts a batch.
pub(crate) async fn batch<S: Store, F: Flow>(
    State(api): State<Arc<Api<S, F>>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let text = body::read(body, &headers).await?;
    let Batch { batch, context, integrations, sent_at } = body::json(&text)?;
    body::limit_count(batch.len())?;
    let defaults = [("context", context), ("integrations", integrations)];
    let defaults: Vec<_> = defaults.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let sent_at = sent_at.and_then(|text| serde_json::from_str::<Timestamp>(text.get()).ok());
    let mut request = open(&api, caller, Source::Segment, sent_at);
    let mut bytes = 0;
    for record in batch {
        let record = complete(record, &defaults);
        bytes += record.get().len();
        // From here on each event has the defaults of the batch.
        if bytes > MAX_MESSAGE_BYTES {
            return Err(body::too_large_for_the_queue());
        }
        let event = ingest_event(&api, &request, record);
        request.events.push(event);
    }
    if !request.events.is_empty() {
        send(&api, &request).await?;
    }
    Ok(taken())
}

/// Accepts one call.
pub(crate) async fn call<S: Store, F: Flow>(
    call: Call,
    State(api): State<Arc<Api<S, F>>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let text = body::read(body, &headers).await?;
    let record: &RawValue = body::json(&text)?;
    if !record.get().starts_with('{') {
        return Err(Problem::new(Kind::BadBody, "The body must be a JSON object."));
    }
    let name = to_raw_value(call.name()).map_err(|error| Problem::internal(error.to_string()))?;
    let mut request = open(&api, caller, Source::Segment, None);
    let event = ingest_event(&api, &request, complete(record, &[("type", &name)]));
    request.events.push(event);
    send(&api, &request).await?;
    Ok(taken())
}

fn taken() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], r#"{"success":true}"#).into_response()
}
