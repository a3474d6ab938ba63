//! The line of a lane: what is due, in the order in which it may be sent. Where order is kept by user, one call of each
//! user is on its way at a time, and an event that is stuck holds up the later ones of its user, for a while.
//!
//! Of each user a few events are in line. Of the others it is known that they are there, so that however many one user
//! has, those of the next one are read.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    ops::Bound::{Excluded, Unbounded},
};

use jiff::{SignedDuration, Timestamp};

use super::task::{Blocker, DeliveryTask, QueueRow};
use crate::model;

/// So many events of one user are in line, and more are loaded when there are fewer than this.
const MAX_PER_KEY: usize = 4;
const REFILL_BELOW: usize = 2;
/// So many are of one who is held up.
const MAX_PER_BLOCKED_KEY: usize = 64;

/// What is held up by an event that is due, but not here yet, is looked at again after so long.
const BLOCKED_RETRY_DELAY: SignedDuration = SignedDuration::from_secs(1);

/// What may be sent.
#[derive(Debug, Default)]
pub(super) struct OrderedQueue {
    is_ordered: bool,
    slots: VecDeque<Slot>,
    keys: HashMap<String, KeyQueue>,
    /// For how long one that was put off holds up later ones.
    max_block: SignedDuration,
    /// By user and sequence.
    blockers: HashMap<String, BTreeMap<String, Blocker>>,
    len: usize,
    /// How many of those wait for one of their user that is on its way.
    not_ready: usize,
    /// How many are known and not in line.
    not_loaded: usize,
    /// Users of whom more is to be loaded.
    to_refill: BTreeSet<String>,
}

/// What is to be loaded now.
#[derive(Debug, Default)]
pub(super) struct ToLoad {
    /// By these rows.
    pub(super) rows: Vec<QueueRow>,
    /// By rows that were read before: their sequences and sorts.
    pub(super) not_loaded: Vec<(String, String)>,
}

#[derive(Debug)]
enum Slot {
    Single(Box<DeliveryTask>),
    Key(String),
}

/// Who has something waiting, or on its way.
#[derive(Debug, Default)]
struct KeyQueue {
    waiting: BTreeMap<String, Box<DeliveryTask>>,
    /// What comes after those, by sequence, and when it was due.
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

/// What is to be done with the first in line.
#[derive(Debug)]
pub(super) enum Dequeued {
    /// Send it.
    Send(Box<DeliveryTask>),
    /// It is held up: it comes back then.
    Blocked(Box<DeliveryTask>, Timestamp),
}

impl OrderedQueue {
    /// Whether events of a user go one after the other.
    pub(super) fn is_ordered(&self) -> bool {
        self.is_ordered
    }

    /// An empty line, and what is stuck of each user: user, sequence, until when.
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

    /// How many are in it.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many are in it that wait for no other of their user.
    pub(super) fn ready(&self) -> usize {
        self.len - self.not_ready
    }

    /// How many are known and not in it.
    pub(super) fn not_loaded(&self) -> usize {
        self.not_loaded
    }

    /// Whether something that is known is to be loaded.
    pub(super) fn needs_refill(&self) -> bool {
        !self.to_refill.is_empty()
    }

    /// Which of these rows, and of those that are known, are to be loaded: all that are of no user, and the first few
    /// of each.
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
            // Those of a user who is held up are only put off.
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
            // What is loaded may turn out to have ended.
            if key_queue.needs_refill() {
                self.to_refill.insert(key);
            }
        }
        to_load
    }

    /// Adds one that is due.
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

    /// Takes the first out.
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
            // What comes later, and is due before, waits for it too.
            blockers.insert(sequence, Blocker { due: until, blocks_until: until + self.max_block });
            if key_queue.is_idle() {
                self.keys.remove(&key);
            } else if !key_queue.waiting.is_empty() {
                self.slots.push_back(Slot::Key(key));
            }
            return Some(Dequeued::Blocked(task, until));
        }
    }

    /// One that was taken out, or was not to be sent, is written down: ended, or stuck.
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

    /// Takes all out, and forgets what is known beside; gives their sequences.
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

/// Until when an event waits for the first earlier one of its user that is stuck.
fn blocked_until(blockers: &BTreeMap<String, Blocker>, sequence: &str, now: Timestamp) -> Option<Timestamp> {
    let mut earlier = blockers.range::<str, _>((Unbounded, Excluded(sequence))).map(|(_, blocker)| blocker);
    // To the millisecond, as rows are due: what is put off comes back later than now.
    let first = earlier.find(|it| now.as_millisecond() < it.blocks_until.as_millisecond())?;
    Some(first.due.max(now + BLOCKED_RETRY_DELAY).min(first.blocks_until))
}

#[cfg(test)]
#[path = "ordered_queue_tests.rs"]
mod tests;
