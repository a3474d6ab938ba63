//! SummarizeBatch: the outcomes of a batch are the sum over its chunks; a chunk without a ledger goes whole into
//! quarantine.

use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    intake::{Chunk, Manifest},
    stored::Status,
};
use crate::{quarantine_records::quarantine_undecided, summarize::Summary};
use kernel::{
    batch::Batch,
    error::Error,
    ledger::{Ledger, Part},
    objects::Objects,
    outcome::Outcome,
    store::Store,
};

/// Maximum number of ledgers that are fetched concurrently.
const MAX_CONCURRENT_READS: usize = 8;

/// A batch whose chunks all completed the records machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SummarizeBatch {
    /// The batch.
    pub batch: Batch,
    /// The key of its [`Manifest`].
    pub manifest: String,
}

/// Sums the chunks, and stores how the batch ended.
pub async fn summarize_batch(
    input: SummarizeBatch,
    store: &impl Store,
    objects: &Objects,
    now: Timestamp,
) -> Result<Summary, Error> {
    let SummarizeBatch { batch, manifest } = input;
    let manifest = Manifest::read(&manifest, objects).await?;
    let chunks = u32::try_from(manifest.chunks.len()).unwrap_or(u32::MAX);
    let whole = futures::stream::iter(manifest.chunks)
        .map(|chunk| ledger_head(&batch, chunk, objects))
        .buffer_unordered(MAX_CONCURRENT_READS)
        .try_fold(Ledger::default(), |whole, ledger| async move { Ok(sum(whole, ledger)) })
        .await?;
    let failed = whole.outcomes.of(Outcome::Failed);
    let status = if failed == 0 { Status::Succeeded } else { Status::Failed };
    let mut summary = Summary::new(batch.batch_id, status, &whole);
    if !summary.quarantine.is_empty() {
        summary.quarantine = vec![format!("quarantine/{}/{}/", batch.tenant, batch.provider)];
    }
    summary.save(&batch, chunks, store, now).await?;
    Ok(summary)
}

/// A chunk's ledger without its rows, except those that a summary shows.
async fn ledger_head(batch: &Batch, chunk: Chunk, objects: &Objects) -> Result<Ledger, Error> {
    let found = Ledger::find(&batch.tenant, batch.batch_id, chunk.chunk, objects).await?;
    let ledger = match found {
        Some(ledger) => ledger,
        None => quarantine_chunk(batch, &chunk, objects).await?,
    };
    Ok(head(ledger))
}

/// The part of a ledger that a summary needs.
pub(super) fn head(Ledger { outcomes, late, mut part }: Ledger) -> Ledger {
    part.rows.clear();
    part.late.clear();
    part.duplicates.truncate(kernel::fault::MAX_LISTED);
    part.conflicts.truncate(kernel::fault::MAX_LISTED);
    Ledger { outcomes, late, part }
}

/// The sum of two ledgers without rows.
pub(super) fn sum(mut whole: Ledger, ledger: Ledger) -> Ledger {
    whole.outcomes.merge(&ledger.outcomes);
    whole.late += ledger.late;
    whole.part.merge(ledger.part);
    whole.part.sort();
    whole
}

async fn quarantine_chunk(batch: &Batch, chunk: &Chunk, objects: &Objects) -> Result<Ledger, Error> {
    let batch = Batch { chunk: Some(chunk.chunk), ..batch.clone() };
    let part =
        quarantine_undecided(&batch, &chunk.records, &Part::default(), "its execution did not end", objects)
            .await?;
    let ledger = Ledger::new(chunk.records.count, part)?;
    ledger.save(&batch, objects).await?;
    Ok(ledger)
}
