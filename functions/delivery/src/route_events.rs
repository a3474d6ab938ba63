//! RouteEvents: an event goes into the lane of every destination that wants it, and its response says that none
//! has it yet (S0-020, S0-026, S0-029). Every event has a response from here on, so that one can tell those that are
//! routed from those that are only stored.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::{
    model::{self, Queued, Status, Wakeup},
    routes::{FilterRun, Route, Routes, TenantRoutes},
};
use events::{
    event::AcceptedEvent,
    response::{self, Response},
};
use kernel::step::{Decided, Step};
use kernel::{
    arrival::Arrival,
    batch::Name,
    destination_name::DestinationName,
    error::Error,
    ledger::{Part, StagedPart},
    objects::Objects,
    outcome::Outcome,
    queue::{self, Queue, QueueName},
    store::{Condition, Item, Store, Written},
};

/// How many items go to the store at once: bounds memory, and what one transaction holds up.
const BLOCK: usize = 1_000;
/// How often a response that somebody else wrote before is looked at again before the step gives up for now.
const ROUNDS: usize = 8;

/// Routes the events of a batch, which are stored already.
///
/// A destination that wants order gets an event when it is `settle` old, in the order of acceptance: what was accepted
/// before it has come by then, whichever way round the queue gave them out.
pub async fn route_events<S: Store, Q: Queue>(
    step: Step,
    store: &S,
    objects: &Objects,
    queue: &Q,
    routes: &Routes,
    now: Timestamp,
    settle: SignedDuration,
) -> Result<Decided, Error> {
    let Step { batch, records } = step;
    let tenant = &batch.tenant;
    let routes = routes.of(tenant, store, now).await?;
    let mut part = Part::default();
    let mut asked = routes.ask();
    let mut routed = Vec::new();
    let mut lines = records.lines(objects).await?;
    while let Some(line) = lines.next().await? {
        let accepted = AcceptedEvent::parse(line)?;
        part.add(Outcome::Routed, accepted.index);
        routed.push(RoutedEvent::new(&accepted, &routes, &mut asked)?);
    }
    for destination in routes.slow(&asked) {
        tracing::warn!(
            tenant = %tenant,
            destination = %destination,
            "the filter of destination {destination} is slow: its delivery worker evaluates it for the next events"
        );
    }
    for block in routed.chunks(BLOCK) {
        let ways = put_responses(store, tenant, block).await?;
        let touched = put_rows(store, tenant, block, &routes, ways, settle).await?;
        wake(tenant, touched, now, queue).await?;
    }
    Ok(Decided { part: StagedPart::new(&batch, "route-events", part, objects).await? })
}

/// An event, and where it goes.
struct RoutedEvent {
    arrival: Arrival,
    user: Option<String>,
    channel: Option<String>,
    response: Response,
}

impl RoutedEvent {
    fn new(
        accepted: &AcceptedEvent<'_>,
        routes: &TenantRoutes,
        asked: &mut FilterRun,
    ) -> Result<Self, Error> {
        let arrival = accepted.arrival.clone();
        let response = Response::nowhere(&arrival);
        let nowhere = Self { arrival, user: None, channel: None, response };
        if routes.is_empty() {
            return Ok(nowhere);
        }
        let event = accepted.event()?;
        let matching = routes.matching(&event, accepted.event.get(), asked);
        if matching.is_empty() {
            return Ok(nowhere);
        }
        let undecided = matching.iter().filter(|found| !found.is_decided);
        let undecided = undecided.map(|found| found.route.destination.clone()).collect();
        let destinations =
            matching.into_iter().map(|found| (found.route.destination.clone(), false)).collect();
        Ok(Self {
            channel: event.preferred_channel(),
            user: event.user_id.or(event.anonymous_id).map(Into::into),
            response: Response {
                response_body: response::body(accepted.payload)?,
                destinations,
                undecided,
                ..nowhere.response
            },
            arrival: nowhere.arrival,
        })
    }

    /// Its row in the lane that a way leads to; the destination may have been deleted since.
    fn row(
        &self,
        tenant: &Name,
        way: &UnqueuedRow,
        route: Option<&Route>,
        due: Timestamp,
    ) -> Result<Item, Error> {
        let Self { arrival, user, channel, response } = self;
        let queued = Queued {
            message_id: arrival.message_id.clone(),
            received_at: arrival.received_at,
            of: route.map(|route| route.made),
            user: user.clone().filter(|_| route.is_some_and(|route| route.is_ordered)),
            channel: channel.clone().filter(|_| route.is_some_and(|route| route.takes_channel)),
            tries: 0,
            replays: 0,
            stuck_since: None,
            filter_pending: !way.is_decided,
            failed_at: None,
            throttled_since: None,
        };
        let sort = model::queued_sort(due, &response.sequence);
        model::item(&model::partition(tenant, &way.destination), sort, 1, &queued)
    }
}

