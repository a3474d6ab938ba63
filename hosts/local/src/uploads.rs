//! `PUT /uploads/{tenant}/{batch}`, which S3 answers on AWS. The server streams the file to the disk. When the file is
//! complete, its batch starts.

use std::time::Duration;

use api::problem::{Kind, Problem};
use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::StatusCode,
    routing::put,
};
use batches::{
    stored::{BatchStatus, Status},
    upload_key,
};
use bytes::Bytes;
use futures::{Stream, TryStreamExt, stream};
use kernel::{BatchId, Error, Name};
use tokio::time::timeout;

use crate::flow::LocalFlow;

/// Maximum time that an uploading client may send nothing.
const PIECE_TIMEOUT: Duration = Duration::from_secs(30);

/// The route, beside those of the API.
pub(crate) fn route(flow: LocalFlow) -> Router {
    Router::new().route("/uploads/{tenant}/{batch}", put(put_upload)).with_state(flow)
}

async fn put_upload(
    State(flow): State<LocalFlow>,
    Path((tenant, batch)): Path<(String, String)>,
    body: Body,
) -> Result<StatusCode, Problem> {
    let unknown =
        || Problem::new(Kind::NotFound, "No upload was opened at this address; POST /uploads opens one.");
    let tenant: Name = tenant.parse().map_err(|_: Error| unknown())?;
    let id: BatchId = batch.parse().map_err(|_: Error| unknown())?;
    let host = &flow.services().host;
    let known = BatchStatus::find(&tenant, id, &host.store).await?.ok_or_else(unknown)?;
    if known.provider.as_str() != "upload" {
        return Err(unknown());
    }
    if known.status != Status::Running || known.execution_arn.is_some() {
        return Err(Problem::new(Kind::Conflict, "This upload is complete already; its batch has started."));
    }
    match host.objects.put_stream(&upload_key(&tenant, id), pieces(body)).await {
        Ok(_) => {}
        Err(Refused::Cut) => {
            return Err(Problem::new(
                Kind::BadRequest,
                "The body ended early; the server stored nothing of it.",
            ));
        }
        Err(Refused::Storage(error)) => return Err(error.into()),
    }
    flow.uploaded(&tenant, known).await?;
    Ok(StatusCode::OK)
}

/// The body as a stream; it fails if the client sends nothing for too long.
fn pieces(body: Body) -> impl Stream<Item = Result<Bytes, Refused>> {
    stream::try_unfold(body.into_data_stream(), |mut body| async {
        match timeout(PIECE_TIMEOUT, body.try_next()).await {
            Ok(Ok(piece)) => Ok(piece.map(|piece| (piece, body))),
            Ok(Err(_)) | Err(_) => Err(Refused::Cut),
        }
    })
}

enum Refused {
    /// The connection ended before the body, or the client sent nothing for too long.
    Cut,
    Storage(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Storage(error)
    }
}
