//! DeliverEvents: works on the lanes that a message names. What is due is sent, as many calls at once and in the
//! order that the destination asks for, and what came of it is written down.
//!
//! One courier works on a lane at a time, by a lease on it. Each lane has sockets, a breaker and a schedule of its own,
//! so that one that hangs holds up nothing but itself.

mod ahead;
mod attempt;
mod breaker;
mod classify;
mod drain;
mod due;
mod evaluator;
mod flip;
mod health;
mod landing;
mod lease;
mod load;
mod order;
mod pending_filter;
mod pump;
mod rate;
mod record;
mod refusals;
mod schedule;
mod shift;
mod throttle;
mod trial;
mod wakes;
mod work;

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::model::Wakeup;
use destinations::outbound::Outbound;
pub use evaluator::Evaluator;
use flip::ResponseUpdates;
use kernel::{
    door,
    error::Error,
    objects::Objects,
    queue::{BatchResponse, ItemFailure, Queue, SqsEvent},
    store::Store,
};
pub(crate) use lease::LaneState;
use record::DispositionWriter;
use shift::SessionEnd;
pub use trial::trial;
use work::LocalLocks;

/// For how long a courier works on a lane before another may have its turn.
pub const BUDGET: Duration = Duration::from_secs(60);
/// How long a destination may take to answer.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What couriers work with.
#[derive(Clone, Debug)]
pub struct WorkerContext<S, Q> {
    /// The tables.
    pub store: S,
    /// The objects.
    pub objects: Objects,
    /// The queues.
    pub queue: Q,
    /// The client that calls destinations.
    pub outbound: Outbound,
    /// What evaluates filters and mappings.
    pub evaluator: Evaluator,
    /// The clock.
    pub now: fn() -> Timestamp,
    /// Randomness for jitter and ids.
    pub random: fn() -> u128,
    /// Who holds leases. One who comes back under the same name takes its own leases back at once.
    pub holder: String,
    /// For how long to work on a lane, before its lease is let go.
    pub budget: Duration,
    /// How long a destination may take to answer.
    pub patience: Duration,
}

/// Works on lanes. Clones know which lanes the others are at, and which responses they are changing.
#[derive(Clone, Debug)]
pub struct DeliveryWorker<S, Q> {
    tools: WorkerContext<S, Q>,
    at_work: LocalLocks,
    flips: ResponseUpdates,
}

impl<S: Store, Q: Queue> DeliveryWorker<S, Q> {
    /// A courier at rest.
    pub fn new(tools: WorkerContext<S, Q>) -> Self {
        Self { tools, at_work: LocalLocks::default(), flips: ResponseUpdates::default() }
    }

    /// Works on the lanes of some messages, all at once. A message is done when what was due in its lane was tried, or
    /// when another courier is at it, who looks again.
    pub async fn deliver(&self, event: SqsEvent) -> BatchResponse {
        let mut lanes = BTreeMap::<_, (Option<Wakeup>, Vec<String>)>::new();
        for message in event.records {
            let wake = door::decode::<Wakeup>(message.body.as_bytes());
            if let Err(error) = &wake {
                tracing::error!(
                    message.id = message.message_id,
                    "a message of the lanes names no lane: {error}"
                );
            }
            let wake = wake.ok();
            let lane = wake.as_ref().map(|wake| (wake.tenant.clone(), wake.destination.clone()));
            lanes.entry(lane).or_insert((wake, Vec::new())).1.push(message.message_id);
        }
        let work = lanes.into_values().map(async |(wake, messages)| match wake {
            Some(wake) => match self.finish(&wake).await {
                Ok(()) => Vec::new(),
                Err(error) => failures(messages, &error.to_string()),
            },
            None => failures(messages, "it names no lane"),
        });
        BatchResponse { batch_item_failures: join_all(work).await.concat() }
    }

    /// Works on a lane until its message is done. One whose lane could not be worked on is, when another is on its way:
    /// a queue gives the same one again only when all the time for it is over.
    async fn finish(&self, wake: &Wakeup) -> Result<(), Error> {
        let Wakeup { tenant, destination } = wake;
        let Err(error) = Box::pin(self.work_on(wake)).await else { return Ok(()) };
        let delay = wakes::after_trouble((self.tools.random)());
        let sent = wake.send(delay, &self.tools.queue).await;
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
    async fn work_on(&self, wake: &Wakeup) -> Result<(), Error> {
        let Some(mut place) = self.at_work.enter(wake) else { return Ok(()) };
        let until = Instant::now() + self.tools.budget;
        let book = DispositionWriter::new(&self.tools, wake.clone(), self.flips.clone());
        while shift::run(&self.tools, &book, place.bell(), until).await? == SessionEnd::Idle {
            place = match place.leave() {
                Some(rung) => rung,
                None => return Ok(()),
            };
        }
        // In this order: while the place is taken, whoever gets the message rings, and goes.
        drop(place);
        wake.send(Duration::ZERO, &self.tools.queue).await
    }
}

/// None of these messages is done.
fn failures(messages: Vec<String>, reason: &str) -> Vec<ItemFailure> {
    BatchResponse::all(messages, reason).batch_item_failures
}
