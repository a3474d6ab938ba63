//! De-duplication of events: a new event against the event that is stored under its id.
//!
//! Every call may be repeated: an event that the same ingest request stored is recognised by its sequence.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use crate::{
    event::{EventStatus, StoredEvent, content_hash},
    response::{self, EventResponse},
};
use kernel::{
    batch::Name,
    error::Error,
    store::{Condition, Item, Store, Table, Written},
};

/// How long an id belongs to its event, by the arrival times of both.
pub const DEDUP_WINDOW: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Maximum number of conflicts that a stored event lists.
pub const MAX_CONFLICTS: usize = 10;

/// Maximum number of events in one store request: bounds memory, and the length of one transaction.
const MAX_BLOCK_EVENTS: usize = 1_000;
/// Maximum number of attempts at a change that lost against concurrent ones; then the step fails, to be retried later.
const MAX_ATTEMPTS: usize = 8;

/// The result of storing an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// It is stored, now or by an earlier attempt.
    Stored,
    /// Its id belongs to the same event already.
    Duplicate,
    /// Its id belongs to another event.
    Conflict,
}

/// How a new event and the event that is stored under its id are resolved.
enum Resolution {
    /// The stored event stays; this is the result of the new one.
    Keep(PutOutcome),
    /// The new event replaces the stored one.
    Replace,
    /// The new event replaces the stored one, unless that is still in delivery: a delivery sends the event that is
    /// stored under the id.
    ReplaceUnlessInDelivery,
}

/// Stores valid events, each under its id if that is free; returns the results in order. Of events with one id the
/// first one is stored. An id is free if its event was invalid. It is also free if its event arrived more than
/// [`DEDUP_WINDOW`] before, and every destination of that event has it.
pub async fn put_valid(
    store: &impl Store,
    tenant: &Name,
    events: &[StoredEvent],
) -> Result<Vec<PutOutcome>, Error> {
    put(store, tenant, events, |stored, new| {
        let is_in_window = new.received_at.duration_since(stored.received_at) <= DEDUP_WINDOW;
        match stored.outcome {
            EventStatus::Invalid => Resolution::Replace,
            _ if stored.sequence == new.sequence => Resolution::Keep(PutOutcome::Stored),
            _ if !is_in_window => Resolution::ReplaceUnlessInDelivery,
            _ => Resolution::Keep(compare(stored, new)),
        }
    })
    .await
}

/// The result of an event whose id belongs to a stored one.
fn compare(stored: &StoredEvent, new: &StoredEvent) -> PutOutcome {
    let is_same = stored.hash == new.hash || has_same_content(stored, new);
    if is_same { PutOutcome::Duplicate } else { PutOutcome::Conflict }
}

/// Whether two events have the same content by today's rule: a hash may be that of an earlier rule.
fn has_same_content(stored: &StoredEvent, new: &StoredEvent) -> bool {
    let (Some(stored), Some(new)) = (&stored.payload, &new.payload) else { return false };
    content_hash(stored) == content_hash(new)
}

/// Stores the known facts of invalid events, so that clients can ask for them. They never replace a valid event; of
/// invalid events with one id the latest is stored.
pub async fn put_invalid(store: &impl Store, tenant: &Name, events: &[StoredEvent]) -> Result<(), Error> {
    let decide = |stored: &StoredEvent, new: &StoredEvent| {
        let is_later = stored.outcome == EventStatus::Invalid && stored.sequence < new.sequence;
        if is_later { Resolution::Replace } else { Resolution::Keep(PutOutcome::Stored) }
    };
    put(store, tenant, events, decide).await.map(drop)
}

/// Puts events; `decide` resolves an event whose id is taken.
async fn put(
    store: &impl Store,
    tenant: &Name,
    events: &[StoredEvent],
    decide: impl Fn(&StoredEvent, &StoredEvent) -> Resolution,
) -> Result<Vec<PutOutcome>, Error> {
    let mut verdicts = Vec::with_capacity(events.len());
    for block in events.chunks(MAX_BLOCK_EVENTS) {
        verdicts.extend(put_block(store, tenant, block, &decide).await?);
    }
    Ok(verdicts)
}

