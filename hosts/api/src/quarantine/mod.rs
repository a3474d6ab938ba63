//! `GET /quarantine` and `POST /quarantine/replay`: lists the records in quarantine, and replays them.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use kernel::{
    BatchId, Store,
    fault::ErrorType,
    quarantine::{self, Entry, Filter},
};
use replay::{self, Pick, Requeued, Selection};
use serde::{Deserialize, Serialize};

use crate::{
    api::{Api, Caller},
    batches,
    batches::submit::{self, Accepted},
    flow::Flow,
    http::{body, media, page, problem::Problem, query::Parameters, routes::Routes},
};

/// The routes of this domain.
pub(crate) fn routes<S: Store, F: Flow>() -> Routes<S, F> {
    Routes::described_by(include_str!("openapi.json"))
        .get("/quarantine", list::<S, F>)
        .post("/quarantine/replay", replay::<S, F>)
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    #[serde(flatten)]
    entry: Entry,
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed_as: Option<BatchId>,
}

/// A page of the quarantine. Replayed entries are omitted unless the query has `all`, so a page may be short and still have a
/// next page.
pub(crate) async fn list<S: Store, F: Flow>(
    State(api): State<Arc<Api<S, F>>>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = Parameters::read(&uri, &["batch", "errorType", "all", "limit", "page"])?;
    let filter = Filter {
        batches: query.parse("batch", "a batch id", |text| text.parse().ok())?.map(|id: BatchId| [id].into()),
        error_type: query.parse(
            "errorType",
            "unreadable, schema, address, conflict, delivery or processing",
            error_type,
        )?,
    };
    let all = query.parse("all", "true or false", |text| text.parse().ok())?;
    let page = query.get("page");
    let found = quarantine::list(&caller.tenant, &filter, page, query.limit()?, &api.objects).await;
    let found = found.map_err(|error| page::failed(error, page.is_some()))?;
    let holders = replay::replayed_as(&api.store, &caller.tenant, &found.entries, (api.now)()).await?;
    let entries = found.entries.into_iter().zip(holders);
    let entries = entries.filter(|(_, replayed_as)| all == Some(true) || replayed_as.is_none());
    let next = found.next.map(|page| query.next("/quarantine", "page", &page));
    let entries: Vec<View> = entries.map(|(entry, replayed_as)| View { entry, replayed_as }).collect();
    Ok(page::page("entries", &entries, next))
}

fn error_type(name: &str) -> Option<ErrorType> {
    ErrorType::ALL.into_iter().find(|kind| kind.name() == name)
}

/// The selection of a replay: all entries, or those that match all members.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Request {
    #[serde(default)]
    batch_id: Option<BatchId>,
    #[serde(default)]
    error_type: Option<ErrorType>,
    #[serde(default)]
    entries: Vec<Pick>,
    #[serde(default)]
    limit: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Replayed {
    replayed: u64,
    more: bool,
    batches: Vec<Resent>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    requests: Vec<Requeued>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
}

/// The hint at the replay of deliveries.
const DELIVERIES_HINT: &str = "POST /deliveries/replay replays deliveries.";

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Resent {
    replay_of: BatchId,
    #[serde(flatten)]
    batch: Accepted,
}

/// Sends entries through the flow again: 202, or 200 if there is none.
pub(crate) async fn replay<S: Store, F: Flow>(
    State(api): State<Arc<Api<S, F>>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    media::require_json(&headers)?;
    let Request { batch_id, error_type, entries, limit } = body::json(&body::read(body, &headers).await?)?;
    let selection = Selection {
        filter: Filter { batches: batch_id.map(|id| [id].into()), error_type },
        picks: entries,
        limit,
    };
    batches::settle_replays(&api, &caller.tenant).await?;
    let now = (api.now)();
    let (store, objects, queue) = (&api.store, &api.objects, api.flow.queue());
    let found = replay::replay(store, objects, queue, &caller.tenant, &selection, now, api.random).await?;
    let mut batches = Vec::with_capacity(found.batches.len());
    for resent in found.batches {
        batches.push(Resent {
            replay_of: resent.source,
            batch: submit::start(&api, &resent.batch, &resent.staged).await?,
        });
    }
    let contacts: u64 = batches.iter().map(|resent| resent.batch.received).sum();
    let events: u64 = found.requests.iter().map(|again| again.events).sum();
    let answer = Replayed {
        replayed: contacts + events,
        more: found.more,
        batches,
        requests: found.requests,
        hint: (found.deliveries > 0).then_some(DELIVERIES_HINT),
    };
    let status = if answer.replayed == 0 { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(answer)).into_response())
}
