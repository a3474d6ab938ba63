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

use super::{due::QueueRow, load::DeliveryTask};
use crate::model;

/// So many events of one user are in line, and more are loaded when there are fewer than this.
const FEW: usize = 4;
const FEWER: usize = 2;
/// So many are of one who is held up.
const MANY: usize = 64;

/// What is held up by an event that is due, but not here yet, is looked at again after so long.
const LATER: SignedDuration = SignedDuration::from_secs(1);

/// An event that waits for another try, or behind one that does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blocker {
    /// When it is tried again.
    pub(super) due: Timestamp,
    /// When it no longer holds up others.
    pub(super) free_at: Timestamp,
}

impl Blocker {
    /// One that is tried again at `due`, and holds up others for so long.
    pub(super) fn since(since: Option<Timestamp>, due: Timestamp, hold: SignedDuration) -> Self {
        Self { due, free_at: since.unwrap_or(due) + hold }
    }
}

/// What may be sent.
#[derive(Debug, Default)]
pub(super) struct OrderedQueue {
    is_ordered: bool,
    turns: VecDeque<Slot>,
    users: HashMap<String, KeyQueue>,
    /// For how long one that was put off holds up later ones.
    hold: SignedDuration,
    /// By user and sequence.
    stuck: HashMap<String, BTreeMap<String, Blocker>>,
    len: usize,
    /// How many of those wait for one of their user that is on its way.
    blocked: usize,
    /// How many are known and not in line.
    behind: usize,
    /// Users of whom more is to be loaded.
    hungry: BTreeSet<String>,
}

/// What is to be loaded now.
#[derive(Debug, Default)]
pub(super) struct ToLoad {
    /// By these rows.
    pub(super) rows: Vec<QueueRow>,
    /// By rows that were read before: their sequences and sorts.
    pub(super) behind: Vec<(String, String)>,
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
    behind: BTreeMap<String, Timestamp>,
    is_busy: bool,
}

