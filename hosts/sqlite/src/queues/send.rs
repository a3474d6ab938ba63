//! Sends messages: writes them to the file.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::{Message, Sent, body::Body, state::Size};

/// How long a FIFO queue remembers deduplication ids.
const DEDUPLICATION_WINDOW: SignedDuration = SignedDuration::from_mins(5);

/// Writes all messages or none. Each is a body and its delay.
pub(super) fn all(
    connection: &Connection,
    queue: &str,
    messages: &[(Body, Duration)],
    sent_at: Timestamp,
) -> rusqlite::Result<()> {
    let [message] = messages else {
        connection.execute_batch("SAVEPOINT messages")?;
        let put = messages.iter().try_for_each(|message| plain(connection, queue, message, sent_at));
        let end = if put.is_ok() { "RELEASE messages" } else { "ROLLBACK TO messages; RELEASE messages" };
        connection.execute_batch(end)?;
        return put;
    };
    plain(connection, queue, message, sent_at)
}

fn plain(
    connection: &Connection,
    queue: &str,
    (body, delay): &(Body, Duration),
    sent_at: Timestamp,
) -> rusqlite::Result<()> {
    let sent_at = sent_at.as_millisecond();
    let visible_at = visible_at(sent_at, delay.as_millis().try_into().unwrap_or(i64::MAX));
    connection
        .prepare_cached(
            "INSERT INTO queue_messages (queue, body, sent_at, visible_at) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![queue, body, sent_at, visible_at])?;
    Ok(())
}

/// Writes a message that has an id, unless the queue has it; gives whether it was written.
pub(super) fn one(connection: &Connection, message: Message) -> rusqlite::Result<(Sent, bool)> {
    if let Some(known) = known(connection, &message)? {
        return Ok((known, false));
    }
    let Message { id, queue, body, attributes, sent_at, delay, group, deduplication_id } = message;
    let sent_at = sent_at.as_millisecond();
    let visible_at = visible_at(sent_at, i64::from(delay) * 1000);
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
    Ok((Sent { id, sequence_number }, true))
}

/// Deletes messages; gives their size.
pub(super) fn delete(connection: &Connection, sequences: &[i64]) -> rusqlite::Result<Size> {
    let mut statement = connection
        .prepare_cached("DELETE FROM queue_messages WHERE sequence = ?1 RETURNING octet_length(body)")?;
    let mut size = Size::default();
    for sequence in sequences {
        if let Some(bytes) = statement.query_row([sequence], |row| row.get(0)).optional()? {
            size = size + Size::one(bytes);
        }
    }
    Ok(size)
}

/// Zero if the message has no delay: such messages are received in the order in which they were sent.
fn visible_at(sent_at: i64, delay: i64) -> i64 {
    if delay == 0 { 0 } else { sent_at.saturating_add(delay) }
}

/// The message that this one duplicates: by its id, or by the deduplication id of a FIFO queue.
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
    let forgotten = (message.sent_at - DEDUPLICATION_WINDOW).as_millisecond();
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

/// Records the limit of a queue, so that commands can show it.
pub(super) fn limit(connection: &Connection, queue: &str, messages: u64) -> rusqlite::Result<()> {
    let messages = i64::try_from(messages).unwrap_or(i64::MAX);
    connection.execute("INSERT OR REPLACE INTO queue_limits VALUES (?1, ?2)", params![queue, messages])?;
    Ok(())
}
