//! Redrive: deliveries that failed for good are queued again, under the same id. A delivered one never is.
//!
//! There are three writes, and each may be repeated: a pending record, a queue row, and a mark on the record
//! of the failure. The mark is written only if that record is unchanged. Its version is one more than its
//! replays, so a new failure is never mistaken for the old one.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::{
    model::{self, Delivery, Queued, Status, wake_lane},
    query::{Failure, range},
};
use destinations::destination::Destination;
use kernel::{
    batch::Name,
    destination_name::DestinationName,
    error::Error,
    queue::Queue,
    store::{Condition, Item, Store},
};

/// How many deliveries are queued in one write.
const MAX_BATCH: usize = 200;

/// The time in a text: a time like `2026-11-21T08:00:00Z`, or a duration before `now`, like `24h`.
pub fn since(text: &str, now: Timestamp) -> Option<Timestamp> {
    let ago = || now.checked_sub(text.parse::<SignedDuration>().ok()?.abs()).ok();
    text.parse().ok().or_else(ago)
}

/// The failed deliveries to redrive.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Those to this destination,
    pub destination: Destination,
    /// whose last attempt was not before this time,
    pub since: Option<Timestamp>,
    /// with this failure;
    pub failure: Option<Failure>,
    /// at most this many.
    pub limit: usize,
}

impl Selection {
    fn name(&self) -> &DestinationName {
        &self.destination.destination_name
    }

    fn matches(&self, delivery: &Delivery) -> bool {
        delivery.status == Status::Failed
            && delivery.is_for(&self.destination)
            && self.since.is_none_or(|since| ended_at(delivery) >= since)
            && self
                .failure
                .as_ref()
                .is_none_or(|failure| failure.is_of(&delivery.attempts, delivery.reason.as_deref()))
    }
}

/// The result of a redrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Redriven {
    /// How many failed deliveries were selected.
    pub matched: usize,
    /// How many of these were queued.
    pub replayed: usize,
    /// Whether more failed deliveries may match than the limit permits.
    pub more: bool,
}

/// Counts the selected deliveries, and changes nothing.
pub async fn count(tenant: &Name, selection: &Selection, store: &impl Store) -> Result<Redriven, Error> {
    let mut search = Scan::default();
    while search.next(tenant, selection, store).await?.is_some() {}
    Ok(search.found)
}

/// Queues the selected deliveries.
pub async fn redrive(
    tenant: &Name,
    selection: &Selection,
    store: &impl Store,
    queue: &impl Queue,
) -> Result<Redriven, Error> {
    let mut search = Scan::default();
    while let Some(failed) = search.next(tenant, selection, store).await? {
        search.found.replayed += requeue(tenant, selection.name(), failed, store, queue).await?;
    }
    Ok(search.found)
}

/// A scan of the failed deliveries of a lane.
#[derive(Default)]
struct Scan {
    after: Option<String>,
    is_over: bool,
    found: Redriven,
}

impl Scan {
    /// The next selected deliveries; `None`: there are no more, or the limit is reached.
    async fn next(
        &mut self,
        tenant: &Name,
        selection: &Selection,
        store: &impl Store,
    ) -> Result<Option<Vec<(Item, Delivery)>>, Error> {
        while !self.is_over {
            let (name, prefix) = (selection.name(), Status::Failed.prefix());
            let rows = range(tenant, name, prefix, self.after.take(), MAX_BATCH, store).await?;
            let is_last = rows.len() < MAX_BATCH;
            self.after = rows.last().map(|row| row.sort.clone());
            let mut failed = Vec::new();
            for item in rows {
                let delivery: Delivery = model::body(&item)?;
                if selection.matches(&delivery) {
                    failed.push((item, delivery));
                }
            }
            let room = selection.limit - self.found.matched;
            self.found.more = failed.len() > room || (failed.len() == room && !is_last);
            self.is_over = is_last || self.found.more;
            failed.truncate(room);
            self.found.matched += failed.len();
            if !failed.is_empty() {
                return Ok(Some(failed));
            }
        }
        Ok(None)
    }
}

/// Queues some deliveries; returns how many.
async fn requeue(
    tenant: &Name,
    destination: &DestinationName,
    failed: Vec<(Item, Delivery)>,
    store: &impl Store,
    queue: &impl Queue,
) -> Result<usize, Error> {
    let partition = model::partition(tenant, destination);
    let sequence = |item: &Item| item.sort.trim_start_matches(Status::Failed.prefix()).to_owned();
    let delivered =
        failed.iter().map(|(item, _)| (partition.clone(), Status::Delivered.sort(&sequence(item))));
    let delivered = store.get_all(model::TABLE, delivered.collect()).await?;
    let (mut waiting, mut queued, mut marked, mut stale) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for ((item, delivery), delivered) in failed.into_iter().zip(delivered) {
        if delivered.is_some() {
            stale.push((partition.clone(), item.sort));
            continue;
        }
        let (sequence, due) = (sequence(&item), ended_at(&delivery));
        let again = Delivery {
            status: Status::Pending,
            next_attempt_at: Some(due),
            reason: None,
            replays: delivery.replays + 1,
            ..delivery
        };
        let sort = Status::Pending.sort(&sequence);
        waiting.push((model::item(&partition, sort, 1, &again)?, Condition::Absent));
        // Due at the time of the failure, so a repetition writes the same row.
        let sort = model::queued_sort(due, &sequence);
        queued.push((model::item(&partition, sort, 1, &queue_row(&again))?, Condition::Absent));
        let mark = model::item(&partition, item.sort, item.version + 1, &again)?;
        marked.push((mark, Condition::Version(item.version)));
    }
    let count = queued.len();
    store.put_all(model::TABLE, waiting).await?;
    store.put_all(model::TABLE, queued).await?;
    // Before the mark: a repetition of an unmarked redrive wakes the lane too.
    wake_lane(tenant, destination, queue).await?;
    store.put_all(model::TABLE, marked).await?;
    store.delete_all(model::TABLE, stale).await?;
    Ok(count)
}

fn queue_row(delivery: &Delivery) -> Queued {
    Queued {
        message_id: delivery.message_id.clone(),
        received_at: delivery.received_at,
        destination_made: delivery.destination_made,
        user: delivery.user.clone(),
        channel: delivery.channel.clone(),
        tries: 0,
        replays: delivery.replays,
        blocking_since: None,
        filter_pending: delivery.filter_pending,
        failed_at: None,
        throttled_since: None,
    }
}

/// When the delivery failed for good.
fn ended_at(delivery: &Delivery) -> Timestamp {
    delivery.attempts.last().map_or(delivery.received_at, |attempt| attempt.at)
}
