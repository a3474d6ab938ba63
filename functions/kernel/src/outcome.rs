//! Outcomes: the final result of a record. Every received record has exactly one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The final result of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Opted in, and stored: new, changed, or opted in again.
    Saved,
    /// The stored contact has this consent statement already, or a later one.
    Unchanged,
    /// Not opted in any more; the address stays stored, with the time of the withdrawal.
    Withdrawn,
    /// Not opted in, and not a known address (S2-015).
    Ignored,
    /// Opted in, without a sign that the contact agreed again after the withdrawal; nothing is changed.
    Suppressed,
    /// An earlier record of the batch has the same address (S2-012).
    Duplicate,
    /// An event that is stored and routed to every destination that wants it.
    Routed,
    /// An event whose id belongs to another event that arrived before; in quarantine.
    Conflict,
    /// Refused by the schema or the address check; in quarantine (S2-009).
    Invalid,
    /// A step failed permanently before it decided this record; in quarantine, for a replay.
    Failed,
    /// The operator cancelled the batch before a step decided this record; it is stored nowhere.
    Cancelled,
}

/// How `quarantine replay` may send a record of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// Not at all: the record is done, and nothing of it is in quarantine.
    Never,
    /// After a correction of the record, or a change of the rule.
    Corrected,
    /// Unchanged.
    AsItIs,
}

impl Outcome {
    /// All outcomes, in the order in which people see them.
    pub const ALL: [Self; 11] = [
        Self::Saved,
        Self::Unchanged,
        Self::Withdrawn,
        Self::Ignored,
        Self::Suppressed,
        Self::Duplicate,
        Self::Routed,
        Self::Conflict,
        Self::Invalid,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Whether only events have this outcome.
    pub fn is_of_events(self) -> bool {
        matches!(self, Self::Routed | Self::Conflict)
    }

    /// The name in JSON, in summaries and in paths.
    pub fn name(self) -> &'static str {
        match self {
            Self::Saved => "saved",
            Self::Unchanged => "unchanged",
            Self::Withdrawn => "withdrawn",
            Self::Ignored => "ignored",
            Self::Suppressed => "suppressed",
            Self::Duplicate => "duplicate",
            Self::Routed => "routed",
            Self::Conflict => "conflict",
            Self::Invalid => "invalid",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The outcome with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }

    /// One line that explains the outcome to a person.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Saved => "opted in and stored",
            Self::Unchanged => "already stored like this, or with something later",
            Self::Withdrawn => "no longer opted in; the address was stored and is kept with the time",
            Self::Ignored => "not opted in and not known",
            Self::Suppressed => "opted in, but withdrawn before, and no later consent is shown; unchanged",
            Self::Duplicate => "an earlier record of the batch has the same address",
            Self::Routed => "an event: stored, and given to every destination that wants it",
            Self::Conflict => "its id stands for another event; in quarantine",
            Self::Invalid => "refused by the schema or the address check; in quarantine",
            Self::Failed => "a step failed before it was decided; in quarantine",
            Self::Cancelled => "its batch was cancelled before it was decided; not stored, and not kept",
        }
    }

    /// How a replay may send its records.
    pub fn replay(self) -> Replay {
        match self {
            Self::Saved
            | Self::Unchanged
            | Self::Withdrawn
            | Self::Ignored
            | Self::Suppressed
            | Self::Duplicate
            | Self::Routed
            | Self::Cancelled => Replay::Never,
            Self::Conflict | Self::Invalid => Replay::Corrected,
            Self::Failed => Replay::AsItIs,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How many records had each outcome. JSON has every outcome of contacts by name, zeros too. It has the outcomes of
/// events, `suppressed` and `cancelled` only if they are not zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    saved: u64,
    unchanged: u64,
    withdrawn: u64,
    ignored: u64,
    #[serde(skip_serializing_if = "crate::json::is_default")]
    suppressed: u64,
    duplicate: u64,
    #[serde(skip_serializing_if = "crate::json::is_default")]
    routed: u64,
    #[serde(skip_serializing_if = "crate::json::is_default")]
    conflict: u64,
    invalid: u64,
    failed: u64,
    #[serde(skip_serializing_if = "crate::json::is_default")]
    cancelled: u64,
}

impl Counts {
    /// How many records had `outcome`.
    pub fn of(&self, outcome: Outcome) -> u64 {
        let mut copy = *self;
        *copy.slot(outcome)
    }

    /// Adds `count` records with `outcome`.
    pub fn add(&mut self, outcome: Outcome, count: u64) {
        *self.slot(outcome) += count;
    }

    /// Adds the counts of another.
    pub fn merge(&mut self, other: &Self) {
        for outcome in Outcome::ALL {
            self.add(outcome, other.of(outcome));
        }
    }

    /// The sum over all outcomes: the number of received records.
    pub fn total(&self) -> u64 {
        Outcome::ALL.into_iter().map(|outcome| self.of(outcome)).sum()
    }

    fn slot(&mut self, outcome: Outcome) -> &mut u64 {
        match outcome {
            Outcome::Saved => &mut self.saved,
            Outcome::Unchanged => &mut self.unchanged,
            Outcome::Withdrawn => &mut self.withdrawn,
            Outcome::Ignored => &mut self.ignored,
            Outcome::Suppressed => &mut self.suppressed,
            Outcome::Duplicate => &mut self.duplicate,
            Outcome::Routed => &mut self.routed,
            Outcome::Conflict => &mut self.conflict,
            Outcome::Invalid => &mut self.invalid,
            Outcome::Failed => &mut self.failed,
            Outcome::Cancelled => &mut self.cancelled,
        }
    }
}
