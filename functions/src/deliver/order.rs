//! The line of a lane: what is due, in the order in which it may be sent. Where order is kept by user, one call of each
//! user is on its way at a time, and an event that is stuck holds up the later ones of its user, for a while.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    ops::Bound::{Excluded, Unbounded},
};

use jiff::{SignedDuration, Timestamp};

use super::load::Parcel;

/// What is held up by an event that is due, but not here yet, is looked at again after so long.
const LATER: SignedDuration = SignedDuration::from_secs(1);

/// An event that waits for another try, or behind one that does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stuck {
    /// When it is tried again.
    pub(super) due: Timestamp,
    /// When it no longer holds up others.
    pub(super) free_at: Timestamp,
}

/// What may be sent.
#[derive(Debug, Default)]
pub(super) struct Line {
    is_ordered: bool,
    turns: VecDeque<Turn>,
    users: HashMap<String, User>,
    /// For how long one that was put off holds up later ones.
    hold: SignedDuration,
    /// By user and sequence.
    stuck: HashMap<String, BTreeMap<String, Stuck>>,
    len: usize,
}

#[derive(Debug)]
enum Turn {
    One(Box<Parcel>),
    Of(String),
}

/// Who has something waiting, or on its way.
#[derive(Debug, Default)]
struct User {
    waiting: BTreeMap<String, Box<Parcel>>,
    is_busy: bool,
}

/// What is to be done with the first in line.
#[derive(Debug)]
pub(super) enum Next {
    /// Send it.
    Send(Box<Parcel>),
    /// It is held up: it comes back then.
    PutOff(Box<Parcel>, Timestamp),
}

impl Line {
    /// An empty line, and what is stuck of each user: user, sequence, until when.
    pub(super) fn new(
        is_ordered: bool,
        hold: SignedDuration,
        stuck: impl IntoIterator<Item = (String, String, Stuck)>,
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

    /// Adds one that is due.
    pub(super) fn push(&mut self, parcel: Box<Parcel>) {
        self.len += 1;
        match self.user_of(&parcel) {
            None => self.turns.push_back(Turn::One(parcel)),
            Some(name) => {
                let user = self.users.entry(name.clone()).or_default();
                if !user.is_busy && user.waiting.is_empty() {
                    self.turns.push_back(Turn::Of(name));
                }
                user.waiting.insert(parcel.row.sequence.clone(), parcel);
            }
        }
    }

    /// Takes the first out.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<Next> {
        loop {
            let name = match self.turns.pop_front()? {
                Turn::One(parcel) => {
                    self.len -= 1;
                    return Some(Next::Send(parcel));
                }
                Turn::Of(name) => name,
            };
            let Some(user) = self.users.get_mut(&name) else { continue };
            let Some((sequence, parcel)) = user.waiting.pop_first() else { continue };
            self.len -= 1;
            let stuck = self.stuck.get_mut(&name);
            let held = stuck.and_then(|stuck| held_until(stuck, &sequence, now).map(|until| (stuck, until)));
            let Some((stuck, until)) = held else {
                user.is_busy = true;
                return Some(Next::Send(parcel));
            };
            // What comes later, and is due before, waits for it too.
            stuck.insert(sequence, Stuck { due: until, free_at: until + self.hold });
            if user.waiting.is_empty() {
                self.users.remove(&name);
            } else {
                self.turns.push_back(Turn::Of(name));
            }
            return Some(Next::PutOff(parcel, until));
        }
    }

    /// One that was taken out is written down: ended, or stuck.
    pub(super) fn settle(&mut self, name: &str, sequence: &str, was_sent: bool, stuck: Option<Stuck>) {
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
        let Some(user) = self.users.get_mut(name).filter(|_| was_sent) else { return };
        user.is_busy = false;
        if user.waiting.is_empty() {
            self.users.remove(name);
        } else {
            self.turns.push_back(Turn::Of(name.to_owned()));
        }
    }

    /// Takes all out; gives their sequences.
    pub(super) fn clear(&mut self) -> Vec<String> {
        self.len = 0;
        let mut sequences = Vec::new();
        for turn in std::mem::take(&mut self.turns) {
            if let Turn::One(parcel) = turn {
                sequences.push(parcel.row.sequence);
            }
        }
        for user in self.users.values_mut() {
            sequences.extend(std::mem::take(&mut user.waiting).into_keys());
        }
        self.users.retain(|_, user| user.is_busy);
        sequences
    }

    fn user_of(&self, parcel: &Parcel) -> Option<String> {
        parcel.row.queued.user.clone().filter(|_| self.is_ordered)
    }
}

/// Until when an event waits for the first earlier one of its user that is stuck.
fn held_until(stuck: &BTreeMap<String, Stuck>, sequence: &str, now: Timestamp) -> Option<Timestamp> {
    let mut earlier = stuck.range::<str, _>((Unbounded, Excluded(sequence))).map(|(_, stuck)| stuck);
    let first = earlier.find(|it| now < it.free_at)?;
    Some(first.due.max(now + LATER).min(first.free_at))
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
