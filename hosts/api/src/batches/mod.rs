//! `GET /batches`, `/batches/{id}`, `/batches/{id}/records/{index}`: the results of a batch and of each of its records.

mod records;
mod rows;
pub(crate) mod submit;
mod uploads;

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderValue, Uri, header},
    response::{IntoResponse, Response},
};
use batches::stored::{BatchStatus, Status};
use jiff::SignedDuration;
use kernel::{BatchId, Error, Name, Store};
use serde::Serialize;

use crate::{
    api::{Api, Caller},
    flow::{ExecutionStatus, Flow, Machine},
    http::{
        page::page,
        problem::{Kind, Problem},
        query::Parameters,
        routes::Routes,
    },
};

/// The routes of this domain.
pub(crate) fn routes<S: Store, F: Flow>() -> Routes<S, F> {
    Routes::described_by(include_str!("openapi.json"))
        .post("/records", records::post::<S, F>)
        .get("/batches", list::<S, F>)
        .get("/batches/{id}", get::<S, F>)
        .get("/batches/{id}/records", rows::list::<S, F>)
        .get("/batches/{id}/records/{index}", row::<S, F>)
        .post("/uploads", uploads::post::<S, F>)
}

/// A batch without an execution so long after its arrival has failed.
const START_GRACE: SignedDuration = SignedDuration::from_mins(5);
/// Maximum time of an upload, and of a synchronous run.
const MAX_PENDING_TIME: SignedDuration = SignedDuration::from_hours(1);
/// Number of latest batches that are searched for replays.
const MAX_SEARCHED_BATCHES: usize = 100;

/// The links of a batch.
#[derive(Debug, Serialize)]
pub(crate) struct Links {
    /// The batch.
    pub(crate) status: String,
    /// One of its records, by index.
    pub(crate) record: String,
    /// Its records in quarantine.
    pub(crate) quarantine: String,
}

impl Links {
    pub(crate) fn of(id: BatchId) -> Self {
        Self {
            status: format!("/batches/{id}"),
            record: format!("/batches/{id}/records/{{index}}"),
            quarantine: format!("/quarantine?batch={id}"),
        }
    }
}

#[derive(Debug, Serialize)]
struct View {
    #[serde(flatten)]
    status: BatchStatus,
    links: Links,
}

impl View {
    fn new(status: BatchStatus) -> Self {
        let links = Links::of(status.batch_id);
        Self { status, links }
    }
}

/// A batch as JSON.
pub(crate) fn view(status: BatchStatus) -> Response {
    Json(View::new(status)).into_response()
}

/// The latest batches, newest first, each with its stored status.
pub(crate) async fn list<S: Store, F: Flow>(
    State(api): State<Arc<Api<S, F>>>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = Parameters::read(&uri, &["limit", "after"])?;
    let limit = query.limit()?;
    let after = query.parse("after", "a batch id", |text| text.parse().ok())?;
    let found = BatchStatus::list(&caller.tenant, after, limit, &api.store).await?;
    let last = found.last().filter(|_| found.len() == limit);
    let next = last.map(|last| query.next("/batches", "after", &last.batch_id.to_string()));
    let batches: Vec<View> = found.into_iter().map(View::new).collect();
    Ok(page("batches", &batches, next))
}

/// One batch.
pub(crate) async fn get<S: Store, F: Flow>(
    State(api): State<Arc<Api<S, F>>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Ok(view(find(&api, &caller.tenant, &id).await?))
}

