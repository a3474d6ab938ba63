//! Cancels a batch for its operator: records that are stored keep their outcome, and the rest are `cancelled`.
//!
//! No step may work on the batch meanwhile. A second run has the same result.

use std::collections::{BTreeMap, HashMap};

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde::Deserialize;

use crate::{
    Summary,
    intake::{Chunk, Manifest},
    stored::Status,
};
use contacts::{
    contact,
    stored::{self, OptIn, Stored},
};
use kernel::{
    batch::Batch,
    error::Error,
    fault::ErrorType,
    json,
    ledger::{Ledger, Part},
    objects::Objects,
    outcome::{Counts, Outcome},
    quarantine,
    raw_record::RawRecord,
    records::Records,
    store::{Store, Table},
};

/// Maximum number of chunks that are processed concurrently.
const MAX_CONCURRENT_CHUNKS: usize = 4;
/// Maximum number of contacts in one read.
const MAX_READ_CONTACTS: usize = 1_000;

/// The input of a batch's execution: its records, or the key of its manifest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    batch: Batch,
    #[serde(default)]
    records: Option<Records>,
    #[serde(default)]
    manifest: Option<String>,
}

/// Cancels the batch whose execution was started with `input`, and stores the result.
pub async fn cancel(
    input: &str,
    store: &impl Store,
    objects: &Objects,
    now: Timestamp,
) -> Result<Counts, Error> {
    let Input { batch, records, manifest } = json::decode(input.as_bytes())?;
    let (chunks, parts) = match (records, manifest) {
        (Some(records), _) => (0, vec![(batch.clone(), records)]),
        (None, Some(manifest)) => {
            let Manifest { chunks, .. } = Manifest::read(&manifest, objects).await?;
            let part =
                |Chunk { chunk, records, .. }| (Batch { chunk: Some(chunk), ..batch.clone() }, records);
            (u32::try_from(chunks.len()).unwrap_or(u32::MAX), chunks.into_iter().map(part).collect())
        }
        (None, None) => return Err(Error::BadInput("the batch has neither records nor chunks".into())),
    };
    let outcomes = stream::iter(parts)
        .map(async |(batch, records)| outcomes_of(&batch, &records, store, objects).await)
        .buffer_unordered(MAX_CONCURRENT_CHUNKS)
        .try_fold(Counts::default(), |mut all, some| async move {
            all.merge(&some);
            Ok(all)
        })
        .await?;
    let whole = Ledger { outcomes, late: 0, part: Part::default() };
    Summary::new(batch.batch_id, Status::Cancelled, &whole).save(&batch, chunks, store, now).await?;
    tracing::warn!(
        batch.id = %batch.batch_id,
        records = outcomes.of(Outcome::Cancelled),
        "batch {} was cancelled with {} records undecided",
        batch.batch_id,
        outcomes.of(Outcome::Cancelled)
    );
    Ok(outcomes)
}

/// The outcomes of the records of a chunk, or of a batch that is not cut.
async fn outcomes_of(
    batch: &Batch,
    records: &Records,
    store: &impl Store,
    objects: &Objects,
) -> Result<Counts, Error> {
    let found = Ledger::find(&batch.tenant, batch.batch_id, batch.chunk.unwrap_or(0), objects).await?;
    if let Some(ended) = found {
        return Ok(ended.outcomes);
    }
    let (mut indices, mut keyed) = (Vec::new(), Vec::new());
    let mut lines = records.lines(objects).await?;
    while let Some(line) = lines.next().await? {
        let received = RawRecord::parse(line)?;
        indices.push(received.index);
        let record = received.record.filter(|_| received.faults.is_empty());
        if let Some((_, key)) = record.and_then(|record| contact::check(record.get()).ok()) {
            keyed.push((received.index, key.as_str().to_owned()));
        }
    }
    let mut decided = stored(batch, &keyed, store).await?;
    let mut part = Part::default();
    for (key, error_type, entries) in quarantine::of_chunk(batch, objects).await? {
        let outcome = if error_type == ErrorType::Processing { Outcome::Failed } else { Outcome::Invalid };
        decided.extend(entries.into_iter().map(|index| (index, outcome)));
        part.quarantine.push(key);
    }
    for index in indices {
        part.add(decided.get(&index).copied().unwrap_or(Outcome::Cancelled), index);
    }
    let ledger = Ledger::new(records.count, part)?;
    ledger.save(batch, objects).await?;
    Ok(ledger.outcomes)
}

/// The outcomes of those records that are in the store: as the current statement of their contact, or as an earlier
/// one.
async fn stored(
    batch: &Batch,
    keyed: &[(u64, String)],
    store: &impl Store,
) -> Result<BTreeMap<u64, Outcome>, Error> {
    let mut outcomes = BTreeMap::new();
    for block in keyed.chunks(MAX_READ_CONTACTS) {
        let keys = block.iter().map(|(_, key)| (stored::partition(&batch.tenant, key), key.clone()));
        let found = store.get_all(Table::OptIns, keys.collect()).await?;
        // Of several records for one address, one may be stored.
        let mut past = HashMap::<&str, Vec<Stored>>::new();
        for ((index, key), item) in block.iter().zip(found) {
            let Some(item) = item else { continue };
            let current = Stored::read(&item)?.statement;
            let is_mine = |statement: &OptIn| statement.is_of(batch, *index);
            if is_mine(&current) {
                outcomes.insert(*index, current.outcome);
            } else if current.is_later_than(batch) {
                if !past.contains_key(key.as_str()) {
                    past.insert(key, stored::past(store, &batch.tenant, key).await?);
                }
                let mine = past[key.as_str()].iter().find(|stored| is_mine(&stored.statement));
                outcomes.extend(mine.map(|stored| (*index, stored.statement.outcome)));
            }
        }
    }
    Ok(outcomes)
}
