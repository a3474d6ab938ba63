//! The queues of the template on this machine: a SQLite table, written in group commits.

use functions::{
    queue::{self, Queue, QueueError, QueueName},
    store::StoreError,
};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{
    clock,
    sqlite::{Readers, SqliteStore},
};

/// A message to send.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// One that is there is not sent again.
    pub(crate) id: String,
    /// The queue's name.
    pub(crate) queue: String,
    pub(crate) body: String,
    /// A JSON object, in the form of SendMessage's MessageAttributes.
    pub(crate) attributes: String,
    pub(crate) sent_at: Timestamp,
    /// For so many seconds nobody receives it.
    pub(crate) delay: u32,
    /// Messages of one group are received in order.
    pub(crate) group: Option<String>,
    /// Only for a FIFO queue: a message with the id of one that came in the last five minutes is that one.
    pub(crate) deduplication_id: Option<String>,
}

/// A message that is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) id: String,
    /// Its place in a FIFO queue; 20 digits.
    pub(crate) sequence_number: Option<String>,
}

/// How full a queue is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Depth {
    pub(crate) messages: u64,
    /// Those among them that nobody receives yet.
    pub(crate) delayed: u64,
    pub(crate) oldest: Option<Timestamp>,
}

/// A message as it lies in its queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) id: String,
    pub(crate) body: String,
    pub(crate) attributes: String,
    pub(crate) sent_at: Timestamp,
    pub(crate) visible_at: Timestamp,
    pub(crate) receives: u32,
    pub(crate) group: Option<String>,
}

/// The queues of the domain, on this machine.
#[derive(Clone, Debug)]
pub(crate) struct LocalQueue {
    store: SqliteStore,
}

impl LocalQueue {
    pub(crate) fn new(store: SqliteStore) -> Self {
        Self { store }
    }
}

impl Queue for LocalQueue {
    async fn send(&self, queue: QueueName, messages: Vec<queue::Message>) -> Result<(), QueueError> {
        let sent_at = clock::now();
        let messages: Vec<Message> = messages
            .into_iter()
            .map(|message| Message {
                id: clock::uuid(),
                queue: queue.resource().to_owned(),
                body: message.body,
                attributes: "{}".to_owned(),
                sent_at,
                delay: u32::try_from(message.delay.as_secs()).unwrap_or(u32::MAX),
                group: None,
                deduplication_id: None,
            })
            .collect();
        let put_all = move |connection: &Connection| {
            messages.into_iter().try_for_each(|message| put(connection, message).map(|_| ()))
        };
        self.store.writer.write(put_all).await.map_err(|error| match error {
            StoreError::Unavailable(why) => QueueError::Unavailable(why),
            StoreError::Refused(why) => QueueError::Refused(why),
        })
    }
}

/// For how long a FIFO queue remembers ids.
const REMEMBERED: SignedDuration = SignedDuration::from_mins(5);

/// Sends a message.
pub(crate) async fn send(store: &SqliteStore, message: Message) -> Result<Sent, StoreError> {
    store.writer.write(move |connection| put(connection, message)).await
}

fn put(connection: &Connection, message: Message) -> rusqlite::Result<Sent> {
    if let Some(known) = known(connection, &message)? {
        return Ok(known);
    }
    let Message { id, queue, body, attributes, sent_at, delay, group, deduplication_id } = message;
    let sent_at = sent_at.as_millisecond();
    let visible_at = sent_at + i64::from(delay) * 1000;
    connection
        .prepare_cached(
            "INSERT INTO queue_messages (queue, id, body, attributes, sent_at, visible_at, group_id) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![queue, id, body, attributes, sent_at, visible_at, group])?;
    let sequence = connection.last_insert_rowid();
    let sequence_number = deduplication_id.is_some().then(|| sequence_number(sequence));
    if let Some(deduplication_id) = deduplication_id {
        connection
            .prepare_cached("INSERT INTO queue_deduplication VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![queue, deduplication_id, id, sequence, sent_at])?;
    }
    Ok(Sent { id, sequence_number })
}

/// The message that this one is: one of its id, or one that a FIFO queue takes it for.
fn known(connection: &Connection, message: &Message) -> rusqlite::Result<Option<Sent>> {
    let sent = connection
        .prepare_cached("SELECT sequence FROM queue_messages WHERE id = ?1")?
        .query_row([&message.id], |row| row.get(0))
        .optional()?;
    if let Some(sequence) = sent {
        let sequence_number = message.deduplication_id.is_some().then(|| sequence_number(sequence));
        return Ok(Some(Sent { id: message.id.clone(), sequence_number }));
    }
    let Some(deduplication_id) = &message.deduplication_id else { return Ok(None) };
    let forgotten = (message.sent_at - REMEMBERED).as_millisecond();
    connection.prepare_cached("DELETE FROM queue_deduplication WHERE sent_at <= ?1")?.execute([forgotten])?;
    connection
        .prepare_cached(
            "SELECT id, sequence FROM queue_deduplication WHERE queue = ?1 AND deduplication_id = ?2",
        )?
        .query_row(params![message.queue, deduplication_id], |row| {
            Ok(Sent { id: row.get(0)?, sequence_number: Some(sequence_number(row.get(1)?)) })
        })
        .optional()
}

fn sequence_number(sequence: i64) -> String {
    format!("{sequence:020}")
}

/// How full a queue is.
pub(crate) fn depth(readers: &Readers, queue: &str, now: Timestamp) -> Result<Depth, StoreError> {
    readers.with(|connection| {
        connection
            .prepare_cached(
                "SELECT count(*), count(*) FILTER (WHERE visible_at > ?2), min(sent_at) \
                 FROM queue_messages WHERE queue = ?1",
            )?
            .query_row(params![queue, now.as_millisecond()], |row| {
                let oldest: Option<i64> = row.get(2)?;
                let count = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
                Ok(Depth { messages: count(0)?, delayed: count(1)?, oldest: oldest.map(time) })
            })
    })
}

/// The messages that have been in a queue longest, oldest first.
pub(crate) fn oldest(readers: &Readers, queue: &str, limit: u32) -> Result<Vec<Waiting>, StoreError> {
    readers.with(|connection| {
        connection
            .prepare_cached(
                "SELECT id, body, attributes, sent_at, visible_at, receives, group_id \
                 FROM queue_messages WHERE queue = ?1 ORDER BY sequence LIMIT ?2",
            )?
            .query_map(params![queue, limit], waiting)?
            .collect()
    })
}

fn waiting(row: &Row<'_>) -> rusqlite::Result<Waiting> {
    Ok(Waiting {
        id: row.get(0)?,
        body: row.get(1)?,
        attributes: row.get(2)?,
        sent_at: time(row.get(3)?),
        visible_at: time(row.get(4)?),
        receives: row.get(5)?,
        group: row.get(6)?,
    })
}

/// Milliseconds since 1970, as they are kept.
fn time(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or_default()
}
