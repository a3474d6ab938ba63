//! The size of each queue, and the messages that wait in it.

use jiff::Timestamp;
use kernel::store::StoreError;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{body::Text, dead::History, id_of, state::Size};
use crate::store::Readers;

/// The size of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// How many messages there are.
    pub messages: u64,
    /// How many of them are delayed.
    pub delayed: u64,
    /// How many of them are in flight.
    pub in_flight: u64,
    /// When the oldest of them was sent.
    pub oldest: Option<Timestamp>,
    /// The largest number of messages, if the server of the folder limits it.
    pub limit: Option<u64>,
}

/// A message that waits in its queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its position in the file.
    pub sequence: i64,
    /// Its id.
    pub id: String,
    /// Its text.
    pub body: String,
    /// Its attributes, a JSON object.
    pub attributes: String,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// When it may be received.
    pub visible_at: Timestamp,
    /// How often it was received, and how that ended.
    pub history: History,
    /// Its message group.
    pub group: Option<String>,
}

/// The size of each queue that is not empty.
pub(super) fn sizes(readers: &Readers) -> Result<Vec<(String, Size)>, StoreError> {
    readers.with(|connection| {
        connection
            .prepare("SELECT count(*), sum(octet_length(body)), queue FROM queue_messages GROUP BY queue")?
            .query_map([], |row| Ok((row.get(2)?, size(row)?)))?
            .collect()
    })
}

/// Selects messages that are not in flight.
pub(super) const AT_REST: &str =
    "sequence NOT IN (SELECT value FROM queue_flights, json_each(queue_flights.messages))";

/// The size of the messages of a queue that are not in flight.
pub(super) fn size_of(connection: &Connection, queue: &str) -> rusqlite::Result<Size> {
    let sql = format!(
        "SELECT count(*), coalesce(sum(octet_length(body)), 0) FROM queue_messages WHERE queue = ?1 AND {AT_REST}"
    );
    connection.query_row(&sql, [queue], size)
}

fn size(row: &Row<'_>) -> rusqlite::Result<Size> {
    let count = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
    Ok(Size { messages: count(0)?, bytes: count(1)? })
}

/// The size of a queue.
pub fn depth(readers: &Readers, queue: &str, now: Timestamp) -> Result<Depth, StoreError> {
    readers.with(|connection| {
        let limit: Option<i64> = connection
            .prepare_cached("SELECT messages FROM queue_limits WHERE queue = ?1")?
            .query_row([queue], |row| row.get(0))
            .optional()?;
        connection
            .prepare_cached(
                "SELECT count(*), count(*) FILTER (WHERE visible_at > ?2), min(sent_at), \
                 (SELECT coalesce(sum(json_array_length(messages)), 0) FROM queue_flights WHERE queue = ?1) \
                 FROM queue_messages WHERE queue = ?1",
            )?
            .query_row(params![queue, now.as_millisecond()], |row| {
                let oldest: Option<i64> = row.get(2)?;
                let count = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
                let (messages, delayed, in_flight) = (count(0)?, count(1)?, count(3)?);
                let limit = limit.map(i64::cast_unsigned);
                Ok(Depth { messages, delayed, in_flight, oldest: oldest.map(time), limit })
            })
    })
}

/// The messages that have been in a queue longest, oldest first.
pub fn oldest(readers: &Readers, queue: &str, limit: u32) -> Result<Vec<Waiting>, StoreError> {
    readers.with(|connection| {
        connection
            .prepare_cached(
                "SELECT sequence, id, body, coalesce(attributes, '{}'), sent_at, max(visible_at, sent_at), \
                 receives, group_id, crashes, deaths, reason \
                 FROM queue_messages WHERE queue = ?1 ORDER BY sequence LIMIT ?2",
            )?
            .query_map(params![queue, limit], waiting)?
            .collect()
    })
}

fn waiting(row: &Row<'_>) -> rusqlite::Result<Waiting> {
    Ok(Waiting {
        sequence: row.get(0)?,
        id: id_of(row.get(1)?, row.get(0)?),
        body: row.get::<_, Text>(2)?.0,
        attributes: row.get(3)?,
        sent_at: time(row.get(4)?),
        visible_at: time(row.get(5)?),
        history: History {
            receives: row.get(6)?,
            crashes: row.get(8)?,
            charged_crashes: row.get(9)?,
            reason: row.get(10)?,
        },
        group: row.get(7)?,
    })
}

/// A time that is stored as milliseconds since 1970.
pub(super) fn time(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or_default()
}
