//! The response of an event, which says of each destination whether it has the event (S0-026). All lanes that the event
//! lies in change the same item: within a process whoever has its turn writes for all who wait for theirs.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync, time::sleep};

use super::{
    load::VersionedResponse,
    record::{Disposition, DispositionWriter, Settlement},
};
use events::response;
use kernel::{
    batch::Name,
    destination_name::DestinationName,
    error::Error,
    store::{Condition, Item, Store, Written},
};

/// How often a response that others change at the same time is looked at again.
const ROUNDS: u32 = 40;
/// So many of those are at once.
const AT_ONCE: u32 = 4;
/// The longest pause before one of the others, in milliseconds.
const PAUSE: u128 = 64;

/// An event: its response's partition, and its sequence.
type Key = (String, String);

/// How many wish to change a response, by its event.
type Tickets = HashMap<Key, (usize, Arc<Entry>)>;

/// The responses that couriers of this process are changing.
#[derive(Clone, Debug, Default)]
pub(super) struct ResponseUpdates(Arc<Mutex<Tickets>>);

/// Destinations, and whether each has the event or does not want it.
type Changes = BTreeMap<DestinationName, Change>;

/// What a response is to say of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// It has the event.
    Delivered,
    /// It does not want the event.
    Filtered,
}

/// One of them.
#[derive(Debug, Default)]
struct Entry {
    /// What came of the event at destinations, until somebody writes it down.
    wanted: Mutex<Changes>,
    /// Whoever has this has the turn. The response, as it was written last.
    known: sync::Mutex<Option<VersionedResponse>>,
}

/// A destination that is to be true in a response, or not to be there.
struct Ticket<'a> {
    flips: &'a ResponseUpdates,
    key: Key,
    end: Change,
    flip: Arc<Entry>,
}

/// Whose turn it is.
struct Round<'a> {
    wish: &'a Ticket<'a>,
    known: sync::MutexGuard<'a, Option<VersionedResponse>>,
    /// The destination that it is the turn of, and what was taken over of what others want. Those write it once more
    /// where this is not written.
    wanted: Changes,
}

impl Change {
    /// What the end of a delivery means for the response, if it does.
    fn of(fate: &Disposition) -> Option<Self> {
        match fate {
            Disposition::Delivered => Some(Self::Delivered),
            Disposition::Filtered => Some(Self::Filtered),
            _ => None,
        }
    }

    /// Whether a response that says this of the destination says so.
    fn is_said_by(self, is_delivered: Option<bool>) -> bool {
        match self {
            Self::Delivered => is_delivered == Some(true),
            // One that has it has it.
            Self::Filtered => is_delivered != Some(false),
        }
    }
}

impl<S: Store> DispositionWriter<S> {
    /// Sets the destination's status of each event that was delivered to true, and takes the destination out of the
    /// response of each event that it does not want; gives the sequences of those that others changed each time.
    pub(super) async fn flip(&self, ended: &mut [Settlement]) -> Result<HashSet<String>, Error> {
        let (tenant, destination) = (&self.wake.tenant, &self.wake.destination);
        let told = ended.iter_mut().filter_map(|ended| {
            let end = Change::of(&ended.fate)?;
            Some((key(tenant, ended), (end, ended.response.take())))
        });
        // In one order everywhere, so that nobody waits in a circle.
        let wanted: BTreeMap<Key, (Change, Option<VersionedResponse>)> = told.collect();
        let (wishes, known): (Vec<_>, Vec<_>) = wanted
            .into_iter()
            .map(|(key, (end, known))| (self.flips.enter(key, destination, end), known))
            .unzip();
        let mut open = Vec::with_capacity(wishes.len());
        for (wish, known) in wishes.iter().zip(known) {
            let turn = Round::wait(wish, destination, known).await;
            if !turn.is_done(destination) {
                open.push(turn);
            }
        }
        for round in 0..ROUNDS {
            if open.is_empty() {
                return Ok(HashSet::new());
            }
            if round >= AT_ONCE {
                let most = (1 << (round - AT_ONCE).min(6)).min(PAUSE);
                let pause = (self.random)() % most + 1;
                sleep(Duration::from_millis(u64::try_from(pause).unwrap_or_default())).await;
            }
            open = self.turn(open).await?;
        }
        Ok(open.into_iter().map(|turn| turn.wish.key.1.clone()).collect())
    }

