//! Replay of events: puts each ingest request into the events queue again, as a request of its own, with the same event
//! ids.

use std::{borrow::Cow, time::Duration};

use jiff::Timestamp;
use serde::Serialize;

use super::{Pick, claim, mark_queued, pick};
use events::event::{self, MAX_REQUEST_BYTES, MAX_REQUEST_EVENTS};
use kernel::{
    batch::{BatchId, Name},
    error::Error,
    json,
    provenance::{IngestEvent, IngestRequest, Source},
    quarantine::Entry,
    queue::{Message, Queue, QueueName},
    store::Store,
};

/// Events of one request that are in the queue again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Requeued {
    /// The earlier request.
    pub replay_of: BatchId,
    /// The new request.
    pub request_id: BatchId,
    /// How many.
    pub events: u64,
}

/// Claims events of one request, and queues those that no other replay claimed. A claim lapses if a crash leaves it
/// unmarked: the same event twice is a duplicate.
pub(super) async fn requeue(
    store: &impl Store,
    queue: &impl Queue,
    tenant: &Name,
    mut entries: Vec<Entry>,
    picks: &[Pick],
    now: Timestamp,
    mut random: impl FnMut() -> u128,
) -> Result<Vec<Requeued>, Error> {
    // A request that was cut in two ways may have left an entry twice.
    entries.dedup_by_key(|entry| entry.index);
    let mut requeued = Vec::new();
    while !entries.is_empty() {
        let rest = entries.split_off(count_that_fits(&entries, picks));
        let request = BatchId::new(now, random());
        let held = claim(store, tenant, request, std::mem::replace(&mut entries, rest), now).await?;
        let Some(first) = held.first() else { continue };
        let ingest_request = IngestRequest {
            id: request,
            tenant: tenant.clone(),
            via: via(first),
            received_at: first.received_at,
            sent_at: first.sent_at,
            retry: first.retry_count + 1,
            events: held.iter().filter_map(|entry| ingest_event(entry, picks)).collect(),
        };
        let body = String::from_utf8_lossy(&json::encode(&ingest_request)?).into_owned();
        queue.send(QueueName::Events, vec![Message { body, delay: Duration::ZERO }]).await?;
        mark_queued(store, tenant, request, &held).await?;
        requeued.push(Requeued {
            replay_of: first.batch_id,
            request_id: request,
            events: ingest_request.events.len() as u64,
        });
    }
    Ok(requeued)
}

/// How many of the first entries fit in one request; at least one.
fn count_that_fits(entries: &[Entry], picks: &[Pick]) -> usize {
    let mut bytes = 0;
    let fits = entries.iter().take(MAX_REQUEST_EVENTS).take_while(|entry| {
        bytes += ingest_event(entry, picks).map_or(0, |ingest_event| ingest_event.record.get().len());
        bytes <= MAX_REQUEST_BYTES
    });
    fits.count().max(1)
}

fn via(entry: &Entry) -> Source {
    entry.via.unwrap_or(Source::Events)
}

/// The event to send: as received; or corrected, under the id that it has now.
fn ingest_event(entry: &Entry, picks: &[Pick]) -> Option<IngestEvent<'static>> {
    let corrected = pick(entry, picks).and_then(|pick| pick.record.clone());
    let id = corrected.as_ref().and_then(|record| event::id_of(record.get(), via(entry)));
    let message_id = id.map(Cow::into_owned).or_else(|| entry.message_id.clone())?;
    let record = corrected.or_else(|| entry.record.clone())?;
    Some(IngestEvent { message_id: message_id.into(), record: Cow::Owned(record) })
}

/// Whether an entry has an event to send.
pub(super) fn is_sendable(entry: &Entry, picks: &[Pick]) -> bool {
    ingest_event(entry, picks).is_some()
}
