//! The queue of a lane: due deliveries in the order in which they may be sent. With ordering, one call of
//! each ordering key is in flight at a time, and a failing event blocks the later events of its key, up to a
//! limit. The key is the user.
//!
//! Only a few events of each user are loaded. For the rest only the sequence is kept, so one user's backlog
//! does not stop other users' events from being read.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    ops::Bound::{Excluded, Unbounded},
};

use jiff::{SignedDuration, Timestamp};

use super::task::{Blocker, DeliveryTask, QueueRow};
use crate::model;

/// How many events of one key are loaded at a time.
const MAX_PER_KEY: usize = 4;
/// More events of a key are loaded when fewer than this are left.
const REFILL_BELOW: usize = 2;
/// How many events are loaded of a blocked key: these are only deferred.
const MAX_PER_BLOCKED_KEY: usize = 64;

/// The delay before a blocked event is tried again, if its blocker is due but not loaded.
const BLOCKED_RETRY_DELAY: SignedDuration = SignedDuration::from_secs(1);

/// The queue of a lane.
#[derive(Debug, Default)]
pub(super) struct OrderedQueue {
    is_ordered: bool,
    slots: VecDeque<Slot>,
    keys: HashMap<String, KeyQueue>,
    /// For how long a blocked event blocks later ones.
    max_block: SignedDuration,
    /// By key and sequence.
    blockers: HashMap<String, BTreeMap<String, Blocker>>,
    len: usize,
    /// How many of the `len` wait for a call of their key.
    not_ready: usize,
    /// How many events are known only by their sequence.
    not_loaded: usize,
    /// The keys that need a refill.
    to_refill: BTreeSet<String>,
}

/// The rows that are loaded next.
#[derive(Debug, Default)]
pub(super) struct ToLoad {
    /// Rows that were just read.
    pub(super) rows: Vec<QueueRow>,
    /// Rows that were read before: their sequences and sort keys.
    pub(super) not_loaded: Vec<(String, String)>,
}

#[derive(Debug)]
enum Slot {
    Single(Box<DeliveryTask>),
    Key(String),
}

/// The events of one ordering key.
#[derive(Debug, Default)]
struct KeyQueue {
    waiting: BTreeMap<String, Box<DeliveryTask>>,
    /// Events after the loaded ones: the sequence and due time of each.
    not_loaded: BTreeMap<String, Timestamp>,
    is_in_flight: bool,
}

impl KeyQueue {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.not_loaded.is_empty() && !self.is_in_flight
    }

    fn needs_refill(&self) -> bool {
        self.waiting.len() < REFILL_BELOW && !self.not_loaded.is_empty()
    }
}

/// The first delivery of the queue.
#[derive(Debug)]
pub(super) enum Dequeued {
    /// It may be sent.
    Send(Box<DeliveryTask>),
    /// An earlier event of its key blocks it until this time.
    Blocked(Box<DeliveryTask>, Timestamp),
}

impl OrderedQueue {
    /// Whether the destination orders by user.
    pub(super) fn is_ordered(&self) -> bool {
        self.is_ordered
    }

    /// An empty queue with the blockers of the lane, each with its key and sequence.
    pub(super) fn new(
        is_ordered: bool,
        max_block: SignedDuration,
        blockers: impl IntoIterator<Item = (String, String, Blocker)>,
    ) -> Self {
        let mut queue = Self { is_ordered, max_block, ..Self::default() };
        for (key, sequence, blocker) in blockers {
            queue.blockers.entry(key).or_default().insert(sequence, blocker);
        }
        queue
    }

    /// How many deliveries are loaded.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many deliveries wait for no call of their key.
    pub(super) fn ready(&self) -> usize {
        self.len - self.not_ready
    }

    /// How many events are known only by their sequence.
    pub(super) fn not_loaded(&self) -> usize {
        self.not_loaded
    }

    /// Whether any key needs a refill.
    pub(super) fn needs_refill(&self) -> bool {
        !self.to_refill.is_empty()
    }

    /// Selects the rows to load: every row without a key, and the first few of each key.
    pub(super) fn select(&mut self, rows: Vec<QueueRow>) -> ToLoad {
        let mut to_load = ToLoad::default();
        let mut fresh = HashMap::new();
        for row in rows {
            let Some(key) = row.queued.user.clone().filter(|_| self.is_ordered) else {
                to_load.rows.push(row);
                continue;
            };
            self.keys.entry(key.clone()).or_default().not_loaded.insert(row.sequence.clone(), row.due);
            self.not_loaded += 1;
            self.to_refill.insert(key);
            fresh.insert(row.sequence.clone(), row);
        }
        for key in std::mem::take(&mut self.to_refill) {
            let Some(key_queue) = self.keys.get_mut(&key) else { continue };
            // Events of a blocked key are only deferred.
            let is_blocked = self.blockers.contains_key(&key) && !key_queue.is_in_flight;
            let mut room = if is_blocked { MAX_PER_BLOCKED_KEY } else { MAX_PER_KEY }
                .saturating_sub(key_queue.waiting.len());
            while let Some(first) = key_queue.not_loaded.first_entry() {
                let is_earlier =
                    key_queue.waiting.last_key_value().is_some_and(|(last, _)| first.key() < last);
                if room == 0 && !is_earlier {
                    break;
                }
                room = room.saturating_sub(1);
                self.not_loaded -= 1;
                let (sequence, due) = first.remove_entry();
                match fresh.remove(&sequence) {
                    Some(row) => to_load.rows.push(row),
                    None => {
                        let sort = model::queued_sort(due, &sequence);
                        to_load.not_loaded.push((sequence, sort));
                    }
                }
            }
            // A loaded row may turn out to be settled.
            if key_queue.needs_refill() {
                self.to_refill.insert(key);
            }
        }
        to_load
    }