/// The outcome of one record.
pub(crate) async fn row<S: Store, F: Flow>(
    State(api): State<Arc<Api<S, F>>>,
    caller: Caller,
    Path((id, index)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let index: u64 = index.parse().map_err(|_| {
        Problem::new(Kind::NotFound, "Records are numbered from 0, in their order in the batch.")
    })?;
    let batch = find(&api, &caller.tenant, &id).await?;
    if let Some(received) = batch.received.filter(|&received| index >= received) {
        return Err(Problem::new(
            Kind::NotFound,
            format!("The batch has {received} records, numbered from 0."),
        ));
    }
    match ::batches::rows::row(&caller.tenant, &batch, index, &api.objects).await? {
        Some(row) => Ok(Json(row).into_response()),
        None if batch.status == Status::Running => {
            Err(Problem::new(Kind::NotDecided, "The batch is running and has not decided this record yet.")
                .with_header(header::RETRY_AFTER, HeaderValue::from_static("1")))
        }
        None if batch.status == Status::Interrupted => Err(Problem::new(
            Kind::NotDecided,
            "The batch was interrupted and waits for its operator. It has not decided this record yet.",
        )),
        None => Err(Problem::new(Kind::NotFound, "The batch ended without deciding this record.")),
    }
}

/// The batch with this id and its real status, or the problem that there is none.
async fn find<S: Store, F: Flow>(api: &Api<S, F>, tenant: &Name, id: &str) -> Result<BatchStatus, Problem> {
    let found = match id.parse::<BatchId>() {
        Ok(id) => BatchStatus::find(tenant, id, &api.store).await?,
        Err(_) => None,
    };
    let status = found.ok_or_else(|| Problem::new(Kind::NotFound, "There is no batch with this id."))?;
    settled(api, tenant, status).await
}

/// Corrects the status of the latest replays: the entries of a replay that never ran can be replayed again.
pub(crate) async fn settle_replays<S: Store, F: Flow>(api: &Api<S, F>, tenant: &Name) -> Result<(), Problem> {
    for batch in BatchStatus::list(tenant, None, MAX_SEARCHED_BATCHES, &api.store).await? {
        if batch.provider.as_str() == "replay" {
            settled(api, tenant, batch).await?;
        }
    }
    Ok(())
}

/// The batch with its real status: it has failed if its execution ended without a stored result.
async fn settled<S: Store, F: Flow>(
    api: &Api<S, F>,
    tenant: &Name,
    status: BatchStatus,
) -> Result<BatchStatus, Problem> {
    if status.status != Status::Running {
        return Ok(status);
    }
    let Some(error) = lost(api, tenant, &status).await? else {
        return Ok(status);
    };
    // The execution may have ended between the two reads.
    let latest = BatchStatus::find(tenant, status.batch_id, &api.store).await?;
    let latest = latest.unwrap_or(status);
    if latest.status != Status::Running {
        return Ok(latest);
    }
    let failed = BatchStatus { status: Status::Failed, error: Some(error.to_owned()), ..latest };
    // A late upload may still arrive.
    if failed.execution_arn.is_some() {
        failed.save(tenant, &api.store).await?;
    }
    Ok(failed)
}

/// The reason why a batch with the status running does not run.
async fn lost<S: Store, F: Flow>(
    api: &Api<S, F>,
    tenant: &Name,
    status: &BatchStatus,
) -> Result<Option<&'static str>, Problem> {
    let age = (api.now)().duration_since(status.batch_id.made_at());
    let name = status.batch_id.to_string();
    let is_upload = status.provider.as_str() == "upload";
    let arn = match &status.execution_arn {
        Some(arn) => arn.clone(),
        None if is_upload => api.flow.execution_arn(Machine::Batch, &name),
        None if age > MAX_PENDING_TIME => return Ok(Some("its synchronous request was interrupted")),
        None => return Ok(None),
    };
    let found = match api.flow.status(&arn).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(batch.id = name, "batch {name} is shown with its stored status: {error}");
            return Ok(None);
        }
    };
    let max_age = if is_upload { MAX_PENDING_TIME } else { START_GRACE };
    Ok(match found {
        Some(ExecutionStatus::Running) => None,
        Some(ExecutionStatus::Succeeded | ExecutionStatus::Ended) => {
            Some("its execution ended before every record was decided")
        }
        None if age <= max_age => None,
        None if status.execution_arn.is_some() => Some("its execution was never started"),
        // A cut upload has arrived, even under another execution name.
        None if status.received.is_some() => None,
        None => match api.objects.size(&batches::upload_key(tenant, status.batch_id)).await {
            Err(Error::ObjectMissing(_)) => Some("the upload did not arrive within an hour"),
            other => other.map(|_| None)?,
        },
    })
}
