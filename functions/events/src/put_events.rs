//! PutEvents: stores an event once under its id. The same event again is a duplicate; another one with its id is a
//! conflict, and goes into quarantine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    dedup::{self, PutOutcome},
    event::{EventLine, StoredEvent},
};
use kernel::step::Step;
use kernel::{
    batch::Batch,
    error::Error,
    fault::{Fault, PlacedFault, rule},
    ledger::{Part, StagedPart},
    objects::Objects,
    outcome::Outcome,
    provenance::Provenance,
    quarantine::{Entry, EventWriter},
    raw_record::RawRecord,
    records::{Records, RecordsWriter},
    store::Store,
};

/// The events that are stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stored {
    /// The events to route: lines of [`EventLine`].
    pub fresh: Records,
    /// The duplicates and the conflicts.
    pub part: StagedPart,
}

/// Stores events whose ids are free. An event that an earlier attempt stored is fresh again.
pub async fn put_events(step: Step, store: &impl Store, objects: &Objects) -> Result<Stored, Error> {
    let Step { batch, records } = step;
    let mut events = Vec::new();
    let mut lines = records.lines(objects).await?;
    while let Some(line) = lines.next().await? {
        events.push(StoredEvent::valid(&EventLine::parse(line)?)?);
    }
    let verdicts = dedup::put_valid(store, &batch.tenant, &events).await?;
    drop(events);
    let mut part = Part::default();
    if verdicts.iter().all(|verdict| *verdict == PutOutcome::Stored) {
        return Ok(Stored { fresh: records, part: StagedPart::Part(part) });
    }
    let mut fresh = RecordsWriter::new(&batch, "fresh", objects);
    let mut conflicts = Conflicts::default();
    let mut verdicts = verdicts.into_iter();
    let mut lines = records.lines(objects).await?;
    while let Some(line) = lines.next().await? {
        match verdicts.next() {
            Some(PutOutcome::Stored) => fresh.push(line).await?,
            Some(PutOutcome::Duplicate) => part.add(Outcome::Duplicate, EventLine::parse(line)?.index),
            Some(PutOutcome::Conflict) | None => {
                let event = EventLine::parse(line)?;
                part.add(Outcome::Conflict, event.index);
                part.faults.push(PlacedFault { index: event.index, line: 0, fault: fault() });
                conflicts.push(&batch, event)?;
            }
        }
    }
    part.quarantine = conflicts.writer.finish(objects).await?;
    dedup::note_conflicts(store, &batch.tenant, &conflicts.by_id).await?;
    conflicts.placed.iter().for_each(|(provenance, key)| log(provenance, key));
    part.sort();
    let part = StagedPart::new(&batch, "put-events", part, objects).await?;
    Ok(Stored { fresh: fresh.finish().await?, part })
}

/// Events whose ids belong to others.
#[derive(Default)]
struct Conflicts {
    writer: EventWriter,
    /// Their sequences, by id.
    by_id: BTreeMap<String, Vec<String>>,
    /// Their provenance, and the keys of their quarantine objects.
    placed: Vec<(Provenance, String)>,
}

impl Conflicts {
    fn push(&mut self, batch: &Batch, event: EventLine<'_>) -> Result<(), Error> {
        let EventLine { index, provenance, retry, payload, .. } = event;
        let received = RawRecord {
            retry,
            faults: vec![fault()],
            provenance: Some(provenance.clone()),
            ..RawRecord::json(index, 0, payload)
        };
        let key = self.writer.push(&batch.tenant, &provenance, &Entry::new(batch, &received))?;
        self.by_id.entry(provenance.message_id.clone()).or_default().push(provenance.sequence());
        self.placed.push((provenance, key));
        Ok(())
    }
}

fn fault() -> Fault {
    Fault::new("/messageId", rule::CONFLICT, "stands for another event, which came before")
}

fn log(provenance: &Provenance, key: &str) {
    let Provenance { id, index, .. } = provenance;
    tracing::warn!(
        batch.id = %id,
        record.index = index,
        rule = rule::CONFLICT,
        quarantine.key = key,
        "the id of event {index} of request {id} stands for another event, which came before",
    );
}
