//! Queries: the state of a lane, the deliveries of an event, lists of deliveries.

mod failure;
mod listing;

use jiff::Timestamp;
use serde::Serialize;

pub use failure::Failure;
pub use listing::{Filter, Page, list};

use crate::{
    model::{self, Attempt, Delivery, Queued, Status},
    worker::LaneState,
};
use destinations::destination::Destination;
use kernel::{
    batch::Name,
    destination_name::DestinationName,
    error::Error,
    store::{Item, Query, Store},
};

/// How many waiting deliveries are counted at most.
const MAX_COUNTED: usize = 100_000;
/// How many of the first due rows are searched for the oldest event. Rows without an attempt are due in the
/// order of arrival.
const MAX_SAMPLED: usize = 100;

/// The state of a lane.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LaneView {
    /// How many deliveries wait; at most 100,000 are counted.
    pub waiting: usize,
    /// Whether more deliveries wait than were counted.
    pub more: bool,
    /// When the oldest waiting event arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_received_at: Option<Timestamp>,
    /// When the first delivery is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_due_at: Option<Timestamp>,
    /// Since when the circuit breaker is open, if it is: then only one probe a minute is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker_open_since: Option<Timestamp>,
    /// Until when nothing is sent, because the destination asked for time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resting_until: Option<Timestamp>,
    /// Since when all calls have failed, if they have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
}

impl LaneView {
    /// Reads the state of a destination's lane.
    pub async fn read(tenant: &Name, destination: &Destination, store: &impl Store) -> Result<Self, Error> {
        let name = &destination.destination_name;
        let partition = model::partition(tenant, name);
        let all = Query {
            partition: partition.clone(),
            prefix: model::QUEUED_PREFIX.to_owned(),
            after: None,
            descending: false,
            limit: MAX_COUNTED + 1,
        };
        let waiting = store.count(model::TABLE, all).await?;
        let first = range(tenant, name, model::QUEUED_PREFIX, None, MAX_SAMPLED, store).await?;
        // The records are sorted by sequence, and so by arrival.
        let tried = range(tenant, name, Status::Pending.prefix(), None, 1, store).await?;
        let mut arrivals = Vec::with_capacity(first.len() + tried.len());
        for item in &first {
            arrivals.push(model::body::<Queued>(item)?.received_at);
        }
        for item in tried.iter().filter(|_| waiting > 0) {
            arrivals.push(model::body::<Delivery>(item)?.received_at);
        }
        let lane = store.get(model::TABLE, &partition, model::LANE_SORT).await?;
        let lane = LaneState::read(lane.as_ref())?.for_destination(destination);
        let next_due = first.first().and_then(|item| model::queued_parts(&item.sort));
        Ok(Self {
            waiting: waiting.min(MAX_COUNTED),
            more: waiting > MAX_COUNTED,
            oldest_received_at: arrivals.into_iter().min(),
            next_due_at: next_due.map(|(due, _)| due),
            breaker_open_since: lane.open_since(),
            resting_until: lane.backoff_until(),
            failing_since: lane.failing_since(),
        })
    }
}

/// A delivery as the API shows it, without its user.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryView {
    /// The id of the event.
    pub message_id: String,
    /// The destination.
    pub destination: DestinationName,
    /// The status.
    pub status: Status,
    /// When the event arrived.
    pub received_at: Timestamp,
    /// How many attempts of the schedule a waiting delivery has used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tries: Option<u32>,
    /// All attempts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<Vec<Attempt>>,
    /// When the next attempt is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
    /// Why the delivery failed for good, or why the last attempt of a waiting one failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How often the delivery was redriven after it had failed for good.
    pub replays: u32,
    /// [`Destination::made`] of the receiver.
    #[serde(skip)]
    destination_made: Option<i64>,
}

impl DeliveryView {
    /// Whether the delivery is for this destination, and not for an earlier one of the same name.
    fn is_for(&self, destination: &Destination) -> bool {
        destination.is_of(self.destination_made)
    }

    /// Whether this was the failure of the delivery, or of its last attempt.
    fn failed_by(&self, failure: &Failure) -> bool {
        failure.is_of(self.attempts.as_deref().unwrap_or_default(), self.reason.as_deref())
    }

    fn from_record(delivery: Delivery) -> Self {
        let last = delivery.attempts.last().filter(|_| delivery.status == Status::Pending);
        let reason = delivery.reason.or_else(|| last.and_then(Attempt::failure));
        Self {
            message_id: delivery.message_id,
            destination: delivery.destination,
            status: delivery.status,
            received_at: delivery.received_at,
            tries: None,
            attempts: Some(delivery.attempts),
            next_attempt_at: delivery.next_attempt_at,
            reason,
            replays: delivery.replays,
            destination_made: delivery.destination_made,
        }
    }

    /// A waiting delivery, from its queue row and its record, if it has one.
    fn from_row(
        destination: DestinationName,
        queued: Queued,
        due: Timestamp,
        tried: Option<Delivery>,
    ) -> Self {
        let attempts = tried.map(|tried| tried.attempts).unwrap_or_default();
        Self {
            message_id: queued.message_id,
            destination,
            status: Status::Pending,
            received_at: queued.received_at,
            tries: Some(queued.tries),
            reason: attempts.last().and_then(Attempt::failure),
            attempts: Some(attempts),
            next_attempt_at: Some(due),
            replays: queued.replays,
            destination_made: queued.destination_made,
        }
    }
}

/// The deliveries of an event at these destinations; `None`: no attempt yet.
pub async fn of_event(
    tenant: &Name,
    sequence: &str,
    destinations: &[DestinationName],
    store: &impl Store,
) -> Result<Vec<Option<DeliveryView>>, Error> {
    const KINDS: [Status; 3] = [Status::Delivered, Status::Failed, Status::Pending];
    let keys = destinations.iter().flat_map(|name| {
        let partition = model::partition(tenant, name);
        KINDS.map(|status| (partition.clone(), status.sort(sequence)))
    });
    let found = store.get_all(model::TABLE, keys.collect()).await?;
    let one = |rows: &[Option<Item>]| {
        let rows = rows.iter().flatten().map(model::body::<Delivery>).collect::<Result<Vec<_>, _>>()?;
        // After a crash a pending record may remain beside the final one, which counts. During a redrive the
        // record of the failure is pending.
        Ok(rows
            .into_iter()
            .min_by_key(|delivery| delivery.status == Status::Pending)
            .map(DeliveryView::from_record))
    };
    found.chunks(KINDS.len()).map(one).collect()
}

/// Items of a lane with this prefix of the sort key, in order.
pub(crate) async fn range(
    tenant: &Name,
    destination: &DestinationName,
    prefix: &str,
    after: Option<String>,
    limit: usize,
    store: &impl Store,
) -> Result<Vec<Item>, Error> {
    let partition = model::partition(tenant, destination);
    let query = Query { partition, prefix: prefix.to_owned(), after, descending: false, limit };
    Ok(store.query(model::TABLE, query).await?)
}
