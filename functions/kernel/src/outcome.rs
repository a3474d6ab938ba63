//! Outcomes: what became of a record. Every record that came in ends in exactly one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Opted in, and stored: new, changed, or opted in again.
    Saved,
    /// What is stored says this already, or something later.
    Unchanged,
    /// Not opted in any more; the address was stored, and is kept with the time it was withdrawn.
    Withdrawn,
    /// Not opted in, and not known (S2-015).
    Ignored,
    /// An earlier record of the batch has the same address (S2-012).
    Duplicate,
    /// An event that is stored and was given to every destination that wants it.
    Routed,
    /// An event whose id stands for another one that came before; in quarantine.
    Conflict,
    /// Refused by the schema or the address check; in quarantine (S2-009).
    Invalid,
    /// A step failed for good before this record was decided; in quarantine, to be replayed.
    Failed,
    /// The operator dropped the batch before this record was decided; nothing of it is kept.
    Cancelled,
}

/// What `quarantine replay` may do with a record of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// It is done; nothing is kept to send again.
    Never,
    /// Send it again when it was corrected, or when the rule changed.
    Corrected,
    /// Send it again as it is.
    AsItIs,
}

impl Outcome {
    /// All outcomes, in the order in which people are shown them.
    pub const ALL: [Self; 10] = [
        Self::Saved,
        Self::Unchanged,
        Self::Withdrawn,
        Self::Ignored,
        Self::Duplicate,
        Self::Routed,
        Self::Conflict,
        Self::Invalid,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Whether only events have it.
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
            Self::Duplicate => "duplicate",
            Self::Routed => "routed",
            Self::Conflict => "conflict",
            Self::Invalid => "invalid",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// One line for a person who asks what the outcome means.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Saved => "opted in and stored",
            Self::Unchanged => "already stored like this, or with something later",
            Self::Withdrawn => "no longer opted in; the address was stored and is kept with the time",
            Self::Ignored => "not opted in and not known",
            Self::Duplicate => "an earlier record of the batch has the same address",
            Self::Routed => "an event: stored, and given to every destination that wants it",
            Self::Conflict => "its id stands for another event; in quarantine",
            Self::Invalid => "refused by the schema or the address check; in quarantine",
            Self::Failed => "a step failed before it was decided; in quarantine",
            Self::Cancelled => "its batch was cancelled before it was decided; not stored, and not kept",
        }
    }

    /// What a replay may do with it.
    pub fn replay(self) -> Replay {
        match self {
            Self::Saved
            | Self::Unchanged
            | Self::Withdrawn
            | Self::Ignored
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

/// How many records had each outcome; in JSON every outcome of contacts by name, zeros too; those of events, and
/// what was cancelled, where there are any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    saved: u64,
    unchanged: u64,
    withdrawn: u64,
    ignored: u64,
    duplicate: u64,
    #[serde(skip_serializing_if = "crate::door::is_default")]
    routed: u64,
    #[serde(skip_serializing_if = "crate::door::is_default")]
    conflict: u64,
    invalid: u64,
    failed: u64,
    #[serde(skip_serializing_if = "crate::door::is_default")]
    cancelled: u64,
}

impl Counts {
    /// How many had `outcome`.
    pub fn of(&self, outcome: Outcome) -> u64 {
        let mut copy = *self;
        *copy.slot(outcome)
    }

    /// `count` more had `outcome`.
    pub fn add(&mut self, outcome: Outcome, count: u64) {
        *self.slot(outcome) += count;
    }

    /// What both counted.
    pub fn merge(&mut self, other: &Self) {
        for outcome in Outcome::ALL {
            self.add(outcome, other.of(outcome));
        }
    }

    /// The sum over all outcomes: what was received.
    pub fn total(&self) -> u64 {
        Outcome::ALL.into_iter().map(|outcome| self.of(outcome)).sum()
    }

    fn slot(&mut self, outcome: Outcome) -> &mut u64 {
        match outcome {
            Outcome::Saved => &mut self.saved,
            Outcome::Unchanged => &mut self.unchanged,
            Outcome::Withdrawn => &mut self.withdrawn,
            Outcome::Ignored => &mut self.ignored,
            Outcome::Duplicate => &mut self.duplicate,
            Outcome::Routed => &mut self.routed,
            Outcome::Conflict => &mut self.conflict,
            Outcome::Invalid => &mut self.invalid,
            Outcome::Failed => &mut self.failed,
            Outcome::Cancelled => &mut self.cancelled,
        }
    }
}
