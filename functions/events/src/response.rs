//! The response of an event: for each destination, whether it has the event; the seed's table Responses (S0-026 to
//! S0-029).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use kernel::{
    batch::Name,
    destination_name::DestinationName,
    error::Error,
    json,
    provenance::Provenance,
    storable::is_storable,
    store::{Item, Table},
};

/// The table.
pub const TABLE: Table = Table::Responses;
/// The sort key of every item: a response has a partition of its own, so that responses are spread.
pub const SORT: &str = "response";

/// The response of an event. It exists as soon as the event is routed, even if no destination wants the event.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventResponse {
    /// The event's id.
    pub response_id: String,
    /// The payload, or its text if not every table can store it: the result of [`body`]. Null, and not stored, if no
    /// destination wanted the event.
    #[serde(default = "null", skip_serializing_if = "is_null")]
    pub response_body: Box<RawValue>,
    /// For each destination whether the event was delivered.
    pub destinations: BTreeMap<DestinationName, bool>,
    /// The destinations whose filter was not evaluated when the event was routed. A destination that then does not want
    /// the event is removed from here and from `destinations`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub undecided: BTreeSet<DestinationName>,
    /// [`kernel::provenance::Provenance::sequence`].
    pub sequence: String,
}

/// The partition of an event's response, and of the event itself.
pub fn partition(tenant: &Name, message_id: &str) -> String {
    format!("{tenant}/{message_id}")
}

/// The stored form of a payload: the object itself, or its text if not every table can store that.
pub fn body(payload: &RawValue) -> Result<Box<RawValue>, Error> {
    if is_storable(payload.get()) {
        return Ok(payload.to_owned());
    }
    to_raw_value(payload.get()).map_err(|error| Error::BadInput(json::describe(&error)))
}

fn null() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}

fn is_null(body: &RawValue) -> bool {
    body.get() == RawValue::NULL.get()
}

impl EventResponse {
    /// The response of an event that no destination wanted.
    pub fn unrouted(provenance: &Provenance) -> Self {
        Self {
            response_id: provenance.message_id.clone(),
            response_body: null(),
            destinations: BTreeMap::new(),
            undecided: BTreeSet::new(),
            sequence: provenance.sequence(),
        }
    }

    /// Notes that the destination has the event.
    pub fn deliver(&mut self, destination: &DestinationName) {
        self.destinations.insert(destination.clone(), true);
        self.undecided.remove(destination);
    }

    /// Removes a destination that does not want the event and does not have it.
    pub fn leave_out(&mut self, destination: &DestinationName) {
        if self.destinations.get(destination) == Some(&false) {
            self.destinations.remove(destination);
        }
        self.undecided.remove(destination);
    }

    /// Whether a destination still waits for the event, or its delivery failed and may be sent again.
    pub fn has_pending(&self) -> bool {
        self.destinations.values().any(|is_delivered| !is_delivered)
    }

    /// Its item.
    pub fn item(&self, tenant: &Name, version: u64) -> Result<Item, Error> {
        let body = serde_json::to_string(self).map_err(|error| Error::BadInput(json::describe(&error)))?;
        Ok(Item { partition: partition(tenant, &self.response_id), sort: SORT.to_owned(), version, body })
    }

    /// Reads the response of an item.
    pub fn read(item: &Item) -> Result<Self, Error> {
        json::decode(item.body.as_bytes())
    }
}
