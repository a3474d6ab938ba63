//! The stored state of a batch: its status and its counts.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use kernel::{
    batch::{Batch, BatchId, Name, Rules},
    error::Error,
    fault_groups::FaultGroups,
    json,
    outcome::Counts,
    store::{Condition, Item, Query, Store, Table, Written},
};

/// The status of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Its execution has not ended.
    Running,
    /// Every record has its outcome, and none of them is `failed`.
    Succeeded,
    /// A step failed permanently; the records that it did not decide are in quarantine.
    Failed,
    /// The command that imported it was interrupted; it waits until its operator decides whether it continues.
    Interrupted,
    /// Its operator cancelled it; records that had no outcome by then are `cancelled`.
    Cancelled,
}

impl Status {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Interrupted => "INTERRUPTED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// Whether every record has its outcome.
    pub fn has_ended(self) -> bool {
        match self {
            Self::Running | Self::Interrupted => false,
            Self::Succeeded | Self::Failed | Self::Cancelled => true,
        }
    }
}

/// A batch as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchStatus {
    /// Its id.
    pub batch_id: BatchId,
    /// Its source.
    pub provider: Name,
    /// Its status.
    pub status: Status,
    /// When it arrived.
    pub received_at: Timestamp,
    /// Its number in the order of batches; zero for an upload that has not arrived, and for a batch that was made
    /// before numbers existed.
    #[serde(default, skip_serializing_if = "kernel::json::is_default")]
    pub order: u64,
    /// When its execution ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<Timestamp>,
    /// How many records it has; `None` while a large one is still being cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<u64>,
    /// The outcomes of its records, so far as it has ended.
    pub outcomes: Counts,
    /// How many of the invalid ones have a consent field that is not understood.
    #[serde(default, skip_serializing_if = "kernel::json::is_default")]
    pub unread_consent: u64,
    /// How many consent statements are older than the current ones, and are in the history alone.
    #[serde(default, skip_serializing_if = "kernel::json::is_default")]
    pub late: u64,
    /// The faults of its records, by rule and place.
    #[serde(default, skip_serializing_if = "FaultGroups::is_empty")]
    pub faults: FaultGroups,
    /// How many chunks it was cut into; zero if it was not cut.
    #[serde(default)]
    pub chunks: u32,
    /// Its execution; `None` if the request waited for its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_arn: Option<String>,
    /// Why it failed before any record was read, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether a person watches it at a terminal. If that command is interrupted, the batch waits for the person's
    /// decision. All other batches were promised to a client, and continue by themselves.
    #[serde(default, skip_serializing_if = "kernel::json::is_default")]
    pub attended: bool,
    /// The permitted changes of known contacts.
    #[serde(default, skip_serializing_if = "kernel::json::is_default")]
    pub rules: Rules,
}

impl BatchStatus {
    /// A batch that has just arrived.
    pub fn running(batch: &Batch) -> Self {
        Self {
            batch_id: batch.batch_id,
            provider: batch.provider.clone(),
            status: Status::Running,
            received_at: batch.received_at,
            order: batch.order,
            stopped_at: None,
            received: None,
            outcomes: Counts::default(),
            unread_consent: 0,
            late: 0,
            faults: FaultGroups::default(),
            chunks: 0,
            execution_arn: None,
            error: None,
            attended: false,
            rules: batch.rules,
        }
    }

    /// Stores it, over the stored one.
    pub async fn save(&self, tenant: &Name, store: &impl Store) -> Result<(), Error> {
        store.put(Table::Batches, self.item(tenant)?, Condition::None).await?;
        Ok(())
    }

    /// Stores it if nothing is stored of it yet; otherwise returns the stored one.
    pub async fn create(&self, tenant: &Name, store: &impl Store) -> Result<Option<Self>, Error> {
        let written = store.put(Table::Batches, self.item(tenant)?, Condition::Absent).await?;
        match written {
            Written::Done | Written::Conflict(None) => Ok(None),
            Written::Conflict(Some(item)) => json::decode(item.body.as_bytes()).map(Some),
        }
    }

    fn item(&self, tenant: &Name) -> Result<Item, Error> {
        let body = serde_json::to_string(self).map_err(|error| Error::BadInput(json::describe(&error)))?;
        Ok(Item { partition: tenant.to_string(), sort: self.batch_id.to_string(), version: 1, body })
    }

    /// The batch, if it is known.
    pub async fn find(tenant: &Name, id: BatchId, store: &impl Store) -> Result<Option<Self>, Error> {
        let found = store.get(Table::Batches, tenant.as_str(), &id.to_string()).await?;
        found.map(|item| json::decode(item.body.as_bytes())).transpose()
    }

    /// The latest batches of a tenant, newest first, after the id `before`.
    pub async fn list(
        tenant: &Name,
        before: Option<BatchId>,
        limit: usize,
        store: &impl Store,
    ) -> Result<Vec<Self>, Error> {
        let query = Query {
            partition: tenant.to_string(),
            prefix: String::new(),
            after: before.map(|id| id.to_string()),
            descending: true,
            limit,
        };
        let items = store.query(Table::Batches, query).await?;
        items.iter().map(|item| json::decode(item.body.as_bytes())).collect()
    }
}

/// The key of the object that names the chunk of each record of a batch that was cut: 4 bytes a record, little-endian.
pub fn chunk_index_key(tenant: &Name, id: BatchId) -> String {
    format!("batches/{tenant}/{id}/chunk-of-record.u32")
}

/// The key of the object with the records of a batch that was not cut; the chunks of others have objects of their own.
pub fn records_key(tenant: &Name, id: BatchId) -> String {
    format!("batches/{tenant}/{id}/records.ndjson.gz")
}
