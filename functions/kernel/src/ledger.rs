//! The ledger: the outcome of each record of a batch, as one compact object per chunk.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    batch::{Batch, BatchId, Name},
    error::Error,
    fault::{MAX_LISTED, PlacedFault},
    fault_groups::FaultGroups,
    json,
    objects::{self, Objects},
    outcome::{Counts, Outcome},
};

/// Maximum size of a part in the state's data, in bytes of JSON; five parts and a list fit in 256 KiB.
const MAX_INLINE_BYTES: usize = 16 * 1024;

/// The decisions of one step, or of all of them: record indices by outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Part {
    /// The indices that have each outcome, ascending once [`Part::sort`] ran.
    pub rows: BTreeMap<Outcome, Vec<u64>>,
    /// Duplicates: (the duplicate, the record that won).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub duplicates: Vec<(u64, u64)>,
    /// Conflicts of opt-in: (the record that won, a later one that disagrees).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<(u64, u64)>,
    /// The first faults, by place in the input; at most [`MAX_LISTED`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<PlacedFault>,
    /// All faults, by rule and place.
    #[serde(skip_serializing_if = "FaultGroups::is_empty")]
    pub fault_groups: FaultGroups,
    /// The keys of the quarantine objects with records of this part.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quarantine: Vec<String>,
    /// How many invalid records have a consent field that is not understood.
    #[serde(skip_serializing_if = "crate::json::is_default")]
    pub unread_consent: u64,
    /// Records with a consent statement that is older than the current one. Such a statement is only in the history.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub late: Vec<u64>,
}

impl Part {
    /// Adds a record with `outcome`.
    pub fn add(&mut self, outcome: Outcome, index: u64) {
        self.rows.entry(outcome).or_default().push(index);
    }

    /// Adds a record with a consent statement that is older than the current one.
    pub fn add_late(&mut self, index: u64) {
        self.add(Outcome::Unchanged, index);
        self.late.push(index);
    }

    /// Adds everything of another part.
    pub fn merge(&mut self, other: Self) {
        for (outcome, rows) in other.rows {
            self.rows.entry(outcome).or_default().extend(rows);
        }
        self.duplicates.extend(other.duplicates);
        self.conflicts.extend(other.conflicts);
        self.faults.extend(other.faults);
        self.fault_groups.merge(other.fault_groups);
        self.quarantine.extend(other.quarantine);
        self.unread_consent += other.unread_consent;
        self.late.extend(other.late);
    }

    /// Sorts everything by index, so that a row is found by bisection.
    pub fn sort(&mut self) {
        self.rows.values_mut().for_each(|rows| rows.sort_unstable());
        self.duplicates.sort_unstable();
        self.conflicts.sort_unstable();
        self.faults.sort_by_key(|placed| placed.index);
        self.faults.truncate(MAX_LISTED);
        self.quarantine.sort_unstable();
        self.quarantine.dedup();
        self.late.sort_unstable();
    }

    /// How many records have each outcome.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for (outcome, rows) in &self.rows {
            counts.add(*outcome, rows.len() as u64);
        }
        counts
    }

    /// The outcome of a record; the part must be sorted.
    pub fn outcome(&self, index: u64) -> Option<Outcome> {
        self.rows.iter().find(|(_, rows)| rows.binary_search(&index).is_ok()).map(|(outcome, _)| *outcome)
    }
}

/// A part on its way to the summary: in the state's data, or in an object of the staging folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StagedPart {
    /// The part itself.
    Part(Part),
    /// The key of its object, gzip JSON.
    Key(String),
}

impl StagedPart {
    /// Stages the part of the step `step`.
    pub async fn new(batch: &Batch, step: &str, part: Part, objects: &Objects) -> Result<Self, Error> {
        let json = json::encode(&part)?;
        if json.len() <= MAX_INLINE_BYTES {
            return Ok(Self::Part(part));
        }
        let (tenant, id, chunk) = (&batch.tenant, batch.batch_id, batch.chunk_label());
        let key = format!("{}{tenant}/{id}/{chunk}/{step}.part.json.gz", objects::STAGING);
        objects.put(&key, objects::gzip(&json)).await?;
        Ok(Self::Key(key))
    }

    /// Loads the part.
    pub async fn open(self, objects: &Objects) -> Result<Part, Error> {
        match self {
            Self::Part(part) => Ok(part),
            Self::Key(key) => json::decode(&objects::gunzip(&key, &objects.get(&key).await?)?),
        }
    }
}

/// The whole ledger of a chunk, as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The counts; they add up to the records of the chunk.
    pub outcomes: Counts,
    /// How many consent statements are older than the current one of their contact.
    #[serde(default, skip_serializing_if = "crate::json::is_default")]
    pub late: u64,
    /// The outcome of every record.
    pub part: Part,
}

impl Ledger {
    /// The ledger of a chunk with `received` records, if the parts decide each exactly once.
    pub fn new(received: u64, mut part: Part) -> Result<Self, Error> {
        part.sort();
        let outcomes = part.counts();
        let decided = outcomes.total();
        let mut all: Vec<u64> = part.rows.values().flatten().copied().collect();
        all.sort_unstable();
        all.dedup();
        if decided != received || all.len() as u64 != decided {
            return Err(Error::OutcomesDoNotAddUp { received, decided: all.len() as u64 });
        }
        Ok(Self { outcomes, late: part.late.len() as u64, part })
    }

    /// Stores it under the key that [`Ledger::find`] reads.
    pub async fn save(&self, batch: &Batch, objects: &Objects) -> Result<(), Error> {
        let key = key(&batch.tenant, batch.batch_id, batch.chunk.unwrap_or(0));
        objects.put(&key, objects::gzip(&json::encode(self)?)).await
    }

    /// The ledger of a chunk, if the chunk is done.
    pub async fn find(
        tenant: &Name,
        batch: BatchId,
        chunk: u32,
        objects: &Objects,
    ) -> Result<Option<Self>, Error> {
        let key = key(tenant, batch, chunk);
        let Some(packed) = objects.find(&key).await? else {
            return Ok(None);
        };
        json::decode(&objects::gunzip(&key, &packed)?).map(Some)
    }
}

fn key(tenant: &Name, batch: BatchId, chunk: u32) -> String {
    format!("batches/{tenant}/{batch}/outcomes/{chunk:05}.json.gz")
}
