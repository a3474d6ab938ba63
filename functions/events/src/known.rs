//! Known events: what is stored under an event's id, and what another event of that id makes of it.
//!
//! All of it may be done twice: an event that this very arrival stored is recognised by its sequence.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use crate::{
    event::{Standing, StoredEvent, content_hash},
    response::{self, Response},
};
use kernel::{
    batch::Name,
    error::Error,
    store::{Condition, Item, Store, Table, Written},
};

/// How long an id stands for its event, by the times at which both arrived.
pub const STANDS: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How many conflicts are kept of an event.
pub const CONFLICTS: usize = 10;

/// How many events go to the store at once: bounds memory, and what one transaction holds up.
const BLOCK: usize = 1_000;
/// How often a change that somebody else got in before is tried anew before the step gives up for now.
const ROUNDS: usize = 8;

/// What became of an event when it was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is stored, now or by an earlier try.
    Stored,
    /// Its id stands for the same event already.
    Duplicate,
    /// Its id stands for another event.
    Conflict,
}

/// What an event makes of one that is stored under its id.
enum Claim {
    /// Nothing: its own fate is this.
    Is(Verdict),
    /// It is put over the other.
    Over,
    /// It is put over the other, unless that one is still on its way somewhere: a delivery sends what lies under the
    /// event's id.
    OverUnlessOpen,
}

/// Stores valid events, each under its id if that is free; what became of each, in order. Of events with one
/// id the first one is stored. An id is free whose event was invalid, or arrived more than [`STANDS`] before and was
/// delivered wherever it goes.
pub async fn put_valid(
    store: &impl Store,
    tenant: &Name,
    events: &[StoredEvent],
) -> Result<Vec<Verdict>, Error> {
    put(store, tenant, events, |stored, new| {
        let stands = new.received_at.duration_since(stored.received_at) <= STANDS;
        match stored.outcome {
            Standing::Invalid => Claim::Over,
            _ if stored.sequence == new.sequence => Claim::Is(Verdict::Stored),
            _ if !stands => Claim::OverUnlessOpen,
            _ => Claim::Is(beside(stored, new)),
        }
    })
    .await
}

/// What an event is whose id stands for another one.
fn beside(stored: &StoredEvent, new: &StoredEvent) -> Verdict {
    let is_same = stored.hash == new.hash || says_the_same(stored, new);
    if is_same { Verdict::Duplicate } else { Verdict::Conflict }
}

/// Whether two events say the same by today's rule: a hash may have been made by an earlier one.
fn says_the_same(stored: &StoredEvent, new: &StoredEvent) -> bool {
    let (Some(stored), Some(new)) = (&stored.payload, &new.payload) else { return false };
    content_hash(stored) == content_hash(new)
}

/// Stores what is known of invalid events, so that one can ask for them: never over a valid one, and of invalid
/// ones with one id the latest.
pub async fn put_invalid(store: &impl Store, tenant: &Name, events: &[StoredEvent]) -> Result<(), Error> {
    let decide = |stored: &StoredEvent, new: &StoredEvent| {
        let is_later = stored.outcome == Standing::Invalid && stored.sequence < new.sequence;
        if is_later { Claim::Over } else { Claim::Is(Verdict::Stored) }
    };
    put(store, tenant, events, decide).await.map(drop)
}

/// Puts events; `decide` says of one whose id is taken what that makes of it.
async fn put(
    store: &impl Store,
    tenant: &Name,
    events: &[StoredEvent],
    decide: impl Fn(&StoredEvent, &StoredEvent) -> Claim,
) -> Result<Vec<Verdict>, Error> {
    let mut verdicts = Vec::with_capacity(events.len());
    for block in events.chunks(BLOCK) {
        verdicts.extend(put_block(store, tenant, block, &decide).await?);
    }
    Ok(verdicts)
}

