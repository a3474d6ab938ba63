//! The queues of the template on this machine: a SQLite table, written in group commits.
//!
//! One process works on a folder at a time, so what is being worked on is known in memory ([`standing`]); the file
//! holds it as well, to know what the process died over.

mod body;
mod crashes;
mod dead;
mod flight;
mod look;
mod put;
mod settings;
mod standing;

use std::sync::Arc;

use jiff::Timestamp;
use kernel::{
    queue::{self, Queue, QueueError, QueueName},
    store::StoreError,
};

use body::Body;
use crashes::Recovered;
pub use flight::{Flight, Held, Next};
pub use look::{Depth, Waiting, depth, oldest};
pub use settings::{QueueSettings, Redrive};
pub use standing::Load;
use standing::Standings;

use crate::store::SqliteStore;

/// A message of a task, to send.
#[derive(Clone, Debug)]
pub struct Message {
    /// One that is there is not sent again.
    pub id: String,
    /// The queue's name.
    pub queue: String,
    /// The text.
    pub body: String,
    /// A JSON object, in the form of SendMessage's MessageAttributes.
    pub attributes: String,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// For so many seconds nobody receives it.
    pub delay: u32,
    /// Messages of one group are received in order.
    pub group: Option<String>,
    /// Only for a FIFO queue: a message with the id of one that came in the last five minutes is that one.
    pub deduplication_id: Option<String>,
}

/// A message that is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its id.
    pub id: String,
    /// Its place in a FIFO queue; 20 digits.
    pub sequence_number: Option<String>,
}

/// The queues, on this machine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LocalQueue {
    store: SqliteStore,
    standings: Standings,
    /// What the last process left in flight.
    recovered: Arc<[Recovered]>,
    /// The clock.
    now: fn() -> Timestamp,
}

impl LocalQueue {
    /// The queues of a file that this process alone writes, at some time: what a process died over is held back from then
    /// on. `now` is the clock.
    pub fn open(store: SqliteStore, now: fn() -> Timestamp) -> Result<Self, StoreError> {
        Self::open_at(store, now(), now)
    }

    fn open_at(store: SqliteStore, at: Timestamp, now: fn() -> Timestamp) -> Result<Self, StoreError> {
        let recovered = store.writer.write_blocking(move |connection| crashes::recover(connection, at))?;
        let standings = Standings::new(look::loads(&store.readers)?);
        Ok(Self { store, standings, recovered: recovered.into(), now })
    }

    /// Tells of messages that the process ended over again and again.
    pub fn tell_suspects(&self) {
        self.recovered.iter().for_each(Recovered::tell);
    }

    /// From here on a queue takes no more than this.
    pub async fn limit(&self, queue: QueueName, limit: Load) -> Result<(), StoreError> {
        let name = queue.resource();
        self.standings.of(name).limit(limit);
        self.store.writer.write(move |connection| put::limit(connection, name, limit.messages)).await
    }

    /// Sends a message of a task.
    pub async fn send_one(&self, message: Message) -> Result<Sent, StoreError> {
        let reserved = self.standings.of(&message.queue).add(Load::one(message.body.len()));
        let sent = self.store.writer.write_then(
            move |connection| put::one(connection, message),
            move |sent| {
                if let Ok((_, true)) = sent {
                    reserved.keep();
                }
            },
        );
        Ok(sent.await?.0)
    }

    /// Deletes messages that nobody works on.
    pub async fn forget(&self, queue: &str, sequences: Vec<i64>) -> Result<(), StoreError> {
        let standing = self.standings.of(queue);
        let deleted = self.store.writer.write_then(
            move |connection| put::delete(connection, &sequences),
            move |deleted| {
                if let Ok(load) = deleted {
                    standing.remove(*load);
                }
            },
        );
        deleted.await.map(|_| ())
    }

    /// Waits until something was put into a queue, or given back to it, since this was last asked.
    pub async fn changed(&self, queue: &str) {
        self.standings.of(queue).changed().await;
    }
}

impl Queue for LocalQueue {
    /// All are sent, or none.
    async fn send(&self, queue: QueueName, messages: Vec<queue::Message>) -> Result<(), QueueError> {
        let name = queue.resource();
        let messages: Vec<_> =
            messages.into_iter().map(|message| (Body::new(message.body), message.delay)).collect();
        let load = messages.iter().map(|(body, _)| Load::one(body.len())).sum();
        let Some(reserved) = self.standings.of(name).reserve(load) else { return Err(QueueError::Full) };
        let sent_at = (self.now)();
        let sent = self.store.writer.write_first(
            move |connection| put::all(connection, name, &messages, sent_at),
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

/// What a message is called that has no id of its own.
fn id_of(id: Option<String>, sequence: i64) -> String {
    id.unwrap_or_else(|| kernel::arrival::uuid(u128::from(sequence.cast_unsigned())))
}

#[cfg(test)]
mod tests;
