//! The line of a valid event in its batch.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Event;
use kernel::{error::Error, json, provenance::Provenance};

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventLine<'a> {
    /// The record's index in the batch, from zero.
    pub index: u64,
    /// Its provenance.
    #[serde(rename = "arrival")]
    pub provenance: Provenance,
    /// The hash of its content: two events of one id are the same if this is equal; 32 hexadecimal digits.
    pub hash: String,
    /// How often a replay sent it out of quarantine.
    #[serde(default)]
    pub retry: u64,
    /// The [`super::Event`].
    #[serde(borrow)]
    pub event: &'a RawValue,
    /// The event as received, unchanged.
    #[serde(borrow)]
    pub payload: &'a RawValue,
}

impl<'a> EventLine<'a> {
    /// The event.
    pub fn event(&self) -> Result<Event<'a>, Error> {
        serde_json::from_str(self.event.get()).map_err(|error| Error::BadInput(json::describe(&error)))
    }

    /// Reads one line.
    pub fn parse(line: &'a [u8]) -> Result<Self, Error> {
        serde_json::from_slice(line).map_err(|error| Error::BadInput(json::describe(&error)))
    }

    /// Writes it as one line, without the line feed.
    pub fn write(&self, to: &mut Vec<u8>) -> Result<(), Error> {
        serde_json::to_writer(to, self).map_err(|error| Error::BadInput(json::describe(&error)))
    }
}
