//! DeliverEvents: works on the lanes that a message names. What is due is sent, as many calls at once and in the
//! order that the destination asks for, and what came of it is written down.
//!
//! One courier works on a lane at a time, by a lease on it. Each lane has sockets, a breaker and a schedule of its own,
//! so that one that hangs holds up nothing but itself.

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
    door,
    error::Error,
    queue::{BatchResponse, ItemFailure, Queue, SqsEvent},
    store::Store,
};
pub(crate) use lane_state::LaneState;
use local_lock::LocalLocks;
use response_updates::ResponseUpdates;
use session::SessionEnd;
pub use test_send::test_send;

/// Works on lanes. Clones know which lanes the others are at, and which responses they are changing.
#[derive(Clone, Debug)]
pub struct DeliveryWorker<S, Q> {
    context: WorkerContext<S, Q>,
    local_locks: LocalLocks,
    response_updates: ResponseUpdates,
}

impl<S: Store, Q: Queue> DeliveryWorker<S, Q> {
    /// A courier at rest.
    pub fn new(context: WorkerContext<S, Q>) -> Self {
        Self { context, local_locks: LocalLocks::default(), response_updates: ResponseUpdates::default() }
    }

    /// Works on the lanes of some messages, all at once. A message is done when what was due in its lane was tried, or
    /// when another courier is at it, who looks again.
    pub async fn deliver(&self, event: SqsEvent) -> BatchResponse {
        let mut lanes = BTreeMap::<_, (Option<Wakeup>, Vec<String>)>::new();
        for message in event.records {
            let wakeup = door::decode::<Wakeup>(message.body.as_bytes());
            if let Err(error) = &wakeup {
                tracing::error!(
                    message.id = message.message_id,
                    "a message of the lanes names no lane: {error}"
                );
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
            None => failures(messages, "it names no lane"),
        });
        BatchResponse { batch_item_failures: join_all(work).await.concat() }
    }

    /// Works on a lane until its message is done. One whose lane could not be worked on is, when another is on its way:
    /// a queue gives the same one again only when all the time for it is over.
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
            "the lane of destination {destination} could not be worked on: {error}"
        );
        if sent.is_ok() { Ok(()) } else { Err(error) }
    }

    /// Works on one lane until nothing is due, the time is over, or somebody else is found there.
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
        // In this order: while the place is taken, whoever gets the message rings, and goes.
        drop(local_lock);
        wakeup.send(Duration::ZERO, &self.context.queue).await
    }
}

/// None of these messages is done.
fn failures(messages: Vec<String>, reason: &str) -> Vec<ItemFailure> {
    BatchResponse::all(messages, reason).batch_item_failures
}
