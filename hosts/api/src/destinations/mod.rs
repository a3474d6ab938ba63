//! `/destinations`: creates, changes and deletes destinations at run time (S0-011 to S0-016). A change applies from the next
//! event on. No response shows values of headers or secrets.

mod test_send;

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use delivery::{model::wake_lane, query::LaneView};
use destinations::{
    destination::{
        Destination, DestinationView, Redacted, Stored,
        form::{self, Reading},
    },
    members::Members,
};
use kernel::{Name, Store, destination_name::DestinationName, fault::Fault};
use serde::Serialize;
use serde_json::json;

use crate::{
    api::{Api, Caller},
    flow::Flow,
    http::{
        body, media,
        page::Fitting,
        page::page,
        problem::{Kind, Problem},
        query::Parameters,
        routes::Routes,
    },
};

/// The routes of this domain.
pub(crate) fn routes<S: Store, F: Flow>() -> Routes<S, F> {
    Routes::described_by(include_str!("openapi.json"))
        .post("/destinations", post::<S, F>)
        .get("/destinations", list::<S, F>)
        .get("/destinations/{name}", get::<S, F>)
        .put("/destinations/{name}", put::<S, F>)
        .delete("/destinations/{name}", delete::<S, F>)
        .post("/destinations/{name}/test", test_send::post::<S, F>)
}

/// Maximum number of attempts at a change that conflicts with concurrent ones.
const MAX_ATTEMPTS: usize = 8;

/// A destination as a response shows it.
#[derive(Debug, Serialize)]
struct View {
    #[serde(flatten)]
    shown: DestinationView,
    /// The generated secret, in this response only.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<Redacted<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lane: Option<LaneView>,
    links: Links,
}

#[derive(Debug, Serialize)]
struct Links {
    destination: String,
    deliveries: String,
}

impl View {
    fn new(destination: Destination) -> Self {
        let name = &destination.destination_name;
        let links = Links {
            destination: format!("/destinations/{name}"),
            deliveries: format!("/deliveries?destination={name}"),
        };
        Self { links, shown: destination.into(), secret: None, lane: None }
    }
}

/// Creates a destination: 200 as the seed specifies (S0-014), 409 if the name exists.
pub(crate) async fn post<S: Store, F: Flow>(
    State(api): State<Arc<Api<S, F>>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let members = members(&headers, body).await?;
    let read = form::create(members, reading(&api)).map_err(|faults| refused(&faults))?;
    let destination = read.destination;
    if !destination.save(&caller.tenant, None, &api.store).await? {
        let detail = format!(
            "The destination {} exists already. PUT /destinations/{} changes it.",
            destination.destination_name, destination.destination_name
        );
        return Err(Problem::new(Kind::Exists, detail));
    }
    let view = View { secret: read.made, ..View::new(destination) };
    Ok(Json(json!({"Destination created status": "success", "destination": view})).into_response())
}

/// A page of destinations, by name.
pub(crate) async fn list<S: Store, F: Flow>(
    State(api): State<Arc<Api<S, F>>>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = Parameters::read(&uri, &["limit", "after"])?;
    let limit = query.limit()?;
    let after = query.parse("after", "the name of a destination", |text| text.parse().ok())?;
    let after = after.as_ref().map(DestinationName::as_str);
    let found = Destination::list(&caller.tenant, after, limit, &api.store).await?;
    let names: Vec<DestinationName> =
        found.iter().map(|stored| stored.destination.destination_name.clone()).collect();
    let fitting = Fitting::of(found.into_iter().map(|stored| View::new(stored.destination)))?;
    let last = fitting.entries.len().checked_sub(1).filter(|_| fitting.has_more || names.len() == limit);
    let next = last.map(|last| query.next("/destinations", "after", names[last].as_str()));
    Ok(page("destinations", &fitting.entries, next))
}

/// One destination, with the state of its lane.
pub(crate) async fn get<S: Store, F: Flow>(
    State(api): State<Arc<Api<S, F>>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let Stored { destination, .. } = find(&api, &caller.tenant, &name).await?;
    let lane = LaneView::read(&caller.tenant, &destination, &api.store).await?;
    Ok(Json(View { lane: Some(lane), ..View::new(destination) }).into_response())
}

/// Changes a destination. A wake-up informs the worker of its lane, so the change applies from the next event on. A resumed
/// destination gets its waiting deliveries.
pub(crate) async fn put<S: Store, F: Flow>(
    State(api): State<Arc<Api<S, F>>>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let members = members(&headers, body).await?;
    for _ in 0..MAX_ATTEMPTS {
        let stored = find(&api, &caller.tenant, &name).await?;
        let read = form::change(&stored.destination, members.clone(), reading(&api))
            .map_err(|faults| refused(&faults))?;
        let destination = read.destination;
        if destination.save(&caller.tenant, Some(stored.version), &api.store).await? {
            wake(&api, &caller.tenant, &destination.destination_name).await?;
            return Ok(Json(View { secret: read.made, ..View::new(destination) }).into_response());
        }
    }
    Err(Problem::unavailable("concurrent changes of a destination prevented this one"))
}

/// Deletes a destination, and fails its waiting deliveries. A repeated call does the rest after a crash.
pub(crate) async fn delete<S: Store, F: Flow>(
    State(api): State<Arc<Api<S, F>>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let name: DestinationName = name.parse().map_err(|_| missing())?;
    let found = Destination::find(&caller.tenant, &name, &api.store).await?;
    if found.is_some() {
        Destination::delete(&caller.tenant, &name, &api.store).await?;
    }
    wake(&api, &caller.tenant, &name).await?;
    found.map(|_| StatusCode::NO_CONTENT.into_response()).ok_or_else(missing)
}

/// The destination with this name.
pub(crate) async fn find<S: Store, F: Flow>(
    api: &Api<S, F>,
    tenant: &Name,
    name: &str,
) -> Result<Stored, Problem> {
    let name: DestinationName = name.parse().map_err(|_| missing())?;
    Destination::find(tenant, &name, &api.store).await?.ok_or_else(missing)
}

fn missing() -> Problem {
    Problem::new(Kind::NotFound, "There is no destination with this name.")
}

/// Sends a wake-up to the lane of a destination.
pub(crate) async fn wake<S: Store, F: Flow>(
    api: &Api<S, F>,
    tenant: &Name,
    destination: &DestinationName,
) -> Result<(), Problem> {
    wake_lane(tenant, destination, api.flow.queue()).await.map_err(Problem::from)
}

fn reading<S: Store, F: Flow>(api: &Api<S, F>) -> Reading<'_> {
    Reading { guard: &api.guard, now: (api.now)(), random: api.random }
}

async fn members(headers: &HeaderMap, body: Body) -> Result<Members, Problem> {
    media::require_json(headers)?;
    body::json(&body::read(body, headers).await?)
}

/// The problem of a body. It quotes names and expressions, and no other values.
fn refused(faults: &[Fault]) -> Problem {
    Problem::of_faults(Kind::BadBody, faults)
}
