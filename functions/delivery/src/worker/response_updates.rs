//! Updates of event responses. The response of an event says for each destination whether it has the event
//! (S0-026), so all lanes of an event change the same item. Inside one process, one task writes the updates
//! of all waiting tasks in one put. Different processes write under the version, and try again after a
//! conflict.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync, time::sleep};

use super::{
    settlement::{Disposition, Settlement},
    task::VersionedResponse,
};
use crate::model::Wakeup;
use events::response;
use kernel::{
    batch::Name,
    destination_name::DestinationName,
    error::Error,
    store::{Condition, Item, Store, Written},
};

/// How often a response is written before the worker gives up for now, because of conflicts.
const MAX_ROUNDS: u32 = 40;
/// How many of these rounds have no delay.
const MAX_IMMEDIATE_ROUNDS: u32 = 4;
/// The longest delay before one of the other rounds, in milliseconds.
const MAX_ROUND_DELAY_MS: u128 = 64;

/// The key of an event: the partition of its response, and its sequence.
type Key = (String, String);

/// How many tasks want to change each response.
type Tickets = HashMap<Key, (usize, Arc<Entry>)>;

/// The event responses that this process is changing.
#[derive(Clone, Debug, Default)]
pub(super) struct ResponseUpdates(Arc<Mutex<Tickets>>);

/// The changes of one response, by destination.
type Changes = BTreeMap<DestinationName, Change>;

/// The change of a destination in a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// The destination has the event.
    Delivered,
    /// The destination's filter refused the event.
    Filtered,
}

/// One event response.
#[derive(Debug, Default)]
struct Entry {
    /// Changes that no task has written yet.
    pending: Mutex<Changes>,
    /// The response as it was written last. Only the task with this lock writes the response.
    latest: sync::Mutex<Option<VersionedResponse>>,
}

/// A task's request to change a destination in a response.
struct Ticket<'a> {
    response_updates: &'a ResponseUpdates,
    key: Key,
    change: Change,
    entry: Arc<Entry>,
}

/// A task that may write the response.
struct Round<'a> {
    ticket: &'a Ticket<'a>,
    latest: sync::MutexGuard<'a, Option<VersionedResponse>>,
    /// The task's own change, and the changes of other tasks that this one writes too. If the write fails,
    /// those tasks write them again.
    pending: Changes,
}

impl Change {
    /// The change that a disposition requires, if any.
    fn from_disposition(disposition: &Disposition) -> Option<Self> {
        match disposition {
            Disposition::Delivered => Some(Self::Delivered),
            Disposition::Filtered => Some(Self::Filtered),
            _ => None,
        }
    }

    /// Whether a response with this entry for the destination needs no change.
    fn is_satisfied_by(self, is_delivered: Option<bool>) -> bool {
        match self {
            Self::Delivered => is_delivered == Some(true),
            // A destination that has the event already remains in the response.
            Self::Filtered => is_delivered != Some(false),
        }
    }
}

/// Writes all pending changes; returns the tasks whose responses were changed by other processes meanwhile.
async fn run_round<'a>(
    mut rounds: Vec<Round<'a>>,
    wakeup: &Wakeup,
    store: &impl Store,
) -> Result<Vec<Round<'a>>, Error> {
    let unknown: Vec<&mut Round<'_>> = rounds.iter_mut().filter(|round| round.latest.is_none()).collect();
    if !unknown.is_empty() {
        let key = |round: &&mut Round<'_>| (round.ticket.key.0.clone(), response::SORT.to_owned());
        let found = store.get_all(response::TABLE, unknown.iter().map(key).collect()).await?;
        for (round, found) in unknown.into_iter().zip(found) {
            *round.latest = found.as_ref().map(VersionedResponse::read).transpose()?;
        }
    }
    // A missing response was erased.
    rounds.retain(|round| round.is_known() && !round.is_done(&wakeup.destination));
    let mut written = Vec::with_capacity(rounds.len());
    let mut puts = Vec::with_capacity(rounds.len());
    for round in &mut rounds {
        // If the write fails, no task must take this response for the stored one.
        let Some(latest) = round.latest.take() else { continue };
        let (latest, put) = round.put(latest, &wakeup.tenant)?;
        puts.push(put);
        written.push(latest);
    }
    let answers = store.put_all(response::TABLE, puts).await?;
    let mut again = Vec::new();
    for ((mut round, ours), answer) in rounds.into_iter().zip(written).zip(answers) {
        match answer {
            Written::Done => *round.latest = Some(ours),
            Written::Conflict(other) => {
                *round.latest = other.as_ref().map(VersionedResponse::read).transpose()?;
                if round.is_known() && !round.is_done(&wakeup.destination) {
                    again.push(round);
                }
            }
        }
    }
    Ok(again)
}

