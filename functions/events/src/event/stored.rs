//! An event as it is stored, or the known facts of an invalid one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Call, EventLine};
use crate::response;
use kernel::{
    batch::Name,
    error::Error,
    fault::{self, Fault},
    json,
    provenance::{Provenance, Source},
    store::Item,
};

/// The status of an event, as clients ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventStatus {
    /// It is stored, and its routing follows. A stored item says no more than that.
    Stored,
    /// It was routed to every destination that wants it: its response exists.
    Routed,
    /// It is not valid, and is in quarantine.
    Invalid,
}

/// The sort key of every item: an event has a partition of its own, so that events are spread.
const SORT: &str = "event";

/// The item of an event. The event and its payload are texts, so that no store loses a digit or a repeated name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoredEvent {
    /// Its id.
    pub message_id: String,
    /// [`kernel::provenance::Provenance::sequence`] of the event that was stored under the id.
    pub sequence: String,
    /// The ingest endpoint.
    pub via: Source,
    /// When it arrived.
    pub received_at: Timestamp,
    /// Its status: `stored`, or `invalid`; an invalid event lacks the members below.
    pub outcome: EventStatus,
    /// Its faults, if it is invalid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// The hash of its content.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hash: String,
    /// The kind of call that sent it.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Call>,
    /// Its name.
    #[serde(rename = "name", default, skip_serializing_if = "Option::is_none")]
    pub event_name: Option<String>,
    /// The id of its user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The id of its user while the user is anonymous.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anonymous_id: Option<String>,
    /// When it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
    /// The [`super::Event`], a JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// The event as received, unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// Later events with the same id and other content, newest last; at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<String>,
}

impl StoredEvent {
    /// An event that passed the check.
    pub fn valid(accepted: &EventLine<'_>) -> Result<Self, Error> {
        let event = accepted.event()?;
        Ok(Self {
            outcome: EventStatus::Stored,
            hash: accepted.hash.clone(),
            call: Some(event.call),
            event_name: Some(event.event.into_owned()),
            user_id: event.user_id.map(Into::into),
            anonymous_id: event.anonymous_id.map(Into::into),
            timestamp: Some(event.timestamp),
            event: Some(accepted.event.get().to_owned()),
            payload: Some(accepted.payload.get().to_owned()),
            ..Self::invalid(&accepted.provenance, &[])
        })
    }

    /// The known facts of an event that failed the check, with its first faults.
    pub fn invalid(provenance: &Provenance, faults: &[Fault]) -> Self {
        Self {
            message_id: provenance.message_id.clone(),
            sequence: provenance.sequence(),
            via: provenance.via,
            received_at: provenance.received_at,
            outcome: EventStatus::Invalid,
            faults: faults.iter().take(fault::MAX_LISTED).cloned().collect(),
            hash: String::new(),
            call: None,
            event_name: None,
            user_id: None,
            anonymous_id: None,
            timestamp: None,
            event: None,
            payload: None,
            conflicts: Vec::new(),
        }
    }

    /// Its key.
    pub fn key(tenant: &Name, message_id: &str) -> (String, String) {
        (response::partition(tenant, message_id), SORT.to_owned())
    }

    /// Its item.
    pub fn item(&self, tenant: &Name, version: u64) -> Result<Item, Error> {
        let (partition, sort) = Self::key(tenant, &self.message_id);
        let body = serde_json::to_string(self).map_err(|error| Error::BadInput(json::describe(&error)))?;
        Ok(Item { partition, sort, version, body })
    }

    /// Reads the event of an item.
    pub fn read(item: &Item) -> Result<Self, Error> {
        json::decode(item.body.as_bytes())
    }
}
