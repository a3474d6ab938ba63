//! Events before the flow: one ingest request as a message of the queue, and the provenance of each event.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    batch::{Batch, BatchId, Kind, Name},
    error::Error,
};

/// The ingest endpoint of an event, or its format. It decides by which field names an event is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// `POST /track` (S0-002).
    Track,
    /// `POST /events`.
    Events,
    /// `POST /v1/batch` and the other endpoints in Segment's format.
    Segment,
    /// crmflow itself, for a notification that an operator should read.
    Crmflow,
}

impl Source {
    /// The provider under which its events are stored.
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
pub struct IngestRequest<'a> {
    /// The id of the request: a ULID, made at the edge, later ones greater.
    pub id: BatchId,
    /// The tenant of the events.
    pub tenant: Name,
    /// The ingest endpoint.
    pub via: Source,
    /// When the request arrived.
    pub received_at: Timestamp,
    /// The send time by the client's clock. The check corrects the client's times by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
    /// How often a replay sent the events out of quarantine.
    #[serde(default, skip_serializing_if = "crate::json::is_default")]
    pub retry: u64,
    /// The events, in the order of the body.
    pub events: Vec<IngestEvent<'a>>,
}

/// One event of a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IngestEvent<'a> {
    /// Its id: the client's, or a UUID made at the edge.
    pub message_id: Cow<'a, str>,
    /// The event's text, unchanged.
    pub record: Cow<'a, RawValue>,
}

/// The provenance of one event: its ingest request and its index there. Every attempt at its message has the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Provenance {
    /// The ingest request.
    pub id: BatchId,
    /// The event's index in that request, from zero.
    pub index: u32,
    /// The event's id.
    pub message_id: String,
    /// The ingest endpoint.
    pub via: Source,
    /// When the request arrived.
    pub received_at: Timestamp,
    /// The send time by the client's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
}

impl Provenance {
    /// The sort key of the event: `<ULID>-<index>`, in order of arrival.
    pub fn sequence(&self) -> String {
        format!("{}-{:05}", self.id, self.index)
    }

    /// The ingest request as a batch of its own. The event's quarantine objects are named after it.
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
            rules: crate::Rules::default(),
        })
    }
}

/// The UUID (version 7, RFC 9562) of an event without a client's id: the time in milliseconds, then bits that are as
/// good as random. New ids are neighbours in an index, which needs several times fewer writes than ids without order.
pub fn message_id(at: Timestamp, bits: u128) -> String {
    let milliseconds = u128::try_from(at.as_millisecond()).unwrap_or(0);
    versioned(7, milliseconds << 80 | bits & (u128::MAX >> 48))
}

/// The UUID (version 4) of bits that are as good as random.
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
