//! `GET /deliveries` and `POST /deliveries/replay`: lists deliveries, and replays failed ones.

use std::sync::Arc;

use ::destinations::{
    destination::State as Sent,
    members::{Fields, Members},
};
use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use delivery::{
    model::Status,
    query::{self, DeliveryView, Failure, Filter},
    redrive::{self, Selection},
};
use jiff::Timestamp;
use kernel::{Store, fault::Fault};
use serde::Serialize;

use crate::{
    api::{Api, Caller},
    destinations,
    flow::Flow,
    http::{
        body, media, page,
        problem::{Kind, Problem},
        query::{Parameters, encoded},
        routes::Routes,
    },
};

/// The routes of this domain.
pub(crate) fn routes<S: Store, F: Flow>() -> Routes<S, F> {
    Routes::described_by(include_str!("openapi.json"))
        .get("/deliveries", list::<S, F>)
        .post("/deliveries/replay", replay::<S, F>)
}

/// Maximum number of deliveries in one replay.
const MAX_REPLAYED: u32 = 10_000;

/// A delivery with links to its event and destination.
#[derive(Debug, Serialize)]
struct Listed {
    #[serde(flatten)]
    delivery: DeliveryView,
    links: Links,
}

#[derive(Debug, Serialize)]
struct Links {
    event: String,
    destination: String,
}

impl From<DeliveryView> for Listed {
    fn from(delivery: DeliveryView) -> Self {
        let links = Links {
            event: format!("/events/{}", encoded(&delivery.message_id)),
            destination: format!("/destinations/{}", delivery.destination),
        };
        Self { delivery, links }
    }
}

/// A page of deliveries, sorted by destination. A page may be short and still have a next page.
pub(crate) async fn list<S: Store, F: Flow>(
    State(api): State<Arc<Api<S, F>>>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = Parameters::read(&uri, &["destination", "status", "error", "limit", "page"])?;
    let filter = Filter {
        destination: query.parse("destination", "the name of a destination", |text| text.parse().ok())?,
        status: query.parse("status", "pending, delivered or failed", status)?,
        failure: query.parse(
            "error",
            "a status like 404, a class like 5xx, network, or a name like timeout",
            |text| text.parse().ok(),
        )?,
    };
    let page = query.get("page");
    let found = query::list(&caller.tenant, &filter, page, query.limit()?, &api.store).await;
    let found = found.map_err(|error| page::failed(error, page.is_some()))?;
    let next = found.next.map(|page| query.next("/deliveries", "page", &page));
    let deliveries: Vec<Listed> = found.deliveries.into_iter().map(Listed::from).collect();
    Ok(page::page("deliveries", &deliveries, next))
}

fn status(name: &str) -> Option<Status> {
    Status::ALL.into_iter().find(|status| status.name() == name)
}

/// The selection of a replay: the failed deliveries of a destination that match all members.
struct Request {
    destination: String,
    since: Option<Timestamp>,
    error: Option<Failure>,
    dry_run: bool,
    limit: usize,
}

impl Request {
    fn read(members: Members, now: Timestamp) -> Result<Self, Vec<Fault>> {
        let mut fields = Fields::new(members);
        let destination = fields.required("destination", "is not a text", Some::<String>);
        let since = fields.optional(
            "since",
            "is neither a time like 2026-11-21T08:00:00Z nor a duration like 24h",
            |text: String| redrive::since(&text, now),
        );
        let error = fields.optional(
            "error",
            "is neither a status like 404, a class like 5xx, network, nor a name like timeout",
            |text: String| text.parse().ok(),
        );
        let dry_run = fields.optional("dryRun", "is neither true nor false", Some::<bool>);
        let limit = fields.number("limit", "is not a number from 1 to 10000", 1..=MAX_REPLAYED);
        fields.refuse_others("is not a member of a replay of deliveries");
        match destination {
            Some(destination) if fields.faults.is_empty() => Ok(Self {
                destination,
                since,
                error,
                dry_run: dry_run.unwrap_or(false),
                limit: usize::try_from(limit.unwrap_or(MAX_REPLAYED)).unwrap_or(usize::MAX),
            }),
            _ => Err(fields.faults),
        }
    }
}

/// Queues failed deliveries again: 202, or 200 if there is none.
pub(crate) async fn replay<S: Store, F: Flow>(
    State(api): State<Arc<Api<S, F>>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    media::require_json(&headers)?;
    let members = body::json(&body::read(body, &headers).await?)?;
    let Request { destination, since, error, dry_run, limit } =
        Request::read(members, (api.now)()).map_err(|faults| Problem::of_faults(Kind::BadBody, &faults))?;
    let stored = destinations::find(&api, &caller.tenant, &destination).await?;
    if stored.destination.state == Sent::Disabled && !dry_run {
        let detail = "The destination is disabled, so crmflow sends nothing to it. PUT it with the state active first.";
        return Err(Problem::new(Kind::NotPossible, detail));
    }
    let selection = Selection { destination: stored.destination, since, failure: error, limit };
    let (tenant, store) = (&caller.tenant, &api.store);
    let replayed = if dry_run {
        redrive::count(tenant, &selection, store).await?
    } else {
        redrive::redrive(tenant, &selection, store, api.flow.queue()).await?
    };
    let status = if replayed.replayed == 0 { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(replayed)).into_response())
}
