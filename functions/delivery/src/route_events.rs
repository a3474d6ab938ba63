//! RouteEvents: adds each event to the lane of every destination that wants it, and writes its event
//! response, which says that none has it yet (S0-020, S0-026, S0-029). Every routed event has a response,
//! which distinguishes it from an event that is only stored.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::{
    model::{self, Queued, Status, Wakeup},
    routes::{FilterRun, Route, Routes, TenantRoutes},
};
use events::{
    event::EventLine,
    response::{self, EventResponse},
};
use kernel::step::{Decided, Step};
use kernel::{
    batch::Name,
    destination_name::DestinationName,
    error::Error,
    ledger::{Part, StagedPart},
    objects::Objects,
    outcome::Outcome,
    provenance::Provenance,
    queue::{self, Queue, QueueName},
    store::{Condition, Item, Store, Written},
};

/// How many items one call to storage has: bounds the memory, and the length of a transaction.
const MAX_BLOCK_ITEMS: usize = 1_000;
/// How often a response that another event has is read again before the step fails for now.
const MAX_ROUNDS: usize = 8;

/// Routes the stored events of a batch.
///
/// A row of a destination with ordering is due `ordering_delay` after acceptance: by then every earlier event
/// of its user is in the lane too, even if the events queue swapped them.
pub async fn route_events<S: Store, Q: Queue>(
    step: Step,
    store: &S,
    objects: &Objects,
    queue: &Q,
    routes: &Routes,
    now: Timestamp,
    ordering_delay: SignedDuration,
) -> Result<Decided, Error> {
    let Step { batch, records } = step;
    let tenant = &batch.tenant;
    let routes = routes.for_tenant(tenant, store, now).await?;
    let mut part = Part::default();
    let mut filter_run = routes.start_filter_run();
    let mut routed = Vec::new();
    let mut lines = records.lines(objects).await?;
    while let Some(line) = lines.next().await? {
        let accepted = EventLine::parse(line)?;
        part.add(Outcome::Routed, accepted.index);
        routed.push(RoutedEvent::new(&accepted, &routes, &mut filter_run)?);
    }
    for destination in routes.slow_destinations(&filter_run) {
        tracing::warn!(
            tenant = %tenant,
            destination = %destination,
            "the filter of destination {destination} is slow: its delivery worker evaluates it for the next events"
        );
    }
    for block in routed.chunks(MAX_BLOCK_ITEMS) {
        let unqueued = put_responses(store, tenant, block).await?;
        let lanes = put_rows(store, tenant, block, &routes, unqueued, ordering_delay).await?;
        send_wakeups(tenant, lanes, now, queue).await?;
    }
    Ok(Decided { part: StagedPart::new(&batch, "route-events", part, objects).await? })
}

/// An event with its destinations.
struct RoutedEvent {
    provenance: Provenance,
    user: Option<String>,
    channel: Option<String>,
    response: EventResponse,
}

impl RoutedEvent {
    fn new(
        accepted: &EventLine<'_>,
        routes: &TenantRoutes,
        filter_run: &mut FilterRun,
    ) -> Result<Self, Error> {
        let provenance = accepted.provenance.clone();
        let response = EventResponse::unrouted(&provenance);
        let unrouted = Self { provenance, user: None, channel: None, response };
        if routes.is_empty() {
            return Ok(unrouted);
        }
        let event = accepted.event()?;
        let matching = routes.matching(&event, accepted.event.get(), filter_run);
        if matching.is_empty() {
            return Ok(unrouted);
        }
        let undecided = matching.iter().filter(|found| !found.is_decided);
        let undecided = undecided.map(|found| found.route.destination.clone()).collect();
        let destinations =
            matching.into_iter().map(|found| (found.route.destination.clone(), false)).collect();
        Ok(Self {
            channel: event.preferred_channel(),
            user: event.user_id.or(event.anonymous_id).map(Into::into),
            response: EventResponse {
                response_body: response::body(accepted.payload)?,
                destinations,
                undecided,
                ..unrouted.response
            },
            provenance: unrouted.provenance,
        })
    }

    /// The queue row in the lane of a destination, which may have been deleted since.
    fn row(
        &self,
        tenant: &Name,
        row: &UnqueuedRow,
        route: Option<&Route>,
        due: Timestamp,
    ) -> Result<Item, Error> {
        let Self { provenance, user, channel, response } = self;
        let queued = Queued {
            message_id: provenance.message_id.clone(),
            received_at: provenance.received_at,
            destination_made: route.map(|route| route.destination_made),
            user: user.clone().filter(|_| route.is_some_and(|route| route.is_ordered)),
            channel: channel.clone().filter(|_| route.is_some_and(|route| route.takes_channel)),
            tries: 0,
            replays: 0,
            blocking_since: None,
            filter_pending: !row.is_decided,
            failed_at: None,
            throttled_since: None,
        };
        let sort = model::queued_sort(due, &response.sequence);
        model::item(&model::partition(tenant, &row.destination), sort, 1, &queued)
    }
}

/// A row that is not in its lane yet.
struct UnqueuedRow {
    /// The index of the event in the block.
    at: usize,
    destination: DestinationName,
    /// Whether the filter of the destination was evaluated, if it has one.
    is_decided: bool,
}

