//! A delivery that is to be sent, with all that its call needs.

use jiff::{SignedDuration, Timestamp};

use crate::model::{self, Attempt, Queued};
use events::response::Response;
use kernel::{arrival::Via, error::Error, store::Item};

/// A row that says what is to be sent, and when.
#[derive(Clone, Debug)]
pub(super) struct QueueRow {
    pub(super) sort: String,
    pub(super) due: Timestamp,
    pub(super) sequence: String,
    pub(super) version: u64,
    /// Whether something was tried, or it was put off: then a delivery stands beside it that says so.
    pub(super) has_record: bool,
    pub(super) queued: Queued,
}

impl QueueRow {
    /// The row that an item is.
    pub(super) fn read(item: Item) -> Result<Self, Error> {
        let (due, sequence) = row_parts(&item)?;
        let (sequence, queued) = (sequence.to_owned(), model::body::<Queued>(&item)?);
        let has_record = queued.has_record();
        Ok(Self { due, sequence, version: item.version, has_record, queued, sort: item.sort })
    }
}

pub(super) fn row_parts(item: &Item) -> Result<(Timestamp, &str), Error> {
    model::queued_parts(&item.sort)
        .ok_or_else(|| Error::BadInput("a row of the lane has a sort that is none".into()))
}

/// An event as it is sent.
#[derive(Clone, Debug)]
pub(super) struct Payload {
    /// As it came, to the letter.
    pub(super) original: String,
    /// The event in canonical form: what a mapping sees.
    pub(super) canonical: String,
    pub(super) via: Via,
}

/// A delivery with all that it needs.
#[derive(Clone, Debug)]
pub(super) struct DeliveryTask {
    pub(super) row: QueueRow,
    pub(super) payload: Payload,
    /// The response, which says that it was not delivered yet; not at hand where it is of very many destinations.
    pub(super) response: Option<VersionedResponse>,
    /// What was tried before.
    pub(super) attempts: Vec<Attempt>,
}

/// A response as it was read.
#[derive(Clone, Debug)]
pub(super) struct VersionedResponse {
    pub(super) response: Response,
    /// What [`kernel::store::Condition::Version`] compares.
    pub(super) version: u64,
}

impl VersionedResponse {
    pub(super) fn read(item: &Item) -> Result<Self, Error> {
        Ok(Self { response: Response::read(item)?, version: item.version })
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
    /// How much room it takes up, about.
    pub(super) fn bytes(&self) -> usize {
        self.payload.bytes() + self.response.as_ref().map_or(0, VersionedResponse::bytes)
    }
}

/// An event that waits for another try, or behind one that does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blocker {
    /// When it is tried again.
    pub(super) due: Timestamp,
    /// When it no longer holds up others.
    pub(super) blocks_until: Timestamp,
}

impl Blocker {
    /// One that is tried again at `due`, and holds up others for so long.
    pub(super) fn since(since: Option<Timestamp>, due: Timestamp, max_block: SignedDuration) -> Self {
        Self { due, blocks_until: since.unwrap_or(due) + max_block }
    }
}