async fn put_block(
    store: &impl Store,
    tenant: &Name,
    events: &[StoredEvent],
    decide: impl Fn(&StoredEvent, &StoredEvent) -> Claim,
) -> Result<Vec<Verdict>, Error> {
    let mut verdicts = vec![Verdict::Stored; events.len()];
    let mut open: Vec<(usize, Option<u64>)> = (0..events.len()).map(|at| (at, None)).collect();
    for _ in 0..ROUNDS {
        let puts = open.iter().map(|&(at, over)| item(&events[at], tenant, over));
        let written = store.put_all(Table::Events, puts.collect::<Result<_, _>>()?).await?;
        let mut again = Vec::new();
        let mut old = Vec::new();
        for ((at, _), written) in open.into_iter().zip(written) {
            match written {
                Written::Done => {}
                Written::Conflict(None) => again.push((at, None)),
                Written::Conflict(Some(item)) => {
                    let stored = StoredEvent::read(&item)?;
                    match decide(&stored, &events[at]) {
                        Claim::Is(verdict) => verdicts[at] = verdict,
                        Claim::Over => again.push((at, Some(item.version))),
                        Claim::OverUnlessOpen => old.push((at, item.version, stored)),
                    }
                }
            }
        }
        let open_ones = are_open(store, tenant, &old).await?;
        for ((at, version, stored), is_open) in old.into_iter().zip(open_ones) {
            if is_open {
                verdicts[at] = beside(&stored, &events[at]);
            } else {
                again.push((at, Some(version)));
            }
        }
        if again.is_empty() {
            return Ok(verdicts);
        }
        open = again;
    }
    Err(contended())
}

/// Whether each of these stored events is still on its way somewhere.
async fn are_open(
    store: &impl Store,
    tenant: &Name,
    old: &[(usize, u64, StoredEvent)],
) -> Result<Vec<bool>, Error> {
    if old.is_empty() {
        return Ok(Vec::new());
    }
    let key =
        |stored: &StoredEvent| (response::partition(tenant, &stored.message_id), response::SORT.to_owned());
    let keys = old.iter().map(|(.., stored)| key(stored)).collect();
    let found = store.get_all(response::TABLE, keys).await?.into_iter().zip(old);
    let is_open = |(item, (.., stored)): (Option<Item>, &(usize, u64, StoredEvent))| {
        let Some(item) = item else { return Ok(false) };
        let response = Response::read(&item)?;
        Ok(response.sequence == stored.sequence && response.is_open())
    };
    found.map(is_open).collect()
}

/// The put of an event: under a free id, or over the version that is stored.
fn item(event: &StoredEvent, tenant: &Name, over: Option<u64>) -> Result<(Item, Condition), Error> {
    Ok(match over {
        None => (event.item(tenant, 1)?, Condition::Absent),
        Some(version) => (event.item(tenant, version + 1)?, Condition::Version(version)),
    })
}

/// Notes at stored events that others came with their ids: by id, the sequences of those. An event that is not
/// stored any more is let be.
pub async fn note_conflicts(
    store: &impl Store,
    tenant: &Name,
    conflicts: &BTreeMap<String, Vec<String>>,
) -> Result<(), Error> {
    let mut open: Vec<(&String, &Vec<String>)> = conflicts.iter().collect();
    for _ in 0..ROUNDS {
        let keys = open.iter().map(|(id, _)| StoredEvent::key(tenant, id)).collect();
        let found = store.get_all(Table::Events, keys).await?;
        let mut puts = Vec::new();
        let mut changed = Vec::new();
        for ((id, sequences), item) in open.into_iter().zip(found) {
            let Some(item) = item else { continue };
            if let Some(noted) = noted(StoredEvent::read(&item)?, sequences) {
                puts.push((noted.item(tenant, item.version + 1)?, Condition::Version(item.version)));
                changed.push((id, sequences));
            }
        }
        if puts.is_empty() {
            return Ok(());
        }
        let written = store.put_all(Table::Events, puts).await?.into_iter();
        let lost = changed.into_iter().zip(written).filter(|(_, written)| *written != Written::Done);
        open = lost.map(|(conflict, _)| conflict).collect();
        if open.is_empty() {
            return Ok(());
        }
    }
    Err(contended())
}

/// The event with these conflicts noted; `None` where they are already.
fn noted(mut stored: StoredEvent, sequences: &[String]) -> Option<StoredEvent> {
    let new: Vec<&String> =
        sequences.iter().filter(|sequence| !stored.conflicts.contains(sequence)).collect();
    if new.is_empty() {
        return None;
    }
    stored.conflicts.extend(new.into_iter().cloned());
    stored.conflicts.sort_unstable();
    let surplus = stored.conflicts.len().saturating_sub(CONFLICTS);
    stored.conflicts.drain(..surplus);
    Some(stored)
}

fn contended() -> Error {
    Error::StorageUnavailable("events are being stored by others at the same time".into())
}
