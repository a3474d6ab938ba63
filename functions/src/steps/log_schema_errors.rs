//! LogSchemaErrors: one log line a faulty record, without personal data; the record itself goes whole into
//! quarantine (S2-009).

use serde::{Deserialize, Serialize};

use super::Decided;
use crate::{
    batch::Batch,
    error::Error,
    fault::PlacedFault,
    ledger::{Part, StagedPart},
    objects::Objects,
    outcome::Outcome,
    quarantine::{Entry, Writer},
    received::Received,
    records::Records,
};

/// The invalid records of a batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSchemaErrors {
    /// The batch.
    pub batch: Batch,
    /// Lines of [`Received`] with their faults.
    pub records: Records,
}

/// Puts the records into quarantine, then logs each: a line that names a quarantine key is true.
pub async fn log_schema_errors(input: LogSchemaErrors, objects: &Objects) -> Result<Decided, Error> {
    let LogSchemaErrors { batch, records } = input;
    let mut quarantine = Writer::default();
    let mut part = Part::default();
    let mut placed = Vec::new();
    records.open(objects).await?.for_each(|line| {
        let received = Received::parse(line)?;
        let key = quarantine.push(&batch, &Entry::new(&batch, &received))?;
        part.add(Outcome::Invalid, received.index);
        let (index, line) = (received.index, received.line);
        placed.push((
            key,
            received.faults.len(),
            received.faults.first().map(|fault| PlacedFault { index, line, fault: fault.clone() }),
        ));
        Ok(())
    })?;
    part.quarantine = quarantine.finish(&batch, objects).await?;
    for (key, faults, first) in &placed {
        if let Some(first) = first {
            log(&batch, key, *faults, first);
        }
    }
    part.faults = placed.into_iter().filter_map(|(_, _, first)| first).collect();
    part.sort();
    Ok(Decided { part: StagedPart::new(&batch, "log-schema-errors", part, objects).await? })
}

fn log(batch: &Batch, key: &str, faults: usize, first: &PlacedFault) {
    let PlacedFault { index, line, fault } = first;
    tracing::warn!(
        batch.id = %batch.batch_id,
        record.index = index,
        record.line = line,
        pointer = %fault.pointer,
        rule = %fault.rule,
        faults,
        quarantine.key = key,
        "record {index} of batch {} is invalid: {}",
        batch.batch_id,
        fault.sentence(),
    );
}
