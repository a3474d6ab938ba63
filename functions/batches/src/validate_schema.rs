//! ValidateSchema: checks every record by itself, so a bad one never stops a good one (S2-008, S2-011).

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::stored::records_key;
use contacts::{contact, contact_line::ContactLine};
use events::event::{self, EventLine};
use kernel::start::Start;
use kernel::{
    batch::{Batch, Kind},
    error::Error,
    fault::{Fault, rule},
    json,
    objects::{self, Objects},
    raw_record::RawRecord,
    records::{Records, RecordsWriter},
};

/// The records, sorted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Validated {
    /// The batch, as all later steps know it.
    pub batch: Batch,
    /// How many records there are.
    pub received: u64,
    /// The valid ones: lines of [`ContactLine`], or of [`EventLine`].
    pub valid: Records,
    /// The invalid ones: lines of [`RawRecord`] with their faults.
    pub invalid: Records,
}

/// Sorts the records of a batch into valid and invalid ones.
pub async fn validate_schema(start: Start, objects: &Objects) -> Result<Validated, Error> {
    let (batch, records) = start.read()?;
    keep(&batch, &records, objects).await?;
    let mut valid = RecordsWriter::new(&batch, "valid", objects);
    let mut invalid = RecordsWriter::new(&batch, "invalid", objects);
    let mut line = Vec::new();
    let mut lines = records.lines(objects).await?;
    while let Some(bytes) = lines.next().await? {
        line.clear();
        let mut received = RawRecord::parse(bytes)?;
        let checked = match received.record {
            Some(record) if received.faults.is_empty() => match batch.kind {
                Kind::Contact => check_contact(&received, record, &mut line)?,
                Kind::Event => check_event(&received, record, &mut line)?,
            },
            record => Err(with_others(std::mem::take(&mut received.faults), record)),
        };
        match checked {
            Ok(()) => valid.push(&line).await?,
            Err(faults) => {
                received.faults = faults;
                received.write(&mut line)?;
                invalid.push(&line).await?;
            }
        }
    }
    let received = valid.count() + invalid.count();
    let (valid, invalid) = (valid.finish().await?, invalid.finish().await?);
    Ok(Validated { batch, received, valid, invalid })
}

/// Stores the records of a batch that is not cut, so that its operator can ask for each of them later. The chunks of
/// others are stored already, and events by themselves.
async fn keep(batch: &Batch, records: &Records, objects: &Objects) -> Result<(), Error> {
    if batch.chunk.is_some() || batch.kind == Kind::Event {
        return Ok(());
    }
    let mut text = Vec::new();
    let mut lines = records.lines(objects).await?;
    while let Some(line) = lines.next().await? {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    objects.put(&records_key(&batch.tenant, batch.batch_id), objects::gzip(&text)).await
}

/// The faults of a record, or none: then its line was written.
type Checked = Result<(), Vec<Fault>>;

fn check_contact(received: &RawRecord<'_>, record: &RawValue, line: &mut Vec<u8>) -> Result<Checked, Error> {
    match contact::check(record.get()) {
        Ok((contact, key)) => ContactLine::write(received.index, &key, &contact, line).map(Ok),
        Err(faults) => Ok(Err(faults)),
    }
}

/// The faults from the intake. A consent text that is not understood is reported together with all other faults of the
/// record.
fn with_others(mut faults: Vec<Fault>, record: Option<&RawValue>) -> Vec<Fault> {
    if let (Some(record), [fault]) = (record, &*faults)
        && fault.rule == rule::CONSENT
    {
        let others = contact::check(record.get()).err().into_iter().flatten();
        faults.extend(others.filter(|fault| fault.pointer != "/optIn"));
    }
    faults
}

fn check_event(received: &RawRecord<'_>, record: &RawValue, line: &mut Vec<u8>) -> Result<Checked, Error> {
    let provenance = received.provenance()?;
    let event = match event::check(record.get(), provenance) {
        Ok(event) => to_raw_value(&event).map_err(|error| Error::BadInput(json::describe(&error)))?,
        Err(faults) => return Ok(Err(faults)),
    };
    let accepted = EventLine {
        index: received.index,
        provenance: provenance.clone(),
        hash: event::content_hash(record.get()),
        retry: received.retry,
        event: &event,
        payload: record,
    };
    accepted.write(line).map(Ok)
}
