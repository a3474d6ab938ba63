//! Events on their way in: what one request brought, as it lies in the queue, and where each event came from.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    batch::{Batch, BatchId, Kind, Name},
    error::Error,
};

/// The door that events came in by. It decides which names of fields an event is read by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// `POST /track` (S0-002).
    Track,
    /// `POST /events`.
    Events,
    /// `POST /v1/batch` and its kin, in Segment's format.
    Segment,
    /// crmflow itself: what an operator should hear of.
    Crmflow,
}

impl Via {
    /// The provider under which its events are kept.
    pub fn provider(self) -> &'static str {
        match self {
            Self::Track => "track",
            Self::Events => "events",
            Self::Segment => "segment",
            Self::Crmflow => "crmflow",
        }
    }
}

/// The events of one request: one message of the queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Arrivals<'a> {
    /// The id of the request: a ULID, made at the edge, later ones greater.
    pub id: BatchId,
    /// Whose events these are.
    pub tenant: Name,
    /// The door.
    pub via: Via,
    /// When they arrived.
    pub received_at: Timestamp,
    /// When the client says that it sent them; what its clock is corrected by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
    /// How often they were sent again out of quarantine.
    #[serde(default, skip_serializing_if = "crate::door::is_default")]
    pub retry: u64,
    /// The events, in the order in which they stood in the body.
    pub events: Vec<Incoming<'a>>,
}

/// One event of a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Incoming<'a> {
    /// Its id: the client's, or a UUID made at the edge.
    pub message_id: Cow<'a, str>,
    /// The event, to the letter.
    pub record: Cow<'a, RawValue>,
}

/// Where one event came from. The same event in another try of its message has the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Arrival {
    /// The request that brought it.
    pub id: BatchId,
    /// Its place in that request, from zero.
    pub index: u32,
    /// Its id.
    pub message_id: String,
    /// The door.
    pub via: Via,
    /// When it arrived.
    pub received_at: Timestamp,
    /// When the client says that it sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
}

impl Arrival {
    /// What stands for it in keys: `<ULID>-<index>`, sorted as it arrived.
    pub fn sequence(&self) -> String {
        format!("{}-{:05}", self.id, self.index)
    }

    /// The request that brought it, as a batch of its own: what its quarantine is named after.
    pub fn batch(&self, tenant: &Name) -> Result<Batch, Error> {
        Ok(Batch {
            batch_id: self.id,
            tenant: tenant.clone(),
            provider: self.via.provider().parse()?,
            kind: Kind::Event,
            received_at: self.received_at,
            order: 0,
            replay: 0,
            chunk: None,
        })
    }
}

/// The UUID (version 7, RFC 9562) of an event whose client gave it none: the time in milliseconds, and behind it bits
/// that are as good as random. Such ids lie beside each other in an index as they come, which is several times less to
/// write than ids that lie anywhere.
pub fn message_id(at: Timestamp, bits: u128) -> String {
    let milliseconds = u128::try_from(at.as_millisecond()).unwrap_or(0);
    versioned(7, milliseconds << 80 | bits & (u128::MAX >> 48))
}

/// The UUID (version 4) of some bits that are as good as random.
pub fn uuid(bits: u128) -> String {
    versioned(4, bits)
}

fn versioned(version: u128, bits: u128) -> String {
    let (version, variant) = (version << 12 | (bits >> 64) & 0xFFF, 0x8000 | (bits >> 48) & 0x3FFF);
    format!(
        "{:08x}-{:04x}-{version:04x}-{variant:04x}-{:012x}",
        (bits >> 96) & 0xFFFF_FFFF,
        (bits >> 80) & 0xFFFF,
        bits & 0xFFFF_FFFF_FFFF,
    )
}