/// Where one event of a block is still to go.
struct UnqueuedRow {
    /// Its place in the block.
    at: usize,
    destination: DestinationName,
    /// Whether its filter was evaluated, if it has one.
    is_decided: bool,
}

/// Puts the responses of events; gives where those are still to go. What an earlier try put stands: an event
/// goes to the destinations that wanted it then.
async fn put_responses(
    store: &impl Store,
    tenant: &Name,
    block: &[RoutedEvent],
) -> Result<Vec<UnqueuedRow>, Error> {
    let mut ways = Vec::new();
    let mut earlier = Vec::new();
    let mut open: Vec<(usize, Option<u64>)> = (0..block.len()).map(|at| (at, None)).collect();
    for _ in 0..ROUNDS {
        let puts = open.iter().map(|&(at, over)| {
            let condition = over.map_or(Condition::Absent, Condition::Version);
            Ok((block[at].response.item(tenant, over.map_or(1, |over| over + 1))?, condition))
        });
        let written = store.put_all(response::TABLE, puts.collect::<Result<_, Error>>()?).await?;
        let mut again = Vec::new();
        for ((at, _), written) in open.into_iter().zip(written) {
            let ours = &block[at].response;
            match written {
                Written::Done => ways.extend(undelivered(at, ours)),
                Written::Conflict(None) => again.push((at, None)),
                Written::Conflict(Some(item)) => match Response::read(&item)? {
                    known if known.sequence == ours.sequence => earlier.extend(undelivered(at, &known)),
                    // Of an event so old that its id is free again.
                    _ => again.push((at, Some(item.version))),
                },
            }
        }
        if again.is_empty() {
            ways.extend(unknown_to_lanes(store, tenant, block, earlier).await?);
            return Ok(ways);
        }
        open = again;
    }
    Err(Error::StorageUnavailable("responses are being changed by others at the same time".into()))
}

fn undelivered(at: usize, known: &Response) -> impl Iterator<Item = UnqueuedRow> {
    let open = known.destinations.iter().filter(|(_, is_delivered)| !**is_delivered);
    open.map(move |(destination, _)| UnqueuedRow {
        at,
        destination: destination.clone(),
        is_decided: !known.undecided.contains(destination),
    })
}

/// Those of an earlier try's ways of which the lane has not tried anything yet: their rows may never have been put.
async fn unknown_to_lanes(
    store: &impl Store,
    tenant: &Name,
    block: &[RoutedEvent],
    ways: Vec<UnqueuedRow>,
) -> Result<Vec<UnqueuedRow>, Error> {
    let keys = ways.iter().flat_map(|way| {
        let partition = model::partition(tenant, &way.destination);
        let sequence = &block[way.at].response.sequence;
        Status::ALL.map(|status| (partition.clone(), status.sort(sequence)))
    });
    let found = store.get_all(model::TABLE, keys.collect()).await?;
    let is_unknown = found.chunks(Status::ALL.len()).map(|tried| tried.iter().all(Option::is_none));
    Ok(ways.into_iter().zip(is_unknown).filter_map(|(way, is_unknown)| is_unknown.then_some(way)).collect())
}

/// Puts rows into lanes; gives these, and when the last of them is due in each.
async fn put_rows(
    store: &impl Store,
    tenant: &Name,
    block: &[RoutedEvent],
    routes: &TenantRoutes,
    ways: Vec<UnqueuedRow>,
    settle: SignedDuration,
) -> Result<BTreeMap<DestinationName, Timestamp>, Error> {
    let mut rows = Vec::with_capacity(ways.len());
    let mut touched = BTreeMap::new();
    for way in ways {
        // In the lane of one that was deleted since it ends as failed.
        let route = routes.to(&way.destination);
        let waits = if route.is_some_and(|route| route.is_ordered) { settle } else { SignedDuration::ZERO };
        let due = block[way.at].arrival.received_at + waits;
        rows.push((block[way.at].row(tenant, &way, route, due)?, Condition::Absent));
        let last = touched.entry(way.destination).or_insert(due);
        *last = due.max(*last);
    }
    // Neighbours in the store are written one after the other.
    rows.sort_unstable_by(|(a, _), (b, _)| (&a.partition, &a.sort).cmp(&(&b.partition, &b.sort)));
    while !rows.is_empty() {
        let rest = rows.split_off(rows.len().min(BLOCK));
        store.put_all(model::TABLE, std::mem::replace(&mut rows, rest)).await?;
    }
    Ok(touched)
}

/// Wakes lanes, each when all that was put into it is due.
async fn wake(
    tenant: &Name,
    touched: BTreeMap<DestinationName, Timestamp>,
    now: Timestamp,
    queue: &impl Queue,
) -> Result<(), Error> {
    let message =
        |(destination, due)| Wakeup { tenant: tenant.clone(), destination }.message(queue::delay(due, now));
    let wakes = touched.into_iter().map(message).collect::<Result<Vec<_>, Error>>()?;
    if !wakes.is_empty() {
        queue.send(QueueName::Lanes, wakes).await?;
    }
    Ok(())
}