/// Writes the responses of events; returns the rows to add. If an earlier try wrote the response, its
/// destinations count.
async fn put_responses(
    store: &impl Store,
    tenant: &Name,
    block: &[RoutedEvent],
) -> Result<Vec<UnqueuedRow>, Error> {
    let mut rows = Vec::new();
    let mut of_earlier_try = Vec::new();
    let mut unwritten: Vec<(usize, Option<u64>)> = (0..block.len()).map(|at| (at, None)).collect();
    for _ in 0..MAX_ROUNDS {
        let puts = unwritten.iter().map(|&(at, replaced)| {
            let condition = replaced.map_or(Condition::Absent, Condition::Version);
            Ok((block[at].response.item(tenant, replaced.map_or(1, |replaced| replaced + 1))?, condition))
        });
        let written = store.put_all(response::TABLE, puts.collect::<Result<_, Error>>()?).await?;
        let mut conflicts = Vec::new();
        for ((at, _), written) in unwritten.into_iter().zip(written) {
            let ours = &block[at].response;
            match written {
                Written::Done => rows.extend(undelivered(at, ours)),
                Written::Conflict(None) => conflicts.push((at, None)),
                Written::Conflict(Some(item)) => match EventResponse::read(&item)? {
                    stored if stored.sequence == ours.sequence => {
                        of_earlier_try.extend(undelivered(at, &stored))
                    }
                    // The response of an event that is so old that its id is free again.
                    _ => conflicts.push((at, Some(item.version))),
                },
            }
        }
        if conflicts.is_empty() {
            rows.extend(not_queued_yet(store, tenant, block, of_earlier_try).await?);
            return Ok(rows);
        }
        unwritten = conflicts;
    }
    Err(Error::StorageUnavailable("other steps change the same event responses at this time".into()))
}

fn undelivered(at: usize, stored: &EventResponse) -> impl Iterator<Item = UnqueuedRow> {
    let undelivered = stored.destinations.iter().filter(|(_, is_delivered)| !**is_delivered);
    undelivered.map(move |(destination, _)| UnqueuedRow {
        at,
        destination: destination.clone(),
        is_decided: !stored.undecided.contains(destination),
    })
}

/// The rows of an earlier try's destinations whose lanes have no record of the event: these rows may be
/// missing.
async fn not_queued_yet(
    store: &impl Store,
    tenant: &Name,
    block: &[RoutedEvent],
    rows: Vec<UnqueuedRow>,
) -> Result<Vec<UnqueuedRow>, Error> {
    let keys = rows.iter().flat_map(|row| {
        let partition = model::partition(tenant, &row.destination);
        let sequence = &block[row.at].response.sequence;
        Status::ALL.map(|status| (partition.clone(), status.sort(sequence)))
    });
    let found = store.get_all(model::TABLE, keys.collect()).await?;
    let is_unknown = found.chunks(Status::ALL.len()).map(|tried| tried.iter().all(Option::is_none));
    Ok(rows.into_iter().zip(is_unknown).filter_map(|(row, is_unknown)| is_unknown.then_some(row)).collect())
}

/// Adds rows to lanes; returns the lanes, and when the last new row of each is due.
async fn put_rows(
    store: &impl Store,
    tenant: &Name,
    block: &[RoutedEvent],
    routes: &TenantRoutes,
    unqueued: Vec<UnqueuedRow>,
    ordering_delay: SignedDuration,
) -> Result<BTreeMap<DestinationName, Timestamp>, Error> {
    let mut rows = Vec::with_capacity(unqueued.len());
    let mut lanes = BTreeMap::new();
    for row in unqueued {
        // If the destination was deleted since, the delivery fails in its lane.
        let route = routes.to_destination(&row.destination);
        let waits =
            if route.is_some_and(|route| route.is_ordered) { ordering_delay } else { SignedDuration::ZERO };
        let due = block[row.at].provenance.received_at + waits;
        rows.push((block[row.at].row(tenant, &row, route, due)?, Condition::Absent));
        let last = lanes.entry(row.destination).or_insert(due);
        *last = due.max(*last);
    }
    // Rows of one lane are neighbours in the store.
    rows.sort_unstable_by(|(a, _), (b, _)| (&a.partition, &a.sort).cmp(&(&b.partition, &b.sort)));
    while !rows.is_empty() {
        let rest = rows.split_off(rows.len().min(MAX_BLOCK_ITEMS));
        store.put_all(model::TABLE, std::mem::replace(&mut rows, rest)).await?;
    }
    Ok(lanes)
}

/// Wakes each lane when all its new rows are due.
async fn send_wakeups(
    tenant: &Name,
    lanes: BTreeMap<DestinationName, Timestamp>,
    now: Timestamp,
    queue: &impl Queue,
) -> Result<(), Error> {
    let message =
        |(destination, due)| Wakeup { tenant: tenant.clone(), destination }.message(queue::delay(due, now));
    let wakeups = lanes.into_iter().map(message).collect::<Result<Vec<_>, Error>>()?;
    if !wakeups.is_empty() {
        queue.send(QueueName::Lanes, wakeups).await?;
    }
    Ok(())
}
