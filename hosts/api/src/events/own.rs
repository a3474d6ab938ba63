//! `POST /track` and `POST /events`: events in the format of the seeds. The API checks a single event at once. A bad event of
//! a list goes to quarantine.

use std::{borrow::Cow, sync::Arc};

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use events::event;
use kernel::{
    Store,
    provenance::{IngestEvent, IngestRequest, Provenance, Source},
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{body, ingest_event, open, refused, send};
use crate::{
    api::{Api, Caller},
    flow::Flow,
    http::{
        media,
        problem::{Kind, Problem},
        query,
    },
};

/// Accepts one event: 200 with its id (S0-002, S0-008).
pub(crate) async fn track<S: Store, F: Flow>(
    State(api): State<Arc<Api<S, F>>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Tracked<'a> {
        message_id: &'a str,
    }
    media::require_json(&headers)?;
    let text = body::read(body, &headers).await?;
    let request = single(&api, caller, Source::Track, body::json(&text)?)?;
    send(&api, &request).await?;
    let message_id = request.events.first().map_or("", |event| &event.message_id);
    Ok(Json(Tracked { message_id }).into_response())
}

/// Accepts one event or a list of events: 202 with their ids (S3-001, S4-001).
pub(crate) async fn post<S: Store, F: Flow>(
    State(api): State<Arc<Api<S, F>>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Accepted<'a> {
        accepted: usize,
        message_ids: Vec<&'a str>,
    }
    media::require_json(&headers)?;
    let text = body::read(body, &headers).await?;
    let is_list = text.trim_start().starts_with('[');
    let request = if is_list {
        several(&api, caller, &body::json::<Vec<&RawValue>>(&text)?)?
    } else {
        single(&api, caller, Source::Events, body::json(&text)?)?
    };
    send(&api, &request).await?;
    let message_ids: Vec<&str> = request.events.iter().map(|event| &*event.message_id).collect();
    let location = match message_ids.as_slice() {
        [id] => HeaderValue::from_str(&format!("/events/{}", query::encoded(id))).ok(),
        _ => None,
    };
    let accepted = Accepted { accepted: message_ids.len(), message_ids };
    let mut response = (StatusCode::ACCEPTED, Json(accepted)).into_response();
    if let Some(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// A single event, if it is valid.
fn single<'a, S: Store, F: Flow>(
    api: &Api<S, F>,
    caller: Caller,
    via: Source,
    record: &'a RawValue,
) -> Result<IngestRequest<'a>, Problem> {
    let mut request = open(api, caller, via, None);
    let event = ingest_event(api, &request, Cow::Borrowed(record));
    let provenance = Provenance {
        id: request.id,
        index: 0,
        message_id: event.message_id.into_owned(),
        via,
        received_at: request.received_at,
        sent_at: None,
    };
    event::check(record.get(), &provenance).map_err(|faults| refused(&faults))?;
    request.events.push(IngestEvent { message_id: provenance.message_id.into(), record: event.record });
    Ok(request)
}

/// The events of a list.
fn several<'a, S: Store, F: Flow>(
    api: &Api<S, F>,
    caller: Caller,
    records: &[&'a RawValue],
) -> Result<IngestRequest<'a>, Problem> {
    if records.is_empty() {
        return Err(Problem::new(Kind::BadBody, "The list is empty; it needs at least one event."));
    }
    body::limit_count(records.len())?;
    let mut request = open(api, caller, Source::Events, None);
    request.events =
        records.iter().map(|&record| ingest_event(api, &request, Cow::Borrowed(record))).collect();
    Ok(request)
}
