//! ValidateSchema: every record is checked by itself, so a bad one never stops a good one (S2-008, S2-011).

use serde::{Deserialize, Serialize};

use super::start::Start;
use crate::{
    accepted::Accepted,
    batch::Batch,
    contact,
    error::Error,
    objects::Objects,
    received::Received,
    records::{Records, RecordsWriter},
};

/// The records, sorted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Validated {
    /// The batch, as all further steps know it.
    pub batch: Batch,
    /// How many records there are.
    pub received: u64,
    /// Those that match: lines of [`Accepted`].
    pub valid: Records,
    /// Those that do not: lines of [`Received`] with their faults.
    pub invalid: Records,
}

/// Sorts the records of a batch into valid and invalid ones.
pub async fn validate_schema(start: Start, objects: &Objects) -> Result<Validated, Error> {
    let (batch, records) = start.read()?;
    let mut valid = RecordsWriter::new(&batch, "valid");
    let mut invalid = RecordsWriter::new(&batch, "invalid");
    let mut line = Vec::new();
    records.open(objects).await?.for_each(|bytes| {
        line.clear();
        let mut received = Received::parse(bytes)?;
        let checked = match received.record {
            Some(record) if received.faults.is_empty() => contact::check(record.get()),
            _ => Err(std::mem::take(&mut received.faults)),
        };
        match checked {
            Ok((contact, key)) => {
                Accepted::write(received.index, &key, &contact, &mut line)?;
                valid.push(&line);
            }
            Err(faults) => {
                received.faults = faults;
                received.write(&mut line)?;
                invalid.push(&line);
            }
        }
        Ok(())
    })?;
    let received = valid.count() + invalid.count();
    let (valid, invalid) = (valid.finish(objects).await?, invalid.finish(objects).await?);
    Ok(Validated { batch, received, valid, invalid })
}
