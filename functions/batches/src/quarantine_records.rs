//! QuarantineRecords: after a permanent failure of a step, the undecided records stay whole, and can be replayed
//! unchanged (design, contract 6).

use std::collections::HashSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::stored::Status;
use crate::summarize::{Summary, end, merged};
use kernel::start::{Execution, Start};
use kernel::{
    batch::Batch,
    error::Error,
    fault::{Fault, rule},
    ledger::{Ledger, Part, StagedPart},
    objects::Objects,
    outcome::Outcome,
    quarantine::{Entry, Writer},
    raw_record::RawRecord,
    records::Records,
    store::Store,
};

/// A failed execution: its input, the decisions before the failure, and the failure.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuarantineRecords {
    /// The execution's input.
    pub input: Box<serde_json::value::RawValue>,
    /// The execution.
    pub execution: Execution,
    /// The decisions of the steps before the failure.
    pub parts: Vec<StagedPart>,
    /// The failure.
    pub error: FailedStep,
}

/// A failed step, as Step Functions describes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct FailedStep {
    /// The error's name.
    pub error: String,
    /// Its text; not logged, since crmflow does not control its content.
    #[serde(default)]
    pub cause: Option<String>,
}

/// Puts every record without an outcome into quarantine.
pub async fn quarantine_records(
    input: QuarantineRecords,
    store: &impl Store,
    objects: &Objects,
    now: Timestamp,
) -> Result<Summary, Error> {
    let QuarantineRecords { input, execution, parts, error } = input;
    let (batch, records) = Start { input, execution }.read()?;
    let mut decided = merged(parts, objects).await?;
    decided.merge(quarantine_undecided(&batch, &records, &decided, &error.error, objects).await?);
    let ledger = Ledger::new(decided.counts().total(), decided)?;
    let failed = ledger.outcomes.of(Outcome::Failed);
    tracing::error!(
        batch.id = %batch.batch_id,
        batch.chunk = batch.chunk,
        error.name = error.error,
        records = failed,
        "a step of batch {} failed for good; {failed} records are in quarantine",
        batch.batch_id,
    );
    end(&batch, Status::Failed, &ledger, store, objects, now).await
}

/// Puts the records that `decided` does not decide into quarantine.
pub(super) async fn quarantine_undecided(
    batch: &Batch,
    records: &Records,
    decided: &Part,
    error: &str,
    objects: &Objects,
) -> Result<Part, Error> {
    let decided_rows: HashSet<u64> = decided.rows.values().flatten().copied().collect();
    let fault = Fault::new("", rule::PROCESSING, format!("a step failed for good: {error}"));
    let (mut quarantine, mut part) = (Writer::default(), Part::default());
    let mut lines = records.lines(objects).await?;
    while let Some(line) = lines.next().await? {
        let mut received = RawRecord::parse(line)?;
        if !decided_rows.contains(&received.index) {
            part.add(Outcome::Failed, received.index);
            received.faults = vec![fault.clone()];
            quarantine.push(batch, &Entry::new(batch, &received))?;
        }
    }
    part.quarantine = quarantine.finish(batch, objects).await?;
    Ok(part)
}
