//! A batch: records of one kind from one source that arrived together.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The id of a batch: a ULID of 26 characters, made once, at the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(ulid::Ulid);

impl BatchId {
    /// An id for a batch that arrives at `now`; `random` makes it different from other ids of that millisecond.
    pub fn new(now: Timestamp, random: u128) -> Self {
        Self(ulid::Ulid::from_parts(u64::try_from(now.as_millisecond()).unwrap_or(0), random))
    }

    /// The id right after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(ulid::Ulid(self.0.0.saturating_add(1)))
    }

    /// When the id was made.
    pub fn made_at(&self) -> Timestamp {
        i64::try_from(self.0.timestamp_ms())
            .ok()
            .and_then(|ms| Timestamp::from_millisecond(ms).ok())
            .unwrap_or(Timestamp::MAX)
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_string())
    }
}

impl FromStr for BatchId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        ulid::Ulid::from_string(text)
            .map(Self)
            .map_err(|_| Error::BadInput("a batch id is a ULID: 26 letters and digits".into()))
    }
}

/// A short name that may be a path segment: a tenant (`acme_corp`) or a provider (`shopify`, `api`, `file`).
///
/// Invariant: 1 to 64 of `a-z 0-9 _ -`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The tenant of an installation that configures none.
    pub fn default_tenant() -> Self {
        Self("default".to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::BadInput("a tenant or provider is 1 to 64 of a-z, 0-9, _ and -".into()))
        }
    }
}

/// The kind of the records; selects their JSON Schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A person, with their opt-in or opt-out of marketing mail.
    #[default]
    Contact,
    /// Something that a person did, or that happened to them.
    Event,
}

/// The changes to known contacts that an operator permits a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rules {
    /// The batch opts contacts in again who withdrew. Without it, only a record with a later consent time does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resubscribe: bool,
    /// A record is all that is known of its contact: fields that it lacks are deleted. Without it, they remain.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replace: bool,
}

/// The properties of a batch that are known before its records are read. Every step gets them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Batch {
    /// Its id, which is also the name of its execution.
    pub batch_id: BatchId,
    /// The tenant that owns the records.
    pub tenant: Name,
    /// The source of the records: `api`, `file`, `upload`, `replay`, or a vendor.
    pub provider: Name,
    /// The kind of the records.
    #[serde(default)]
    pub kind: Kind,
    /// When the batch arrived, by the clock of that time: for people to read.
    pub received_at: Timestamp,
    /// Its number in the order of batches ([`crate::order`]). A consent statement of a batch with a higher number
    /// replaces one with a lower number. Zero: the batch was made before numbers existed.
    #[serde(default, skip_serializing_if = "crate::json::is_default")]
    pub order: u64,
    /// Of a replay: its own number. Its `order` is the number of the batch that its records belonged to first.
    #[serde(default, skip_serializing_if = "crate::json::is_default")]
    pub replay: u64,
    /// The index of this chunk of a large batch, from zero; `None`: the batch is not cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk: Option<u32>,
    /// The permitted changes to known contacts.
    #[serde(default, skip_serializing_if = "crate::json::is_default")]
    pub rules: Rules,
}

impl Batch {
    /// The chunk's number in object names; `00000` for a batch that is not cut.
    pub fn chunk_label(&self) -> String {
        format!("{:05}", self.chunk.unwrap_or(0))
    }
}

macro_rules! serde_as_text {
    ($($name:ty),*) => {$(
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
serde_as_text!(BatchId, Name);