fn key(tenant: &Name, settlement: &Settlement) -> Key {
    (response::partition(tenant, &settlement.row.queued.message_id), settlement.row.sequence.clone())
}

impl ResponseUpdates {
    /// Marks the destination in the response of each delivered event, and removes it from the response of
    /// each event that its filter refused. Returns the sequences of events whose responses could not be
    /// written because of conflicts.
    pub(super) async fn apply(
        &self,
        settlements: &mut [Settlement],
        wakeup: &Wakeup,
        store: &impl Store,
        random: fn() -> u128,
    ) -> Result<HashSet<String>, Error> {
        let Wakeup { tenant, destination } = wakeup;
        let changes = settlements.iter_mut().filter_map(|settlement| {
            let change = Change::from_disposition(&settlement.disposition)?;
            Some((key(tenant, settlement), (change, settlement.response.take())))
        });
        // All tasks lock responses in the same order, which prevents a deadlock.
        let pending: BTreeMap<Key, (Change, Option<VersionedResponse>)> = changes.collect();
        let (tickets, responses): (Vec<_>, Vec<_>) = pending
            .into_iter()
            .map(|(key, (change, response))| (self.ticket(key, destination, change), response))
            .unzip();
        let mut unfinished = Vec::with_capacity(tickets.len());
        for (ticket, response) in tickets.iter().zip(responses) {
            let round = Round::wait(ticket, destination, response).await;
            if !round.is_done(destination) {
                unfinished.push(round);
            }
        }
        for round in 0..MAX_ROUNDS {
            if unfinished.is_empty() {
                return Ok(HashSet::new());
            }
            if round >= MAX_IMMEDIATE_ROUNDS {
                let most = (1 << (round - MAX_IMMEDIATE_ROUNDS).min(6)).min(MAX_ROUND_DELAY_MS);
                let pause = random() % most + 1;
                sleep(Duration::from_millis(u64::try_from(pause).unwrap_or_default())).await;
            }
            unfinished = run_round(unfinished, wakeup, store).await?;
        }
        Ok(unfinished.into_iter().map(|round| round.ticket.key.1.clone()).collect())
    }

    /// Registers a change.
    fn ticket(&self, key: Key, destination: &DestinationName, change: Change) -> Ticket<'_> {
        let mut response_updates = lock(&self.0);
        let (tickets, entry) = response_updates.entry(key.clone()).or_default();
        *tickets += 1;
        let entry = Arc::clone(entry);
        drop(response_updates);
        lock(&entry.pending).insert(destination.clone(), change);
        Ticket { response_updates: self, key, change, entry }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut response_updates = lock(&self.response_updates.0);
        if let Some((tickets, _)) = response_updates.get_mut(&self.key) {
            *tickets -= 1;
            if *tickets == 0 {
                response_updates.remove(&self.key);
            }
        }
    }
}

impl<'a> Round<'a> {
    /// Waits for the lock; `ours` is the response as this task read it, if it did.
    async fn wait(
        ticket: &'a Ticket<'a>,
        destination: &DestinationName,
        ours: Option<VersionedResponse>,
    ) -> Self {
        let mut latest = ticket.entry.latest.lock().await;
        if latest.is_none() {
            *latest = ours;
        }
        Self { ticket, latest, pending: BTreeMap::from([(destination.clone(), ticket.change)]) }
    }

    /// Whether the response was read, and belongs to this event.
    fn is_known(&self) -> bool {
        self.latest.as_ref().is_some_and(|latest| latest.response.sequence == self.ticket.key.1)
    }

    /// Whether the response needs no change.
    fn is_done(&self, destination: &DestinationName) -> bool {
        let latest = self.latest.as_ref().filter(|_| self.is_known());
        let says = latest.map(|latest| latest.response.destinations.get(destination).copied());
        says.is_some_and(|says| self.ticket.change.is_satisfied_by(says))
    }

    /// The response with all pending changes.
    fn put(
        &mut self,
        mut latest: VersionedResponse,
        tenant: &Name,
    ) -> Result<(VersionedResponse, (Item, Condition)), Error> {
        self.pending.append(&mut lock(&self.ticket.entry.pending));
        for (destination, change) in &self.pending {
            match change {
                Change::Delivered => latest.response.deliver(destination),
                Change::Filtered => latest.response.leave_out(destination),
            }
        }
        let condition = Condition::Version(latest.version);
        latest.version += 1;
        let item = latest.response.item(tenant, latest.version)?;
        Ok((latest, (item, condition)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No holder of the mutex panics between two changes that belong together.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
