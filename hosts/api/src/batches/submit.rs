//! Starts the execution of a staged batch. The order survives a crash at any line: first the objects, then the status, then
//! the start.

use std::time::Duration;

use ::batches::{
    intake::{Manifest, Staged},
    stored::{BatchStatus, Status},
};
use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use kernel::{Batch, Error, Name, Store, json, records::Records};
use serde::Serialize;
use tokio::time::timeout;

use crate::{
    api::Api,
    batches::{self, Links},
    flow::{Flow, FlowError, Machine, Started},
    http::problem::Problem,
};

/// A started batch: the answer of `POST /records`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Accepted {
    batch_id: kernel::BatchId,
    execution_arn: String,
    start_date: Timestamp,
    pub(crate) received: u64,
    links: Links,
}

/// The machine for a staged batch, and its input: the same text for the same batch.
fn input(batch: &Batch, staged: &Staged) -> Result<(Machine, String), Error> {
    #[derive(Serialize)]
    struct Input<'a> {
        batch: &'a Batch,
        #[serde(skip_serializing_if = "Option::is_none")]
        records: Option<&'a Records>,
        #[serde(skip_serializing_if = "Option::is_none")]
        manifest: Option<&'a str>,
    }
    let machine = match &staged.inline {
        Some(_) => Machine::Records,
        None => Machine::Batch,
    };
    let input = Input { batch, records: staged.inline.as_ref(), manifest: staged.manifest.as_deref() };
    let text = String::from_utf8_lossy(&json::encode(&input)?).into_owned();
    Ok((machine, text))
}

/// The staged batch of an earlier request with the same key, if that request cut it. Its objects may be in use, so this
/// request does not write them again.
pub(crate) async fn staged_before(
    tenant: &Name,
    batch: &Batch,
    store: &impl Store,
) -> Result<Option<Staged>, Error> {
    let known = BatchStatus::find(tenant, batch.batch_id, store).await?;
    Ok(known.filter(|known| known.chunks > 0).map(|known| Staged {
        received: known.received.unwrap_or(0),
        inline: None,
        manifest: Some(Manifest::key(tenant, batch.batch_id)),
        chunks: known.chunks,
    }))
}

/// Starts the execution of a staged batch; answers 202.
pub(crate) async fn accept<S: Store, F: Flow>(
    api: &Api<S, F>,
    batch: &Batch,
    staged: &Staged,
) -> Result<Response, Problem> {
    let accepted = start(api, batch, staged).await?;
    let location = HeaderValue::from_str(&accepted.links.status).ok();
    let mut response = (StatusCode::ACCEPTED, Json(accepted)).into_response();
    if let Some(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Stores that a staged batch is running, and starts its execution.
pub(crate) async fn start<S: Store, F: Flow>(
    api: &Api<S, F>,
    batch: &Batch,
    staged: &Staged,
) -> Result<Accepted, Problem> {
    let (machine, input) = input(batch, staged)?;
    let name = batch.batch_id.to_string();
    let arn = api.flow.execution_arn(machine, &name);
    let status = open(api, batch, staged, Some(arn)).await?;
    match api.flow.start(machine, &name, input).await {
        Ok(Started { execution_arn, start_date }) => Ok(Accepted {
            batch_id: batch.batch_id,
            execution_arn,
            start_date,
            received: staged.received,
            links: Links::of(batch.batch_id),
        }),
        Err(error) => Err(not_started(api, batch, status, error).await?),
    }
}

/// Runs an inline batch and answers with its result. If the run takes longer than `wait`, starts the batch like any other:
/// its steps may run twice then, which changes nothing.
pub(crate) async fn run<S: Store, F: Flow>(
    api: &Api<S, F>,
    batch: &Batch,
    staged: &Staged,
    wait: Duration,
) -> Result<Response, Problem> {
    let (_, input) = input(batch, staged)?;
    let status = open(api, batch, staged, None).await?;
    if status.status == Status::Running {
        let name = batch.batch_id.to_string();
        let run = api.flow.run(Machine::RecordsExpress, &name, input);
        match timeout(wait, run).await {
            Ok(Ok(_)) => {}
            Ok(Err(error @ FlowError::Refused(_))) => {
                return Err(not_started(api, batch, status, error).await?);
            }
            Ok(Err(FlowError::Unavailable(_))) | Err(_) => return accept(api, batch, staged).await,
        }
    }
    let found = BatchStatus::find(&batch.tenant, batch.batch_id, &api.store).await?;
    match found {
        Some(status) if status.status != Status::Running => {
            let applied = (HeaderName::from_static("preference-applied"), HeaderValue::from_static("wait"));
            Ok(([applied], batches::view(status)).into_response())
        }
        // The run ended without a summary, so the durable machine runs the batch from its start.
        _ => accept(api, batch, staged).await,
    }
}

/// Stores that the batch is running, unless the store has a later status; returns the stored status.
async fn open<S: Store, F: Flow>(
    api: &Api<S, F>,
    batch: &Batch,
    staged: &Staged,
    execution_arn: Option<String>,
) -> Result<BatchStatus, Error> {
    let status = BatchStatus {
        received: Some(staged.received),
        chunks: staged.chunks,
        execution_arn,
        ..BatchStatus::running(batch)
    };
    let Some(known) = status.create(&batch.tenant, &api.store).await? else {
        return Ok(status);
    };
    let stands = match known.status {
        Status::Succeeded | Status::Interrupted | Status::Cancelled => true,
        Status::Failed => known.error.is_none(),
        Status::Running => status.execution_arn.is_none() || known.execution_arn == status.execution_arn,
    };
    if stands {
        return Ok(known);
    }
    status.save(&batch.tenant, &api.store).await?;
    Ok(status)
}

/// The problem of a batch that could not be started. A batch that the flow refused for good gets the status failed.
async fn not_started<S: Store, F: Flow>(
    api: &Api<S, F>,
    batch: &Batch,
    status: BatchStatus,
    error: FlowError,
) -> Result<Problem, Error> {
    if let FlowError::Refused(_) = error
        && status.status == Status::Running
    {
        let failed = BatchStatus {
            status: Status::Failed,
            stopped_at: Some((api.now)()),
            error: Some("its execution could not be started".to_owned()),
            ..status
        };
        failed.save(&batch.tenant, &api.store).await?;
    }
    Ok(error.into())
}
