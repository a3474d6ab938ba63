//! Summarize: every record of a chunk has exactly one outcome, or this fails.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::stored::{BatchStatus, Status};
use kernel::{
    batch::{Batch, BatchId, Kind},
    error::Error,
    fault::{MAX_LISTED, PlacedFault},
    fault_groups::FaultGroups,
    ledger::{Ledger, Part, StagedPart},
    objects::Objects,
    outcome::Counts,
    store::Store,
};

/// The decisions of the steps.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summarize {
    /// The batch.
    pub batch: Batch,
    /// How many records it has.
    pub received: u64,
    /// The decisions of each step.
    pub parts: Vec<StagedPart>,
}

/// The result of a batch or of a chunk: the output of its execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The batch.
    pub batch_id: BatchId,
    /// Whether every record was decided.
    pub status: Status,
    /// How many records there are; the sum of `outcomes`.
    pub received: u64,
    /// How many had each outcome.
    pub outcomes: Counts,
    /// How many invalid records have a consent field that is not understood.
    #[serde(default, skip_serializing_if = "kernel::json::is_default")]
    pub unread_consent: u64,
    /// How many consent statements are older than the current ones.
    #[serde(default, skip_serializing_if = "kernel::json::is_default")]
    pub late: u64,
    /// The first faults.
    pub faults: Vec<PlacedFault>,
    /// All faults, by rule and place.
    #[serde(default, skip_serializing_if = "FaultGroups::is_empty")]
    pub fault_groups: FaultGroups,
    /// The first duplicates: each with the record that won.
    pub duplicates: Vec<Pair>,
    /// The first conflicts of opt-in: each with a later record that disagrees.
    pub conflicts: Vec<Pair>,
    /// The keys of invalid and failed records in quarantine; of a batch that was cut, the common folder of all.
    pub quarantine: Vec<String>,
}

/// Two related records of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// The record.
    pub index: u64,
    /// The other one: the winner, or the one that disagrees.
    pub other: u64,
}

impl Summary {
    /// The summary of a ledger.
    pub fn new(batch_id: BatchId, status: Status, ledger: &Ledger) -> Self {
        let Ledger { outcomes, late, part } = ledger;
        Self {
            batch_id,
            status,
            received: outcomes.total(),
            outcomes: *outcomes,
            unread_consent: part.unread_consent,
            late: *late,
            faults: part.faults.clone(),
            fault_groups: part.fault_groups.clone(),
            duplicates: first(&part.duplicates),
            conflicts: first(&part.conflicts),
            quarantine: part.quarantine.clone(),
        }
    }

    /// Stores how the batch ended, over its stored state.
    pub async fn save(
        &self,
        batch: &Batch,
        chunks: u32,
        store: &impl Store,
        now: Timestamp,
    ) -> Result<(), Error> {
        let found = BatchStatus::find(&batch.tenant, batch.batch_id, store).await?;
        let known = found.unwrap_or_else(|| BatchStatus::running(batch));
        let ended = BatchStatus {
            status: self.status,
            stopped_at: known.stopped_at.or(Some(now)),
            received: Some(self.received),
            outcomes: self.outcomes,
            unread_consent: self.unread_consent,
            late: self.late,
            faults: self.fault_groups.clone(),
            chunks,
            ..known
        };
        ended.save(&batch.tenant, store).await
    }
}

fn first(pairs: &[(u64, u64)]) -> Vec<Pair> {
    pairs.iter().take(MAX_LISTED).map(|&(index, other)| Pair { index, other }).collect()
}

/// Stores the ledger of a chunk, and, if the batch is not cut, how the batch ended.
pub async fn summarize(
    input: Summarize,
    store: &impl Store,
    objects: &Objects,
    now: Timestamp,
) -> Result<Summary, Error> {
    let Summarize { batch, received, parts } = input;
    let ledger = Ledger::new(received, merged(parts, objects).await?)?;
    end(&batch, Status::Succeeded, &ledger, store, objects, now).await
}

/// All parts as one.
pub(super) async fn merged(parts: Vec<StagedPart>, objects: &Objects) -> Result<Part, Error> {
    let mut whole = Part::default();
    for part in parts {
        whole.merge(part.open(objects).await?);
    }
    Ok(whole)
}

/// Stores the result of a chunk or of a whole batch. The ledger is written first: a client that finds the batch ended
/// also finds its rows. Events are stored by themselves, not by the batch in which they happened to run.
pub(super) async fn end(
    batch: &Batch,
    status: Status,
    ledger: &Ledger,
    store: &impl Store,
    objects: &Objects,
    now: Timestamp,
) -> Result<Summary, Error> {
    let summary = Summary::new(batch.batch_id, status, ledger);
    if batch.kind == Kind::Event {
        return Ok(summary);
    }
    ledger.save(batch, objects).await?;
    if batch.chunk.is_none() {
        summary.save(batch, 0, store, now).await?;
    }
    Ok(summary)
}
