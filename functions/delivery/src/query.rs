//! Deliveries as people ask for them: how a lane stands, what became of an event at each destination, what waits, was
//! delivered or failed; and sending again what failed.

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

/// So many that wait are counted, and no more.
const MAX_COUNTED: usize = 100_000;
/// Among so many that are due first the oldest is looked for: what was never tried is due in the order of arrival.
const MAX_SAMPLED: usize = 100;

/// How a lane stands.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LaneView {
    /// How many deliveries wait; no more than 100,000 are counted.
    pub waiting: usize,
    /// Whether more wait than were counted.
    pub more: bool,
    /// When the event arrived that waits longest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_received_at: Option<Timestamp>,
    /// When the first of them is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_due_at: Option<Timestamp>,
    /// Since when the breaker is open, if it is: nothing is sent then, but one call a minute that shows how the
    /// destination is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker_open_since: Option<Timestamp>,
    /// Until when nothing is sent, since the destination asked for time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resting_until: Option<Timestamp>,
    /// Since when there was nothing but failure, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
}

impl LaneView {
    /// How the lane of a destination stands.
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
        // By their sequences, and so by their arrival.
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
            resting_until: lane.resting_until(),
            failing_since: lane.failing_since(),
        })
    }
}

/// One delivery as people see it. Whose event it is, is not shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryView {
    /// The event.
    pub message_id: String,
    /// Where it goes.
    pub destination: DestinationName,
    /// How it stands.
    pub status: Status,
    /// When the event arrived.
    pub received_at: Timestamp,
    /// How many tries were used up, of one that waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tries: Option<u32>,
    /// Every attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<Vec<Attempt>>,
    /// When it is sent, or sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
    /// Why it failed for good, or why the last try of one that waits failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How often it was sent again after it had failed for good.
    pub replays: u32,
    /// [`Destination::made`] of the one that it is for.
    #[serde(skip)]
    destination_made: Option<i64>,
}

impl DeliveryView {
    /// Whether it is for this destination, and not for one that had its name before.
    fn is_for(&self, destination: &Destination) -> bool {
        destination.is_of(self.destination_made)
    }

    /// Whether it failed by this, or failed so the last time.
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

    /// One that waits, by its row and by what was tried, if anything was.
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

/// How an event stands at destinations that it goes to; `None`: it was not tried there yet.
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
        // A crash may leave a row of what waits beside that of its end, which counts. A failure that is being sent
        // again has a row that says it waits.
        Ok(rows
            .into_iter()
            .min_by_key(|delivery| delivery.status == Status::Pending)
            .map(DeliveryView::from_record))
    };
    found.chunks(KINDS.len()).map(one).collect()
}

/// Items of a lane whose sort begins with `prefix`, in order.
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