    /// Writes what is wanted; gives those that others changed meanwhile.
    async fn turn<'a>(&self, mut turns: Vec<Round<'a>>) -> Result<Vec<Round<'a>>, Error> {
        let unknown: Vec<&mut Round<'_>> = turns.iter_mut().filter(|turn| turn.known.is_none()).collect();
        if !unknown.is_empty() {
            let key = |turn: &&mut Round<'_>| (turn.wish.key.0.clone(), response::SORT.to_owned());
            let found = self.store.get_all(response::TABLE, unknown.iter().map(key).collect()).await?;
            for (turn, found) in unknown.into_iter().zip(found) {
                *turn.known = found.as_ref().map(VersionedResponse::read).transpose()?;
            }
        }
        // One that is gone was erased.
        turns.retain(|turn| turn.is_known() && !turn.is_done(&self.wake.destination));
        let mut written = Vec::with_capacity(turns.len());
        let mut puts = Vec::with_capacity(turns.len());
        for turn in &mut turns {
            // Where this fails, nobody takes it for written.
            let Some(known) = turn.known.take() else { continue };
            let (known, put) = turn.put(known, &self.wake.tenant)?;
            puts.push(put);
            written.push(known);
        }
        let answers = self.store.put_all(response::TABLE, puts).await?;
        let mut again = Vec::new();
        for ((mut turn, ours), answer) in turns.into_iter().zip(written).zip(answers) {
            match answer {
                Written::Done => *turn.known = Some(ours),
                Written::Conflict(other) => {
                    *turn.known = other.as_ref().map(VersionedResponse::read).transpose()?;
                    if turn.is_known() && !turn.is_done(&self.wake.destination) {
                        again.push(turn);
                    }
                }
            }
        }
        Ok(again)
    }
}

fn key(tenant: &Name, ended: &Settlement) -> Key {
    (response::partition(tenant, &ended.row.queued.message_id), ended.row.sequence.clone())
}

impl ResponseUpdates {
    /// Says what is wanted.
    fn enter(&self, key: Key, destination: &DestinationName, end: Change) -> Ticket<'_> {
        let mut flips = lock(&self.0);
        let (wishes, flip) = flips.entry(key.clone()).or_default();
        *wishes += 1;
        let flip = Arc::clone(flip);
        drop(flips);
        lock(&flip.wanted).insert(destination.clone(), end);
        Ticket { flips: self, key, end, flip }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut flips = lock(&self.flips.0);
        if let Some((wishes, _)) = flips.get_mut(&self.key) {
            *wishes -= 1;
            if *wishes == 0 {
                flips.remove(&self.key);
            }
        }
    }
}

impl<'a> Round<'a> {
    /// Waits for it; `ours` is the response as it was read, if it is at hand.
    async fn wait(
        wish: &'a Ticket<'a>,
        destination: &DestinationName,
        ours: Option<VersionedResponse>,
    ) -> Self {
        let mut known = wish.flip.known.lock().await;
        if known.is_none() {
            *known = ours;
        }
        Self { wish, known, wanted: BTreeMap::from([(destination.clone(), wish.end)]) }
    }

    /// Whether the response is known, and is that of this event.
    fn is_known(&self) -> bool {
        self.known.as_ref().is_some_and(|known| known.response.sequence == self.wish.key.1)
    }

    /// Whether the response says what is wished for the destination.
    fn is_done(&self, destination: &DestinationName) -> bool {
        let known = self.known.as_ref().filter(|_| self.is_known());
        let says = known.map(|known| known.response.destinations.get(destination).copied());
        says.is_some_and(|says| self.wish.end.is_said_by(says))
    }

    /// The response with all that is wanted.
    fn put(
        &mut self,
        mut known: VersionedResponse,
        tenant: &Name,
    ) -> Result<(VersionedResponse, (Item, Condition)), Error> {
        self.wanted.append(&mut lock(&self.wish.flip.wanted));
        for (destination, end) in &self.wanted {
            match end {
                Change::Delivered => known.response.deliver(destination),
                Change::Filtered => known.response.leave_out(destination),
            }
        }
        let condition = Condition::Version(known.version);
        known.version += 1;
        let item = known.response.item(tenant, known.version)?;
        Ok((known, (item, condition)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds it panics between two changes that belong together.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
