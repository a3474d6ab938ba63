//! LogSchemaErrors: writes one log line for each invalid record, without personal data; the record itself goes whole
//! into quarantine (S2-009).

use serde::{Deserialize, Serialize};

use contacts::consent;
use events::{
    dedup,
    event::{MAX_MESSAGE_ID_CHARS, StoredEvent},
};
use kernel::step::Decided;
use kernel::{
    batch::{Batch, BatchId, Kind},
    error::Error,
    fault::{Fault, PlacedFault},
    fault_groups::Example,
    ledger::{Part, StagedPart},
    objects::Objects,
    outcome::Outcome,
    quarantine::{Entry, EventWriter, Writer},
    raw_record::RawRecord,
    records::Records,
    store::Store,
};

/// The invalid records of a batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSchemaErrors {
    /// The batch.
    pub batch: Batch,
    /// Lines of [`RawRecord`] with their faults.
    pub records: Records,
}

/// Puts the records into quarantine, then logs each: the quarantine key in a log line is always valid. It also stores
/// the facts of invalid events, for clients that ask for them by their ids.
pub async fn log_schema_errors(
    input: LogSchemaErrors,
    store: &impl Store,
    objects: &Objects,
) -> Result<Decided, Error> {
    let LogSchemaErrors { batch, records } = input;
    let mut quarantine = Quarantine::default();
    let mut part = Part::default();
    let mut lines = records.lines(objects).await?;
    while let Some(line) = lines.next().await? {
        let received = RawRecord::parse(line)?;
        count(&mut part, batch.kind, &received);
        quarantine.push(&batch, &received)?;
    }
    let Quarantine { contacts, events, facts, refused } = quarantine;
    part.quarantine = contacts.finish(&batch, objects).await?;
    part.quarantine.extend(events.finish(objects).await?);
    dedup::put_invalid(store, &batch.tenant, &facts).await?;
    refused.iter().for_each(log);
    part.sort();
    Ok(Decided { part: StagedPart::new(&batch, "log-schema-errors", part, objects).await? })
}

/// Adds an invalid record and its faults.
pub(super) fn count(part: &mut Part, kind: Kind, received: &RawRecord<'_>) {
    let (index, line) = (received.index, received.line);
    part.add(Outcome::Invalid, index);
    part.unread_consent += u64::from(kind == Kind::Contact && consent::is_unread(received));
    part.faults.extend(received.faults.first().map(|fault| PlacedFault {
        index,
        line,
        fault: fault.clone(),
    }));
    part.fault_groups.add(Example { index, line }, &received.faults);
}

/// Records that are to be put into quarantine.
#[derive(Default)]
struct Quarantine {
    contacts: Writer,
    events: EventWriter,
    /// The facts of the events, to be stored.
    facts: Vec<StoredEvent>,
    refused: Vec<Refused>,
}

/// A record that is to be logged.
struct Refused {
    batch: BatchId,
    index: u64,
    line: u64,
    key: String,
    faults: usize,
    first: Fault,
}

impl Quarantine {
    fn push(&mut self, batch: &Batch, received: &RawRecord<'_>) -> Result<(), Error> {
        let entry = Entry::new(batch, received);
        let key = match batch.kind {
            Kind::Contact => self.contacts.push(batch, &entry)?,
            Kind::Event => {
                let provenance = received.provenance()?;
                // An invalid id is no valid key, either.
                if provenance.message_id.chars().count() <= MAX_MESSAGE_ID_CHARS {
                    self.facts.push(StoredEvent::invalid(provenance, &received.faults));
                }
                self.events.push(&batch.tenant, provenance, &entry)?
            }
        };
        let Entry { batch_id, index, line, faults, .. } = entry;
        let count = faults.len();
        self.refused.extend(faults.into_iter().next().map(|first| Refused {
            batch: batch_id,
            index,
            line,
            key,
            faults: count,
            first,
        }));
        Ok(())
    }
}

fn log(refused: &Refused) {
    let Refused { batch, index, line, key, faults, first } = refused;
    tracing::warn!(
        batch.id = %batch,
        record.index = index,
        record.line = line,
        pointer = %first.pointer,
        rule = %first.rule,
        faults,
        quarantine.key = key,
        "record {index} of batch {batch} is invalid: {}",
        first.sentence(),
    );
}
