//! A delivery that is to be sent, with all that its call needs.

use jiff::{SignedDuration, Timestamp};

use crate::model::{self, Attempt, Queued};
use events::response::EventResponse;
use kernel::{error::Error, provenance::Source, store::Item};

/// A queue row: which event is due, and when.
#[derive(Clone, Debug)]
pub(super) struct QueueRow {
    pub(super) sort: String,
    pub(super) due: Timestamp,
    pub(super) sequence: String,
    pub(super) version: u64,
    /// Whether a [`crate::model::Delivery`] is stored beside the row, because of an attempt, a redrive or a
    /// block.
    pub(super) has_record: bool,
    pub(super) queued: Queued,
}

impl QueueRow {
    /// Reads a queue row from its item.
    pub(super) fn read(item: Item) -> Result<Self, Error> {
        let (due, sequence) = row_parts(&item)?;
        let (sequence, queued) = (sequence.to_owned(), model::body::<Queued>(&item)?);
        let has_record = queued.has_record();
        Ok(Self { due, sequence, version: item.version, has_record, queued, sort: item.sort })
    }
}

pub(super) fn row_parts(item: &Item) -> Result<(Timestamp, &str), Error> {
    model::queued_parts(&item.sort)
        .ok_or_else(|| Error::BadInput("a queue row has an invalid sort key".into()))
}

/// The event of a delivery.
#[derive(Clone, Debug)]
pub(super) struct Payload {
    /// The exact text that the client sent.
    pub(super) original: String,
    /// The canonical event, which is the input of filters and mappings.
    pub(super) canonical: String,
    pub(super) via: Source,
}

/// A delivery that is ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct DeliveryTask {
    pub(super) row: QueueRow,
    pub(super) payload: Payload,
    /// The event response, which says that the event is not delivered yet; `None` if it names very many
    /// destinations.
    pub(super) response: Option<VersionedResponse>,
    /// The attempts so far.
    pub(super) attempts: Vec<Attempt>,
}

/// An event response with its version.
#[derive(Clone, Debug)]
pub(super) struct VersionedResponse {
    pub(super) response: EventResponse,
    /// The version that [`kernel::store::Condition::Version`] compares.
    pub(super) version: u64,
}

impl VersionedResponse {
    pub(super) fn read(item: &Item) -> Result<Self, Error> {
        Ok(Self { response: EventResponse::read(item)?, version: item.version })
    }

    pub(super) fn bytes(&self) -> usize {
        self.response.response_body.get().len()
    }
}

impl Payload {
    pub(super) fn bytes(&self) -> usize {
        self.original.len() + self.canonical.len()
    }
}

impl DeliveryTask {
    /// Approximate memory of the task.
    pub(super) fn bytes(&self) -> usize {
        self.payload.bytes() + self.response.as_ref().map_or(0, VersionedResponse::bytes)
    }
}

/// A delivery that blocks later events of its user: it waits for its next attempt, or is itself blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blocker {
    /// When it is tried again.
    pub(super) due: Timestamp,
    /// When it stops blocking.
    pub(super) blocks_until: Timestamp,
}

impl Blocker {
    /// A blocker that is tried again at `due`, and blocks for `max_block` after `since`, or after `due`.
    pub(super) fn since(since: Option<Timestamp>, due: Timestamp, max_block: SignedDuration) -> Self {
        Self { due, blocks_until: since.unwrap_or(due) + max_block }
    }
}
