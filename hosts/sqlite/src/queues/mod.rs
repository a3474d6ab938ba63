//! The queues of one machine: a SQLite table, written in group commits.
//!
//! One process works on a folder at a time, so it has the messages in flight in memory (`state`). The file has them
//! too, so that the next process finds the messages that were in flight at a crash.

mod body;
mod crashes;
mod dead;
mod receive;
mod send;
mod settings;
mod state;
mod stats;

use std::sync::Arc;

use jiff::Timestamp;
use kernel::{
    queue::{self, Queue, QueueError, QueueName},
    store::StoreError,
};

use body::Body;
use crashes::Recovered;
pub use receive::{InFlight, Next, ReceivedMessage};
pub use settings::{QueueSettings, Redrive};
use state::QueueStates;
pub use state::Size;
pub use stats::{Depth, Waiting, depth, oldest};

use crate::store::SqliteStore;

/// A message of a task, to send.
#[derive(Clone, Debug)]
pub struct Message {
    /// A message whose id is in the queue is not sent again.
    pub id: String,
    /// The queue's name.
    pub queue: String,
    /// The text.
    pub body: String,
    /// A JSON object, in the form of SendMessage's MessageAttributes.
    pub attributes: String,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// The delay in seconds before the message becomes visible.
    pub delay: u32,
    /// Messages of one group are received in order.
    pub group: Option<String>,
    /// Only for a FIFO queue: a message with the id of another of the last five minutes is a duplicate.
    pub deduplication_id: Option<String>,
}

/// A message that is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its id.
    pub id: String,
    /// Its sequence number in a FIFO queue; 20 digits.
    pub sequence_number: Option<String>,
}

/// The queues, on this machine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LocalQueue {
    store: SqliteStore,
    states: QueueStates,
    /// The messages that were in flight when the last process ended.
    recovered: Arc<[Recovered]>,
    /// The clock.
    now: fn() -> Timestamp,
}

impl LocalQueue {
    /// Opens the queues of a file that this process alone writes. Suspects of crashes are delayed from now on. `now` is
    /// the clock.
    pub fn open(store: SqliteStore, now: fn() -> Timestamp) -> Result<Self, StoreError> {
        Self::open_at(store, now(), now)
    }

    fn open_at(store: SqliteStore, at: Timestamp, now: fn() -> Timestamp) -> Result<Self, StoreError> {
        let recovered = store.writer.write_blocking(move |connection| crashes::recover(connection, at))?;
        let states = QueueStates::new(stats::sizes(&store.readers)?);
        Ok(Self { store, states, recovered: recovered.into(), now })
    }

    /// Logs the messages that were in flight at crash after crash.
    pub fn warn_of_suspects(&self) {
        self.recovered.iter().for_each(Recovered::warn);
    }

    /// Sets the limit of a queue.
    pub async fn limit(&self, queue: QueueName, limit: Size) -> Result<(), StoreError> {
        let name = queue.resource();
        self.states.of(name).limit(limit);
        self.store.writer.write(move |connection| send::limit(connection, name, limit.messages)).await
    }

    /// Sends a message of a task.
    pub async fn send_one(&self, message: Message) -> Result<Sent, StoreError> {
        let reserved = self.states.of(&message.queue).add(Size::one(message.body.len()));
        let sent = self.store.writer.write_then(
            move |connection| send::one(connection, message),
            move |sent| {
                if let Ok((_, true)) = sent {
                    reserved.keep();
                }
            },
        );
        Ok(sent.await?.0)
    }

    /// Deletes messages that are not in flight.
    pub async fn forget(&self, queue: &str, sequences: Vec<i64>) -> Result<(), StoreError> {
        let state = self.states.of(queue);
        let deleted = self.store.writer.write_then(
            move |connection| send::delete(connection, &sequences),
            move |deleted| {
                if let Ok(size) = deleted {
                    state.remove(*size);
                }
            },
        );
        deleted.await.map(|_| ())
    }

    /// Waits until a message was sent to a queue, or requeued, since the last call.
    pub async fn changed(&self, queue: &str) {
        self.states.of(queue).changed().await;
    }
}

impl Queue for LocalQueue {
    /// Sends all messages or none.
    async fn send(&self, queue: QueueName, messages: Vec<queue::Message>) -> Result<(), QueueError> {
        let name = queue.resource();
        let messages: Vec<_> =
            messages.into_iter().map(|message| (Body::new(message.body), message.delay)).collect();
        let size = messages.iter().map(|(body, _)| Size::one(body.len())).sum();
        let Some(reserved) = self.states.of(name).reserve(size) else { return Err(QueueError::Full) };
        let sent_at = (self.now)();
        let sent = self.store.writer.write_first(
            move |connection| send::all(connection, name, &messages, sent_at),
            move |sent| {
                if sent.is_ok() {
                    reserved.keep();
                }
            },
        );
        sent.await.map_err(|error| match error {
            StoreError::Unavailable(why) => QueueError::Unavailable(why),
            StoreError::Refused(why) => QueueError::Refused(why),
        })
    }
}

/// The id of a message, derived from its sequence number if it has none of its own.
fn id_of(id: Option<String>, sequence: i64) -> String {
    id.unwrap_or_else(|| kernel::provenance::uuid(u128::from(sequence.cast_unsigned())))
}

#[cfg(test)]
mod tests;