    /// Adds a loaded delivery.
    pub(super) fn push(&mut self, task: Box<DeliveryTask>) {
        self.len += 1;
        match self.key_of(&task) {
            None => self.slots.push_back(Slot::Single(task)),
            Some(key) => {
                let key_queue = self.keys.entry(key.clone()).or_default();
                if key_queue.is_in_flight {
                    self.not_ready += 1;
                } else if key_queue.waiting.is_empty() {
                    self.slots.push_back(Slot::Key(key));
                }
                key_queue.waiting.insert(task.row.sequence.clone(), task);
            }
        }
    }

    /// Removes the first delivery.
    pub(super) fn dequeue(&mut self, now: Timestamp) -> Option<Dequeued> {
        loop {
            let key = match self.slots.pop_front()? {
                Slot::Single(task) => {
                    self.len -= 1;
                    return Some(Dequeued::Send(task));
                }
                Slot::Key(key) => key,
            };
            let Some(key_queue) = self.keys.get_mut(&key) else { continue };
            let Some((sequence, task)) = key_queue.waiting.pop_first() else { continue };
            self.len -= 1;
            if key_queue.needs_refill() {
                self.to_refill.insert(key.clone());
            }
            let blockers = self.blockers.get_mut(&key);
            let blocking = blockers
                .and_then(|blockers| blocked_until(blockers, &sequence, now).map(|until| (blockers, until)));
            let Some((blockers, until)) = blocking else {
                key_queue.is_in_flight = true;
                self.not_ready += key_queue.waiting.len();
                return Some(Dequeued::Send(task));
            };
            // Later events that are due earlier wait for this one too.
            blockers.insert(sequence, Blocker { due: until, blocks_until: until + self.max_block });
            if key_queue.is_idle() {
                self.keys.remove(&key);
            } else if !key_queue.waiting.is_empty() {
                self.slots.push_back(Slot::Key(key));
            }
            return Some(Dequeued::Blocked(task, until));
        }
    }

    /// A settlement of this key is stored: the next event may follow, or is blocked.
    pub(super) fn finish(&mut self, key: &str, sequence: &str, was_sent: bool, blocker: Option<Blocker>) {
        if !self.is_ordered {
            return;
        }
        if let Some(blocker) = blocker {
            self.blockers.entry(key.to_owned()).or_default().insert(sequence.to_owned(), blocker);
        } else if let Some(others) = self.blockers.get_mut(key) {
            others.remove(sequence);
            if others.is_empty() {
                self.blockers.remove(key);
            }
        }
        let Some(key_queue) = self.keys.get_mut(key) else { return };
        if was_sent {
            key_queue.is_in_flight = false;
            self.not_ready -= key_queue.waiting.len();
            if !key_queue.waiting.is_empty() {
                self.slots.push_back(Slot::Key(key.to_owned()));
            }
        }
        if key_queue.is_idle() {
            self.keys.remove(key);
        }
    }

    /// Removes everything that is not in flight; returns the sequences.
    pub(super) fn clear(&mut self) -> Vec<String> {
        (self.len, self.not_ready, self.not_loaded) = (0, 0, 0);
        self.to_refill.clear();
        let mut sequences = Vec::new();
        for slot in std::mem::take(&mut self.slots) {
            if let Slot::Single(task) = slot {
                sequences.push(task.row.sequence);
            }
        }
        for key_queue in self.keys.values_mut() {
            sequences.extend(std::mem::take(&mut key_queue.waiting).into_keys());
            sequences.extend(std::mem::take(&mut key_queue.not_loaded).into_keys());
        }
        self.keys.retain(|_, key_queue| key_queue.is_in_flight);
        sequences
    }

    fn key_of(&self, task: &DeliveryTask) -> Option<String> {
        task.row.queued.user.clone().filter(|_| self.is_ordered)
    }
}

/// Until when the first blocker before this sequence blocks it.
fn blocked_until(blockers: &BTreeMap<String, Blocker>, sequence: &str, now: Timestamp) -> Option<Timestamp> {
    let mut earlier = blockers.range::<str, _>((Unbounded, Excluded(sequence))).map(|(_, blocker)| blocker);
    // In milliseconds, as due times: a blocked event is due later than now.
    let first = earlier.find(|it| now.as_millisecond() < it.blocks_until.as_millisecond())?;
    Some(first.due.max(now + BLOCKED_RETRY_DELAY).min(first.blocks_until))
}

#[cfg(test)]
#[path = "ordered_queue_tests.rs"]
mod tests;
