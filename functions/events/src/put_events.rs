//! PutEvents: stores an event once under its id. The same event again is a duplicate; another one with its id is a
//! conflict, and goes into quarantine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    event::{AcceptedEvent, StoredEvent},
    known::{self, Verdict},
};
use kernel::step::Step;
use kernel::{
    arrival::Arrival,
    batch::Batch,
    error::Error,
    fault::{Fault, PlacedFault, rule},
    ledger::{Part, StagedPart},
    objects::Objects,
    outcome::Outcome,
    quarantine::{Entry, EventWriter},
    received::Received,
    records::{Records, RecordsWriter},
    store::Store,
};

/// The events that are stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stored {
    /// The events to route: lines of [`AcceptedEvent`].
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
        events.push(StoredEvent::valid(&AcceptedEvent::parse(line)?)?);
    }
    let verdicts = known::put_valid(store, &batch.tenant, &events).await?;
    drop(events);
    let mut part = Part::default();
    if verdicts.iter().all(|verdict| *verdict == Verdict::Stored) {
        return Ok(Stored { fresh: records, part: StagedPart::Part(part) });
    }
    let mut fresh = RecordsWriter::new(&batch, "fresh", objects);
    let mut conflicts = Conflicts::default();
    let mut verdicts = verdicts.into_iter();
    let mut lines = records.lines(objects).await?;
    while let Some(line) = lines.next().await? {
        match verdicts.next() {
            Some(Verdict::Stored) => fresh.push(line).await?,
            Some(Verdict::Duplicate) => part.add(Outcome::Duplicate, AcceptedEvent::parse(line)?.index),
            Some(Verdict::Conflict) | None => {
                let event = AcceptedEvent::parse(line)?;
                part.add(Outcome::Conflict, event.index);
                part.faults.push(PlacedFault { index: event.index, line: 0, fault: fault() });
                conflicts.push(&batch, event)?;
            }
        }
    }
    part.quarantine = conflicts.writer.finish(objects).await?;
    known::note_conflicts(store, &batch.tenant, &conflicts.by_id).await?;
    conflicts.placed.iter().for_each(|(arrival, key)| log(arrival, key));
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
    placed: Vec<(Arrival, String)>,
}

impl Conflicts {
    fn push(&mut self, batch: &Batch, event: AcceptedEvent<'_>) -> Result<(), Error> {
        let AcceptedEvent { index, arrival, retry, payload, .. } = event;
        let received = Received {
            retry,
            faults: vec![fault()],
            arrival: Some(arrival.clone()),
            ..Received::json(index, 0, payload)
        };
        let key = self.writer.push(&batch.tenant, &arrival, &Entry::new(batch, &received))?;
        self.by_id.entry(arrival.message_id.clone()).or_default().push(arrival.sequence());
        self.placed.push((arrival, key));
        Ok(())
    }
}

fn fault() -> Fault {
    Fault::new("/messageId", rule::CONFLICT, "stands for another event, which came before")
}

fn log(arrival: &Arrival, key: &str) {
    let Arrival { id, index, .. } = arrival;
    tracing::warn!(
        batch.id = %id,
        record.index = index,
        rule = rule::CONFLICT,
        quarantine.key = key,
        "the id of event {index} of request {id} stands for another event, which came before",
    );
}
