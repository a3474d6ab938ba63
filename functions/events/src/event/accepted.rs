//! An event that passed the check: one line of the valid records of its batch.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Event;
use kernel::{arrival::Arrival, door, error::Error};

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AcceptedEvent<'a> {
    /// Its place in the batch, from zero.
    pub index: u64,
    /// Where it came from.
    pub arrival: Arrival,
    /// What stands for its content: two events of one id are the same if this is; 32 hexadecimal digits.
    pub hash: String,
    /// How often it was sent again out of quarantine.
    #[serde(default)]
    pub retry: u64,
    /// The [`super::Event`].
    #[serde(borrow)]
    pub event: &'a RawValue,
    /// The event as it came, to the letter.
    #[serde(borrow)]
    pub payload: &'a RawValue,
}

impl<'a> AcceptedEvent<'a> {
    /// The event.
    pub fn event(&self) -> Result<Event<'a>, Error> {
        serde_json::from_str(self.event.get()).map_err(|error| Error::BadInput(door::describe(&error)))
    }

    /// Reads one line.
    pub fn parse(line: &'a [u8]) -> Result<Self, Error> {
        serde_json::from_slice(line).map_err(|error| Error::BadInput(door::describe(&error)))
    }

    /// Writes it as one line, without the line feed.
    pub fn write(&self, to: &mut Vec<u8>) -> Result<(), Error> {
        serde_json::to_writer(to, self).map_err(|error| Error::BadInput(door::describe(&error)))
    }
}
