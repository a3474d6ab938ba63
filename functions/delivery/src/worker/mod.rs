//! DeliverEvents: the delivery worker. It sends the due deliveries of a lane, with the concurrency and the
//! order that the destination asks for, and stores a disposition for each.
//!
//! One worker has the lease of a lane at a time. Each lane has its own connections, circuit breaker and retry
//! schedule, so a destination that hangs delays no other.

mod attempt;
mod breaker;
mod call_outcome;
mod context;
mod dispatcher;
mod disposition_writer;
mod drain;
mod evaluator;
mod health;
mod lane_state;
mod lease;
mod load;
mod local_lock;
mod ordered_queue;
mod pending_filter;
mod prefetch;
mod queue_rows;
mod rate_limit;
mod refusals;
mod response_updates;
mod retry_schedule;
mod session;
mod settlement;
mod task;
mod test_send;
mod throttle;
mod wakeup;

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use tokio::time::Instant;

use crate::model::Wakeup;
pub use context::{MAX_LEASE_HOLD, REQUEST_TIMEOUT, WorkerContext};
use disposition_writer::DispositionWriter;
pub use evaluator::Evaluator;
use kernel::{
    error::Error,
    json,
    queue::{BatchResponse, ItemFailure, Queue, SqsEvent},
    store::Store,
};
pub(crate) use lane_state::LaneState;
use local_lock::LocalLocks;
use response_updates::ResponseUpdates;
use session::SessionEnd;
pub use test_send::test_send;

/// Delivers the events of lanes. Clones share the locks of lanes and the updates of event responses.
#[derive(Clone, Debug)]
pub struct DeliveryWorker<S, Q> {
    context: WorkerContext<S, Q>,
    local_locks: LocalLocks,
    response_updates: ResponseUpdates,
}

impl<S: Store, Q: Queue> DeliveryWorker<S, Q> {
    /// A worker without a lane.
    pub fn new(context: WorkerContext<S, Q>) -> Self {
        Self { context, local_locks: LocalLocks::default(), response_updates: ResponseUpdates::default() }
    }

    /// Works on the lanes of some messages, all at the same time. A message is done after an attempt of each
    /// due delivery of its lane, or when another worker has the lane: that worker reads it once more.
    pub async fn deliver(&self, event: SqsEvent) -> BatchResponse {
        let mut lanes = BTreeMap::<_, (Option<Wakeup>, Vec<String>)>::new();
        for message in event.records {
            let wakeup = json::decode::<Wakeup>(message.body.as_bytes());
            if let Err(error) = &wakeup {
                tracing::error!(message.id = message.message_id, "a wake-up message names no lane: {error}");
            }
            let wakeup = wakeup.ok();
            let lane = wakeup.as_ref().map(|wakeup| (wakeup.tenant.clone(), wakeup.destination.clone()));
            lanes.entry(lane).or_insert((wakeup, Vec::new())).1.push(message.message_id);
        }
        let work = lanes.into_values().map(async |(wakeup, messages)| match wakeup {
            Some(wakeup) => match self.serve(&wakeup).await {
                Ok(()) => Vec::new(),
                Err(error) => failures(messages, &error.to_string()),
            },
            None => failures(messages, "the message names no lane"),
        });
        BatchResponse { batch_item_failures: join_all(work).await.concat() }
    }

    /// Works on a lane until its message is done. After an error the message is done too, if another wake-up
    /// could be sent: the queue would return this message only after its whole visibility timeout.
    async fn serve(&self, wakeup: &Wakeup) -> Result<(), Error> {
        let Wakeup { tenant, destination } = wakeup;
        let Err(error) = Box::pin(self.serve_once(wakeup)).await else { return Ok(()) };
        let delay = wakeup::error_delay((self.context.random)());
        let sent = wakeup.send(delay, &self.context.queue).await;
        tracing::error!(
            tenant = %tenant,
            destination = %destination,
            error.name = error.name(),
            is_tried_again = sent.is_ok(),
            "the delivery worker failed on the lane of destination {destination}: {error}"
        );
        if sent.is_ok() { Ok(()) } else { Err(error) }
    }

    /// Works on a lane until nothing is due, its time is over, or another worker has it.
    async fn serve_once(&self, wakeup: &Wakeup) -> Result<(), Error> {
        let Some(mut local_lock) = self.local_locks.try_acquire(wakeup) else { return Ok(()) };
        let until = Instant::now() + self.context.max_hold;
        let writer = DispositionWriter::new(&self.context, wakeup.clone(), self.response_updates.clone());
        while session::run(&self.context, &writer, local_lock.notify(), until).await? == SessionEnd::Idle {
            local_lock = match local_lock.release_unless_notified() {
                Some(lock) => lock,
                None => return Ok(()),
            };
        }
        // Release the local lock before sending: otherwise the receiver only notifies us and exits.
        drop(local_lock);
        wakeup.send(Duration::ZERO, &self.context.queue).await
    }
}

/// Marks all of these messages as failed.
fn failures(messages: Vec<String>, reason: &str) -> Vec<ItemFailure> {
    BatchResponse::all(messages, reason).batch_item_failures
}
