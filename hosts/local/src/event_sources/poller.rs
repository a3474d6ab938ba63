//! One event source mapping: it receives from a queue, calls the function, and deletes or releases the messages.

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use kernel::queue::{MessageAttributes, SqsEvent, SqsMessage};
use registry::Consumer;
use sqlite_store::queues::{InFlight, Next, QueueSettings, Redrive};
use step_functions::clock;
use template::{Mapping, Queue};
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
    time::{Instant, sleep},
};

use crate::flow::LocalFlow;

/// Interval between checks whether a paused queue was resumed.
const PAUSED_POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Number of calls whose messages are received together, in one commit.
const MAX_BATCHES_AT_ONCE: usize = 100;
/// Delay before the next attempt after a storage failure.
const STORAGE_RETRY_DELAY: Duration = Duration::from_secs(1);

/// Feeds one function from one queue.
pub(super) struct Poller {
    mapping: Mapping,
    /// The function that the mapping names.
    consumer: Consumer,
    queue: QueueSettings,
    flow: LocalFlow,
    /// While this file exists, the queue is paused.
    paused: PathBuf,
}

/// Signals the end of the program.
type Stop = watch::Receiver<bool>;

impl Poller {
    /// `None`: the function of the mapping is no consumer.
    pub(super) fn new(mapping: Mapping, flow: LocalFlow, paused: PathBuf) -> Option<Arc<Self>> {
        let consumer = Consumer::from_name(&mapping.function)?;
        let queue = settings(&mapping.queue);
        Some(Arc::new(Self { mapping, consumer, queue, flow, paused }))
    }

    /// Receives until `stop`; ends after the last call.
    pub(super) async fn run(self: Arc<Self>, mut stop: Stop) {
        let mut calls = JoinSet::new();
        while !*stop.borrow_and_update() {
            let wait = self.run_once(&mut calls, &mut stop).await;
            if !wait.is_zero() {
                tokio::select! {
                    () = sleep(wait) => {}
                    _ = stop.changed() => {}
                }
            }
        }
        while calls.join_next().await.is_some() {}
    }

    /// Receives messages or waits for some; returns the delay before the next receive.
    async fn run_once(self: &Arc<Self>, calls: &mut JoinSet<Option<Duration>>, stop: &mut Stop) -> Duration {
        if self.paused.exists() {
            return PAUSED_POLL_INTERVAL;
        }
        if calls.len() >= self.mapping.concurrency {
            return tokio::select! {
                ended = calls.join_next() => self.wait(ended),
                _ = stop.changed() => Duration::ZERO,
            };
        }
        let (queue, most) = (&self.queue, self.mapping.batch_size);
        let batches = self.mapping.concurrency.saturating_sub(calls.len()).min(MAX_BATCHES_AT_ONCE);
        let queues = &self.flow.services().host.queue;
        match queues.receive(queue, most, batches, clock::now()).await {
            Ok(Next::Batches(batches)) => {
                for batch in batches {
                    calls.spawn(Arc::clone(self).work(batch));
                }
                Duration::ZERO
            }
            Ok(Next::Nothing(later)) => tokio::select! {
                () = queues.changed(&queue.name) => Duration::ZERO,
                () = sleep_until(later) => Duration::ZERO,
                ended = calls.join_next(), if !calls.is_empty() => self.wait(ended),
                _ = stop.changed() => Duration::ZERO,
            },
            Err(error) => {
                tracing::error!(queue = queue.name, "{} cannot be received from: {error}", queue.name);
                STORAGE_RETRY_DELAY
            }
        }
    }

    /// The delay that a finished call imposes on the queue: in an ordered queue no message overtakes a retry.
    fn wait(&self, ended: Option<Result<Option<Duration>, JoinError>>) -> Duration {
        let wait = ended.and_then(Result::ok).flatten().unwrap_or_default();
        if self.mapping.keeps_order { wait } else { Duration::ZERO }
    }

    /// Calls the function with received messages, then deletes or releases them.
    async fn work(self: Arc<Self>, mut batch: InFlight) -> Option<Duration> {
        let failed = self.call(&mut batch).await;
        let queue = &self.queue;
        loop {
            match self.flow.services().host.queue.finish(queue, &batch, &failed, clock::now()).await {
                Ok(wait) => return wait,
                Err(error) => {
                    tracing::error!(
                        queue = queue.name,
                        "the results of {} cannot be stored: {error}",
                        queue.name
                    );
                    sleep(STORAGE_RETRY_DELAY).await;
                }
            }
        }
    }

    /// The names of the failed messages, each with its reason. After a panic all of them failed. A function ends by itself
    /// before its messages become visible again, so two attempts never run concurrently.
    async fn call(&self, batch: &mut InFlight) -> HashMap<String, String> {
        let name = self.consumer.name();
        let all: Vec<String> = batch.messages.iter().map(|message| message.id.clone()).collect();
        let until = Instant::now() + self.queue.visibility_timeout;
        let call = super::call(self.consumer, event(batch), self.flow.clone(), Some(until));
        match tokio::spawn(call).await {
            Ok(response) => {
                let failures = response.batch_item_failures.into_iter();
                failures.map(|failure| (failure.item_identifier, failure.reason)).collect()
            }
            Err(_) => {
                tracing::error!(
                    function.name = name,
                    "{name} failed with its messages: a fault in crmflow stopped it"
                );
                all.into_iter().map(|message| (message, super::PANICKED.to_owned())).collect()
            }
        }
    }
}

/// The settings that the store needs of a queue of the template.
fn settings(queue: &Queue) -> QueueSettings {
    let redrive = queue.redrive.as_ref().map(|redrive| Redrive {
        dead_letters: redrive.dead_letters.clone(),
        max_receives: redrive.max_receives,
    });
    QueueSettings { name: queue.name.clone(), visibility_timeout: queue.visibility_timeout, redrive }
}

/// The event for the function.
fn event(batch: &mut InFlight) -> SqsEvent {
    let message = |held: &mut sqlite_store::queues::ReceivedMessage| SqsMessage {
        message_id: held.id.clone(),
        body: std::mem::take(&mut held.body),
        attributes: MessageAttributes { receives: Some(held.receives.to_string()) },
    };
    SqsEvent { records: batch.messages.iter_mut().map(message).collect() }
}

async fn sleep_until(due: Option<Timestamp>) {
    match due {
        Some(due) => sleep(Duration::try_from(due.duration_since(clock::now())).unwrap_or_default()).await,
        None => std::future::pending().await,
    }
}
