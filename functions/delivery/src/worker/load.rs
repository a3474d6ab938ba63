//! Loads what a call needs beside its row: the event, its response, and the earlier attempts. These also show
//! whether the row is left over from a crash, and its delivery is settled or requeued.

use jiff::{SignedDuration, Timestamp};

use super::{
    settlement::{Disposition, Settlement},
    task::{DeliveryTask, Payload, QueueRow, VersionedResponse},
};
use crate::model::{self, Delivery, Status, TABLE, Wakeup};
use events::{event::StoredEvent, response};
use kernel::{
    error::Error,
    store::{Item, Store, Table},
};

/// How long a row waits if its event or response is missing.
const MISSING_RETRY_DELAY: SignedDuration = SignedDuration::from_secs(1);
/// How long after its arrival an event may be missing before the delivery fails.
const MISSING_GIVE_UP_AFTER: SignedDuration = SignedDuration::from_mins(5);

/// A response that names more destinations than this is not buffered, because as many lanes would buffer it.
/// It is read again before it is changed.
const MAX_BUFFERED_DESTINATIONS: usize = 100;

/// The state of a row by the stored items.
#[derive(Debug)]
pub(super) enum Loaded {
    /// It can be sent.
    Ready(Box<DeliveryTask>),
    /// It is settled without a call.
    Resolved(Box<Settlement>),
}

/// Loads the events of rows. Rows that were due by `recover_until` may belong to settled deliveries.
pub(super) async fn load(
    wakeup: &Wakeup,
    rows: Vec<QueueRow>,
    recover_until: Option<Timestamp>,
    now: Timestamp,
    store: &impl Store,
) -> Result<Vec<Loaded>, Error> {
    let ids = || rows.iter().map(|row| row.queued.message_id.as_str());
    let events = ids().map(|id| StoredEvent::key(&wakeup.tenant, id)).collect();
    let responses =
        ids().map(|id| (response::partition(&wakeup.tenant, id), response::SORT.to_owned())).collect();
    let events = store.get_all(Table::Events, events).await?;
    let responses = store.get_all(response::TABLE, responses).await?;
    let histories = load_history(wakeup, &rows, recover_until, store).await?;
    let mut loaded = Vec::with_capacity(rows.len());
    for (((row, event), response), history) in rows.into_iter().zip(events).zip(responses).zip(histories) {
        let event = event.as_ref().map(StoredEvent::read).transpose()?;
        let event = event.filter(|event| event.sequence == row.sequence);
        loaded.push(resolve(wakeup, row, event, response, history, now)?);
    }
    Ok(loaded)
}

/// The records of a delivery.
#[derive(Debug, Default)]
struct History {
    delivered: Option<Delivery>,
    failed: Option<Delivery>,
    pending: Option<Delivery>,
    /// Whether the queue row exists that `pending` names.
    is_requeued: bool,
}

fn resolve(
    wakeup: &Wakeup,
    mut row: QueueRow,
    event: Option<StoredEvent>,
    response: Option<Item>,
    history: History,
    now: Timestamp,
) -> Result<Loaded, Error> {
    // The worker crashed after writing this record and before writing the queue row it points to.
    row.has_record |= history.pending.is_some();
    let response = response.as_ref().map(VersionedResponse::read).transpose()?;
    let response = response.filter(|known| known.response.sequence == row.sequence);
    let destinations = response.as_ref().map(|known| &known.response.destinations);
    let is_delivered = destinations.and_then(|all| all.get(&wakeup.destination)).copied();
    let payload = event.and_then(|event| {
        Some(Payload { original: event.payload?, canonical: event.event?, via: event.via })
    });
    let failed = history.failed;
    let has_failed =
        failed.as_ref().is_some_and(|it| it.status == Status::Failed && it.replays >= row.queued.replays);
    let settled = |row, response, attempts, disposition| {
        Loaded::Resolved(Box::new(Settlement {
            row,
            payload: None,
            response,
            attempts,
            disposition,
            was_sent: false,
        }))
    };
    let was_delivered = is_delivered == Some(true);
    if was_delivered || has_failed {
        return Ok(settled(row, None, Vec::new(), Disposition::AlreadyDone { was_delivered }));
    }
    if let Some(delivered) = history.delivered {
        return Ok(settled(row, response, delivered.attempts, Disposition::Delivered));
    }
    if history.is_requeued {
        return Ok(settled(row, None, Vec::new(), Disposition::Superseded));
    }
    // The filter refused the event, and the worker crashed before it deleted the row.
    let is_filtered = response.is_some() && is_delivered.is_none();
    if row.queued.filter_pending && is_filtered {
        return Ok(settled(row, response, Vec::new(), Disposition::Filtered));
    }
    let attempts = history.pending.or(failed).map(|tried| tried.attempts).unwrap_or_default();
    Ok(match (payload, response) {
        (Some(payload), Some(known)) => {
            let response = (known.response.destinations.len() <= MAX_BUFFERED_DESTINATIONS).then_some(known);
            Loaded::Ready(Box::new(DeliveryTask { row, payload, response, attempts }))
        }
        (payload, response) => {
            let is_missed = now.duration_since(row.queued.received_at) > MISSING_GIVE_UP_AFTER;
            let disposition = if is_missed {
                Disposition::Failed { reason: "event_missing".to_owned() }
            } else {
                Disposition::Deferred { due: now + MISSING_RETRY_DELAY }
            };
            Loaded::Resolved(Box::new(Settlement {
                row,
                payload,
                response,
                attempts,
                disposition,
                was_sent: false,
            }))
        }
    })
}

/// Reads the records of rows that have any, or may have.
async fn load_history(
    wakeup: &Wakeup,
    rows: &[QueueRow],
    recover_until: Option<Timestamp>,
    store: &impl Store,
) -> Result<Vec<History>, Error> {
    const KINDS: [Status; 3] = [Status::Delivered, Status::Failed, Status::Pending];
    let partition = model::partition(&wakeup.tenant, &wakeup.destination);
    let checked: Vec<usize> = (0..rows.len())
        .filter(|&at| rows[at].has_record || recover_until.is_some_and(|until| rows[at].due <= until))
        .collect();
    let mut histories: Vec<History> = rows.iter().map(|_| History::default()).collect();
    if checked.is_empty() {
        return Ok(histories);
    }
    let keys = checked
        .iter()
        .flat_map(|&at| KINDS.map(|status| (partition.clone(), status.sort(&rows[at].sequence))));
    let found = store.get_all(TABLE, keys.collect()).await?;
    for (&at, found) in checked.iter().zip(found.chunks(KINDS.len())) {
        let read = |place: usize| found[place].as_ref().map(model::body::<Delivery>).transpose();
        histories[at] =
            History { delivered: read(0)?, failed: read(1)?, pending: read(2)?, is_requeued: false };
    }
    // Compares sort keys, because due times in rows have only milliseconds.
    let requeued = histories.iter().enumerate().filter_map(|(at, history)| {
        let due = history.pending.as_ref()?.next_attempt_at?;
        let sort = model::queued_sort(due, &rows[at].sequence);
        (sort > rows[at].sort).then_some((at, sort))
    });
    let requeued: Vec<(usize, String)> = requeued.collect();
    if !requeued.is_empty() {
        let keys = requeued.iter().map(|(_, sort)| (partition.clone(), sort.clone())).collect();
        let found = store.get_all(TABLE, keys).await?;
        for ((at, _), found) in requeued.iter().zip(found) {
            histories[*at].is_requeued = found.is_some();
        }
    }
    Ok(histories)
}
