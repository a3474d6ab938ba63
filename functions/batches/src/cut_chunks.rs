//! CutChunks: cuts an upload of any size into chunks, each small enough for one call.

use std::path::Path;

use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use crate::{
    intake::{Intake, Settings, Staged, spool},
    stored::{BatchStatus, Status},
};
use kernel::start::Execution;
use kernel::{
    batch::{Batch, BatchId, Kind, Name},
    error::Error,
    objects::Objects,
    order,
    store::Store,
};

/// An upload that has arrived.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutChunks {
    /// The key of the uploaded object, as [`upload_key`] makes it: JSON, NDJSON or CSV, gzip or not.
    pub upload: String,
    /// The execution.
    pub execution: Execution,
}

/// The result of cutting an upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The batch of the upload.
    pub batch: Batch,
    /// The key of the [`crate::intake::Manifest`].
    pub manifest: String,
    /// How many records there are.
    pub received: u64,
}

/// The key of a batch's upload: `uploads/{tenant}/{batch}`.
pub fn upload_key(tenant: &Name, id: BatchId) -> String {
    format!("uploads/{tenant}/{id}")
}

/// Cuts an upload as it streams in. An upload that cannot be read ends its batch, with the reason.
///
/// Chunks grow in a folder of the batch's own under `spool`.
pub async fn cut_chunks(
    input: CutChunks,
    store: &impl Store,
    objects: &Objects,
    spool: &Path,
) -> Result<Cut, Error> {
    let CutChunks { upload, execution } = input;
    let mut batch = batch_of(&upload, &execution)?;
    let known = BatchStatus::find(&batch.tenant, batch.batch_id, store).await?;
    if let Some(known) = &known {
        batch.rules = known.rules;
    }
    if let Some(known) = &known
        && known.order > 0
    {
        batch.order = known.order;
    }
    let mut status = known.unwrap_or_else(|| BatchStatus::running(&batch));
    let staged = cut(&batch, &upload, objects, spool).await;
    match &staged {
        Ok(staged) => status.received = Some(staged.received),
        Err(error) if error.is_transient() => {}
        Err(error) => {
            status.status = Status::Failed;
            status.error = Some(error.to_string());
        }
    }
    status.save(&batch.tenant, store).await?;
    let Staged { received, manifest, .. } = staged?;
    let manifest = manifest.ok_or_else(|| Error::BadInput("the upload was not cut".into()))?;
    Ok(Cut { batch, manifest, received })
}

async fn cut(batch: &Batch, upload: &str, objects: &Objects, spool: &Path) -> Result<Staged, Error> {
    let spool = Some(spool::empty(spool.join(batch.batch_id.to_string()))?);
    let size = objects.size(upload).await?;
    let settings = Settings { size: Some(size), spool, ..Settings::default() };
    let mut intake = Intake::new(batch.clone(), settings);
    let mut pieces = std::pin::pin!(objects.stream(upload).await?);
    while let Some(piece) = pieces.try_next().await? {
        intake.push(&piece)?;
    }
    intake.finish(objects).await
}

fn batch_of(upload: &str, execution: &Execution) -> Result<Batch, Error> {
    let mut names = upload.split('/').skip(1);
    let (Some(tenant), Some(id)) = (names.next(), names.next()) else {
        return Err(Error::BadInput("an upload lies at uploads/{tenant}/{batch}".into()));
    };
    Ok(Batch {
        batch_id: id.parse()?,
        tenant: tenant.parse()?,
        provider: "upload".parse()?,
        kind: Kind::Contact,
        received_at: execution.started_at,
        order: order::at(execution.started_at),
        replay: 0,
        chunk: None,
        rules: kernel::Rules::default(),
    })
}