async fn put_block(
    store: &impl Store,
    tenant: &Name,
    events: &[StoredEvent],
    decide: impl Fn(&StoredEvent, &StoredEvent) -> Resolution,
) -> Result<Vec<PutOutcome>, Error> {
    let mut verdicts = vec![PutOutcome::Stored; events.len()];
    let mut pending: Vec<(usize, Option<u64>)> = (0..events.len()).map(|at| (at, None)).collect();
    for _ in 0..MAX_ATTEMPTS {
        let puts = pending.iter().map(|&(at, over)| item(&events[at], tenant, over));
        let written = store.put_all(Table::Events, puts.collect::<Result<_, _>>()?).await?;
        let mut retried = Vec::new();
        let mut expired = Vec::new();
        for ((at, _), written) in pending.into_iter().zip(written) {
            match written {
                Written::Done => {}
                Written::Conflict(None) => retried.push((at, None)),
                Written::Conflict(Some(item)) => {
                    let stored = StoredEvent::read(&item)?;
                    match decide(&stored, &events[at]) {
                        Resolution::Keep(verdict) => verdicts[at] = verdict,
                        Resolution::Replace => retried.push((at, Some(item.version))),
                        Resolution::ReplaceUnlessInDelivery => expired.push((at, item.version, stored)),
                    }
                }
            }
        }
        let in_delivery = in_delivery(store, tenant, &expired).await?;
        for ((at, version, stored), has_pending) in expired.into_iter().zip(in_delivery) {
            if has_pending {
                verdicts[at] = compare(&stored, &events[at]);
            } else {
                retried.push((at, Some(version)));
            }
        }
        if retried.is_empty() {
            return Ok(verdicts);
        }
        pending = retried;
    }
    Err(contended())
}

/// Whether each of these stored events is still in delivery.
async fn in_delivery(
    store: &impl Store,
    tenant: &Name,
    expired: &[(usize, u64, StoredEvent)],
) -> Result<Vec<bool>, Error> {
    if expired.is_empty() {
        return Ok(Vec::new());
    }
    let key =
        |stored: &StoredEvent| (response::partition(tenant, &stored.message_id), response::SORT.to_owned());
    let keys = expired.iter().map(|(.., stored)| key(stored)).collect();
    let found = store.get_all(response::TABLE, keys).await?.into_iter().zip(expired);
    let has_pending = |(item, (.., stored)): (Option<Item>, &(usize, u64, StoredEvent))| {
        let Some(item) = item else { return Ok(false) };
        let response = EventResponse::read(&item)?;
        Ok(response.sequence == stored.sequence && response.has_pending())
    };
    found.map(has_pending).collect()
}

/// The put of an event: under a free id, or over the version that is stored.
fn item(event: &StoredEvent, tenant: &Name, over: Option<u64>) -> Result<(Item, Condition), Error> {
    Ok(match over {
        None => (event.item(tenant, 1)?, Condition::Absent),
        Some(version) => (event.item(tenant, version + 1)?, Condition::Version(version)),
    })
}

/// Notes on stored events that others arrived with their ids: by id, the sequences of those. An event that is not
/// stored any more is skipped.
pub async fn note_conflicts(
    store: &impl Store,
    tenant: &Name,
    conflicts: &BTreeMap<String, Vec<String>>,
) -> Result<(), Error> {
    let mut pending: Vec<(&String, &Vec<String>)> = conflicts.iter().collect();
    for _ in 0..MAX_ATTEMPTS {
        let keys = pending.iter().map(|(id, _)| StoredEvent::key(tenant, id)).collect();
        let found = store.get_all(Table::Events, keys).await?;
        let mut puts = Vec::new();
        let mut changed = Vec::new();
        for ((id, sequences), item) in pending.into_iter().zip(found) {
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
        pending = lost.map(|(conflict, _)| conflict).collect();
        if pending.is_empty() {
            return Ok(());
        }
    }
    Err(contended())
}

/// The event with these conflicts noted; `None` if it has them already.
fn noted(mut stored: StoredEvent, sequences: &[String]) -> Option<StoredEvent> {
    let new: Vec<&String> =
        sequences.iter().filter(|sequence| !stored.conflicts.contains(sequence)).collect();
    if new.is_empty() {
        return None;
    }
    stored.conflicts.extend(new.into_iter().cloned());
    stored.conflicts.sort_unstable();
    let surplus = stored.conflicts.len().saturating_sub(MAX_CONFLICTS);
    stored.conflicts.drain(..surplus);
    Some(stored)
}

fn contended() -> Error {
    Error::StorageUnavailable("events are being stored by others at the same time".into())
}
