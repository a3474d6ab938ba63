//! An import of a file. Its claim lets the next run after an interruption use the same batch, so that no record is
//! stored or counted twice.

use std::{fs::Metadata, path::Path, time::UNIX_EPOCH};

use batches::intake::Format;
use jiff::Timestamp;
use kernel::{
    BatchId, Name, Store, json, order,
    store::{Condition, Item, Query, Table, Written},
};
use serde::{Deserialize, Serialize};
use sqlite_store::SqliteStore;

use crate::exit::Exit;

/// A file at the start of the import: another size or time makes it another file.
#[derive(Clone, Debug)]
pub(crate) struct Import {
    sort: String,
}

/// The prefix of the sort keys of claims.
const CLAIM_PREFIX: &str = "import#";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Claim {
    /// The batch of the file.
    pub(crate) batch_id: BatchId,
    /// When the import began.
    pub(crate) received_at: Timestamp,
    /// The batch's number in the order of batches.
    #[serde(default)]
    pub(crate) order: u64,
}

impl Import {
    pub(crate) fn new(path: &Path, meta: &Metadata, format: Option<Format>) -> Self {
        let changed = meta.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let identity = format!("{}\n{}\n{changed:?}\n{format:?}", path.display(), meta.len());
        Self { sort: format!("{CLAIM_PREFIX}{:032x}", xxhash_rust::xxh3::xxh3_128(identity.as_bytes())) }
    }

    /// The batch of this file: a new one, or the one of an interrupted run.
    pub(crate) async fn claim(
        &self,
        tenant: &Name,
        fresh: BatchId,
        now: Timestamp,
        store: &SqliteStore,
    ) -> Result<Claim, Exit> {
        let order = order::next(store, tenant, now).await?;
        let claim = Claim { batch_id: fresh, received_at: now, order };
        let body = json::encode(&claim)?;
        let body = String::from_utf8_lossy(&body).into_owned();
        let item = Item { partition: tenant.to_string(), sort: self.sort.clone(), version: 1, body };
        match store.put(Table::Claims, item, Condition::Absent).await? {
            Written::Done => Ok(claim),
            Written::Conflict(None) => Err(Exit::failed("the import's claim vanished")),
            Written::Conflict(Some(item)) => Ok(json::decode(item.body.as_bytes())?),
        }
    }

    /// Deletes the claim of a batch that ended by another command: the same file becomes a new batch.
    pub(crate) async fn forget_batch(tenant: &Name, batch: BatchId, store: &SqliteStore) -> Result<(), Exit> {
        let query = Query {
            partition: tenant.to_string(),
            prefix: CLAIM_PREFIX.to_owned(),
            after: None,
            descending: false,
            limit: usize::MAX,
        };
        for item in store.query(Table::Claims, query).await? {
            if json::decode::<Claim>(item.body.as_bytes())?.batch_id == batch {
                store.delete(Table::Claims, tenant.as_str(), &item.sort).await?;
            }
        }
        Ok(())
    }

    /// Deletes the claim of an ended import: the same file becomes a new batch.
    pub(crate) async fn forget(&self, tenant: &Name, store: &SqliteStore) -> Result<(), Exit> {
        Ok(store.delete(Table::Claims, tenant.as_str(), &self.sort).await?)
    }
}
