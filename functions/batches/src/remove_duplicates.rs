//! RemoveDuplicates: the first record with a key passes; later ones name the record that won (S2-012). If they disagree
//! on opt-in, the address counts as not opted in.

use std::collections::{HashMap, hash_map};

use serde::{Deserialize, Serialize};

use crate::intake::CHUNK_RECORDS;
use contacts::contact_line::ContactLine;
use events::event::EventLine;
use kernel::step::Step;
use kernel::{
    batch::{Batch, Kind},
    error::Error,
    ledger::{Part, StagedPart},
    objects::Objects,
    outcome::Outcome,
    records::{Records, RecordsWriter},
};

/// One record for each address, or for each event.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unique {
    /// Contacts who opted in: lines of [`ContactLine`].
    pub opted_in: Records,
    /// Contacts who did not, or of whom the batch says both.
    pub opted_out: Records,
    /// Events: lines of [`EventLine`].
    pub events: Records,
    /// The duplicates and the conflicts.
    pub part: StagedPart,
}

struct Winner {
    /// Its place among the lines, from one.
    place: usize,
    index: u64,
    opt_in: bool,
    in_conflict: bool,
}

/// Passes the first record of each address; of events, the first one of each id and content.
pub async fn remove_duplicates(step: Step, objects: &Objects) -> Result<Unique, Error> {
    let Step { batch, records } = step;
    match batch.kind {
        Kind::Contact => unique_contacts(&batch, &records, objects).await,
        Kind::Event => unique_events(&batch, records, objects).await,
    }
}

/// Events with one id and other content pass: PutEvents decides which of them the id belongs to.
async fn unique_events(batch: &Batch, records: Records, objects: &Objects) -> Result<Unique, Error> {
    let mut part = Part::default();
    let mut events = RecordsWriter::new(batch, "events", objects);
    let mut known: HashMap<(String, String), u64> = HashMap::new();
    let mut lines = records.lines(objects).await?;
    while let Some(line) = lines.next().await? {
        let EventLine { index, provenance, hash, .. } = EventLine::parse(line)?;
        match known.entry((provenance.message_id, hash)) {
            hash_map::Entry::Vacant(free) => {
                free.insert(index);
                events.push(line).await?;
            }
            hash_map::Entry::Occupied(taken) => {
                part.add(Outcome::Duplicate, index);
                part.duplicates.push((index, *taken.get()));
            }
        }
    }
    // No list is written if no event was removed.
    let events = if part.rows.is_empty() { records } else { events.finish().await? };
    Ok(Unique {
        opted_in: Records::none(),
        opted_out: Records::none(),
        events,
        part: StagedPart::new(batch, "remove-duplicates", part, objects).await?,
    })
}

async fn unique_contacts(batch: &Batch, records: &Records, objects: &Objects) -> Result<Unique, Error> {
    let mut part = Part::default();
    let mut winners = winners(records, objects, &mut part).await?.into_iter().peekable();
    let mut opted_in = RecordsWriter::new(batch, "opted-in", objects);
    let mut opted_out = RecordsWriter::new(batch, "opted-out", objects);
    // The lines are read once more: in memory, they would be there twice.
    let mut lines = records.lines(objects).await?;
    let mut place = 0;
    while let Some(line) = lines.next().await? {
        place += 1;
        if let Some(winner) = winners.next_if(|winner| winner.place == place) {
            let agreed = winner.opt_in && !winner.in_conflict;
            if agreed { &mut opted_in } else { &mut opted_out }.push(line).await?;
        }
    }
    Ok(Unique {
        opted_in: opted_in.finish().await?,
        opted_out: opted_out.finish().await?,
        events: Records::none(),
        part: StagedPart::new(batch, "remove-duplicates", part, objects).await?,
    })
}

/// The winners in input order. Memory grows with the addresses of one chunk, not with its records.
async fn winners(records: &Records, objects: &Objects, part: &mut Part) -> Result<Vec<Winner>, Error> {
    let expected = usize::try_from(records.count.min(CHUNK_RECORDS)).unwrap_or_default();
    let mut winners: Vec<Winner> = Vec::with_capacity(expected);
    let mut by_key: HashMap<Box<str>, usize> = HashMap::with_capacity(expected);
    let mut place = 0;
    let mut lines = records.lines(objects).await?;
    while let Some(line) = lines.next().await? {
        place += 1;
        let ContactLine { index, key, opt_in, .. } = ContactLine::parse(line)?;
        match by_key.entry(key.into()) {
            hash_map::Entry::Vacant(free) => {
                free.insert(winners.len());
                winners.push(Winner { place, index, opt_in, in_conflict: false });
            }
            hash_map::Entry::Occupied(taken) => {
                let winner = &mut winners[*taken.get()];
                part.add(Outcome::Duplicate, index);
                part.duplicates.push((index, winner.index));
                if winner.opt_in != opt_in && !winner.in_conflict {
                    winner.in_conflict = true;
                    part.conflicts.push((winner.index, index));
                }
            }
        }
    }
    Ok(winners)
}