impl KeyQueue {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.behind.is_empty() && !self.is_busy
    }

    fn is_hungry(&self) -> bool {
        self.waiting.len() < FEWER && !self.behind.is_empty()
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
        hold: SignedDuration,
        stuck: impl IntoIterator<Item = (String, String, Blocker)>,
    ) -> Self {
        let mut line = Self { is_ordered, hold, ..Self::default() };
        for (user, sequence, stuck) in stuck {
            line.stuck.entry(user).or_default().insert(sequence, stuck);
        }
        line
    }

    /// How many are in it.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many are in it that wait for no other of their user.
    pub(super) fn ready(&self) -> usize {
        self.len - self.blocked
    }

    /// How many are known and not in it.
    pub(super) fn behind(&self) -> usize {
        self.behind
    }

    /// Whether something that is known is to be loaded.
    pub(super) fn is_hungry(&self) -> bool {
        !self.hungry.is_empty()
    }

    /// Which of these rows, and of those that are known, are to be loaded: all that are of no user, and the first few
    /// of each.
    pub(super) fn take(&mut self, rows: Vec<QueueRow>) -> ToLoad {
        let mut taken = ToLoad::default();
        let mut fresh = HashMap::new();
        for row in rows {
            let Some(name) = row.queued.user.clone().filter(|_| self.is_ordered) else {
                taken.rows.push(row);
                continue;
            };
            self.users.entry(name.clone()).or_default().behind.insert(row.sequence.clone(), row.due);
            self.behind += 1;
            self.hungry.insert(name);
            fresh.insert(row.sequence.clone(), row);
        }
        for name in std::mem::take(&mut self.hungry) {
            let Some(user) = self.users.get_mut(&name) else { continue };
            // Those of a user who is held up are only put off.
            let is_held = self.stuck.contains_key(&name) && !user.is_busy;
            let mut room = if is_held { MANY } else { FEW }.saturating_sub(user.waiting.len());
            while let Some(first) = user.behind.first_entry() {
                let is_earlier = user.waiting.last_key_value().is_some_and(|(last, _)| first.key() < last);
                if room == 0 && !is_earlier {
                    break;
                }
                room = room.saturating_sub(1);
                self.behind -= 1;
                let (sequence, due) = first.remove_entry();
                match fresh.remove(&sequence) {
                    Some(row) => taken.rows.push(row),
                    None => {
                        let sort = model::queued_sort(due, &sequence);
                        taken.behind.push((sequence, sort));
                    }
                }
            }
            // What is loaded may turn out to have ended.
            if user.is_hungry() {
                self.hungry.insert(name);
            }
        }
        taken
    }

    /// Adds one that is due.
    pub(super) fn push(&mut self, parcel: Box<DeliveryTask>) {
        self.len += 1;
        match self.user_of(&parcel) {
            None => self.turns.push_back(Slot::Single(parcel)),
            Some(name) => {
                let user = self.users.entry(name.clone()).or_default();
                if user.is_busy {
                    self.blocked += 1;
                } else if user.waiting.is_empty() {
                    self.turns.push_back(Slot::Key(name));
                }
                user.waiting.insert(parcel.row.sequence.clone(), parcel);
            }
        }
    }

    /// Takes the first out.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<Dequeued> {
        loop {
            let name = match self.turns.pop_front()? {
                Slot::Single(parcel) => {
                    self.len -= 1;
                    return Some(Dequeued::Send(parcel));
                }
                Slot::Key(name) => name,
            };
            let Some(user) = self.users.get_mut(&name) else { continue };
            let Some((sequence, parcel)) = user.waiting.pop_first() else { continue };
            self.len -= 1;
            if user.is_hungry() {
                self.hungry.insert(name.clone());
            }
            let stuck = self.stuck.get_mut(&name);
            let held = stuck.and_then(|stuck| held_until(stuck, &sequence, now).map(|until| (stuck, until)));
            let Some((stuck, until)) = held else {
                user.is_busy = true;
                self.blocked += user.waiting.len();
                return Some(Dequeued::Send(parcel));
            };
            // What comes later, and is due before, waits for it too.
            stuck.insert(sequence, Blocker { due: until, free_at: until + self.hold });
            if user.is_idle() {
                self.users.remove(&name);
            } else if !user.waiting.is_empty() {
                self.turns.push_back(Slot::Key(name));
            }
            return Some(Dequeued::Blocked(parcel, until));
        }
    }

    /// One that was taken out, or was not to be sent, is written down: ended, or stuck.
    pub(super) fn settle(&mut self, name: &str, sequence: &str, was_sent: bool, stuck: Option<Blocker>) {
        if !self.is_ordered {
            return;
        }
        if let Some(stuck) = stuck {
            self.stuck.entry(name.to_owned()).or_default().insert(sequence.to_owned(), stuck);
        } else if let Some(others) = self.stuck.get_mut(name) {
            others.remove(sequence);
            if others.is_empty() {
                self.stuck.remove(name);
            }
        }
        let Some(user) = self.users.get_mut(name) else { return };
        if was_sent {
            user.is_busy = false;
            self.blocked -= user.waiting.len();
            if !user.waiting.is_empty() {
                self.turns.push_back(Slot::Key(name.to_owned()));
            }
        }
        if user.is_idle() {
            self.users.remove(name);
        }
    }

    /// Takes all out, and forgets what is known beside; gives their sequences.
    pub(super) fn clear(&mut self) -> Vec<String> {
        (self.len, self.blocked, self.behind) = (0, 0, 0);
        self.hungry.clear();
        let mut sequences = Vec::new();
        for turn in std::mem::take(&mut self.turns) {
            if let Slot::Single(parcel) = turn {
                sequences.push(parcel.row.sequence);
            }
        }
        for user in self.users.values_mut() {
            sequences.extend(std::mem::take(&mut user.waiting).into_keys());
            sequences.extend(std::mem::take(&mut user.behind).into_keys());
        }
        self.users.retain(|_, user| user.is_busy);
        sequences
    }

    fn user_of(&self, parcel: &DeliveryTask) -> Option<String> {
        parcel.row.queued.user.clone().filter(|_| self.is_ordered)
    }
}

/// Until when an event waits for the first earlier one of its user that is stuck.
fn held_until(stuck: &BTreeMap<String, Blocker>, sequence: &str, now: Timestamp) -> Option<Timestamp> {
    let mut earlier = stuck.range::<str, _>((Unbounded, Excluded(sequence))).map(|(_, stuck)| stuck);
    // To the millisecond, as rows are due: what is put off comes back later than now.
    let first = earlier.find(|it| now.as_millisecond() < it.free_at.as_millisecond())?;
    Some(first.due.max(now + LATER).min(first.free_at))
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
