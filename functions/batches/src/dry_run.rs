//! A dry run: the counts and faults that a batch would have against the stored contacts, with no effect.
//!
//! It calls the functions of the flow in the order of the machine, on a store that writes nothing. The objects are
//! working files of the caller, who deletes them.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    intake::{Chunk, Manifest, Staged},
    log_schema_errors::count,
    remove_duplicates::{Unique, remove_duplicates},
    stored::Status,
    summarize::{Pair, Summary},
    summarize_batch::{head, sum},
    validate_schema::{Validated, validate_schema},
};
use contacts::{put_opt_ins, withdraw_opt_ins};
use kernel::{
    batch::Batch,
    dry_run::DryRunStore,
    error::Error,
    fault_groups::FaultGroups,
    json,
    ledger::{Ledger, Part},
    objects::{Objects, STAGING},
    outcome::Counts,
    raw_record::RawRecord,
    records::Records,
    start::{Execution, Start},
    step::Step,
    store::Store,
};

/// The result of a dry run, as people and programs get it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    dry_run: bool,
    received: u64,
    outcomes: Counts,
    unread_consent: u64,
    late: u64,
    faults: FaultGroups,
    duplicates: Vec<Pair>,
    conflicts: Vec<Pair>,
}

impl Report {
    /// The report of a summary.
    pub fn new(summary: Summary) -> Self {
        Self {
            dry_run: true,
            received: summary.received,
            outcomes: summary.outcomes,
            unread_consent: summary.unread_consent,
            late: summary.late,
            faults: summary.fault_groups,
            duplicates: summary.duplicates,
            conflicts: summary.conflicts,
        }
    }
}

/// The summary that a staged batch would have.
pub async fn dry_run(
    batch: &Batch,
    staged: Staged,
    store: &impl Store,
    objects: &Objects,
) -> Result<Summary, Error> {
    let store = DryRunStore::new(store.clone());
    let Staged { inline, manifest, .. } = staged;
    let mut whole = Ledger::default();
    if let Some(records) = inline {
        whole = sum(whole, decide(batch, records, &store, objects).await?);
    }
    let manifest = match &manifest {
        Some(key) => Manifest::read(key, objects).await?,
        None => Manifest::default(),
    };
    for Chunk { chunk, records } in manifest.chunks {
        let batch = Batch { chunk: Some(chunk), ..batch.clone() };
        whole = sum(whole, decide(&batch, records, &store, objects).await?);
    }
    Ok(Summary::new(batch.batch_id, Status::Succeeded, &whole))
}

/// The ledger that a chunk would have, without its rows. Its working files are deleted: memory can contain them all.
async fn decide(
    batch: &Batch,
    records: Records,
    store: &impl Store,
    objects: &Objects,
) -> Result<Ledger, Error> {
    let start = Start { input: input(batch, &records)?, execution: execution(batch) };
    let Validated { batch, received, valid, invalid } = validate_schema(start, objects).await?;
    let mut part = Part::default();
    let mut lines = invalid.lines(objects).await?;
    while let Some(line) = lines.next().await? {
        count(&mut part, batch.kind, &RawRecord::parse(line)?);
    }
    let step = |records| Step { batch: batch.clone(), records };
    let Unique { opted_in, opted_out, part: duplicates, .. } =
        remove_duplicates(step(valid), objects).await?;
    let opted_in = put_opt_ins(step(opted_in), store, objects).await?;
    let opted_out = withdraw_opt_ins(step(opted_out), store, objects).await?;
    for decided in [duplicates, opted_in.part, opted_out.part] {
        part.merge(decided.open(objects).await?);
    }
    let (tenant, id) = (&batch.tenant, batch.batch_id);
    objects.delete_all(&format!("{STAGING}{tenant}/{id}/{}/", batch.chunk_label())).await?;
    Ok(head(Ledger::new(received, part)?))
}

fn input(batch: &Batch, records: &Records) -> Result<Box<RawValue>, Error> {
    #[derive(Serialize)]
    struct Input<'a> {
        batch: &'a Batch,
        records: &'a Records,
    }
    to_raw_value(&Input { batch, records }).map_err(|error| Error::BadInput(json::describe(&error)))
}

fn execution(batch: &Batch) -> Execution {
    Execution { name: batch.batch_id.to_string(), started_at: batch.received_at }
}
