//! Messages in flight: a batch is received in one commit, and finished in one commit.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use kernel::{queue::max_batch_for, store::StoreError};
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    LocalQueue,
    body::Text,
    dead::{DeadLetter, DeadLetters, History},
    id_of,
    settings::QueueSettings,
    state::{QueueState, Size},
    stats::{AT_REST, size_of, time},
};
use crate::store::Readers;

/// The most bytes of one batch: a Lambda call accepts 6 MB.
const MAX_RECEIVED_BYTES: usize = 4 * 1024 * 1024;
/// The first delay before a failed message is received again. Each further delay is twice as long.
const MIN_RETRY_DELAY: Duration = Duration::from_secs(1);

/// A message in flight.
#[derive(Clone, Debug)]
pub struct ReceivedMessage {
    position: Position,
    /// Its id.
    pub id: String,
    /// Its text.
    pub body: String,
    /// How often it was received, this time included.
    pub receives: u32,
}

/// The position of a message in the file, and its size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    pub(super) sequence: i64,
    pub(super) size: Size,
}

/// A batch of messages that were received together.
#[derive(Debug)]
pub struct InFlight {
    id: i64,
    /// The messages, in the order in which they were sent.
    pub messages: Vec<ReceivedMessage>,
}

/// The result of a receive.
#[derive(Debug)]
pub enum Next {
    /// At least one batch of messages.
    Batches(Vec<InFlight>),
    /// No message is visible. The time is when the next delayed message becomes visible.
    Nothing(Option<Timestamp>),
}

impl LocalQueue {
    /// Receives at most so many `batches` of at most `most` messages, in the order in which they were sent. Messages
    /// that were received as often as the queue allows move to its dead letter queue instead. Retried messages come in
    /// smaller batches ([`max_batch_for`]), so that a poison message affects few others.
    ///
    /// A queue must have one receiver at a time.
    pub async fn receive(
        &self,
        queue: &QueueSettings,
        most: usize,
        batches: usize,
        now: Timestamp,
    ) -> Result<Next, StoreError> {
        let state = self.states.of(&queue.name);
        loop {
            let later = self.release(&queue.name, now).await?;
            let found = find(&self.store.readers, &state, queue, most, batches)?;
            if found.received.is_empty() && found.dead.is_empty() {
                return Ok(Next::Nothing(later));
            }
            let batches = self.mark_in_flight(queue, &state, found).await?;
            if !batches.is_empty() {
                return Ok(Next::Batches(batches));
            }
        }
    }

    /// Makes delayed messages visible whose time has come; gives when the next one becomes visible.
    async fn release(&self, queue: &str, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let first = |connection: &Connection| {
            connection
                .prepare_cached(
                    "SELECT visible_at FROM queue_messages WHERE queue = ?1 AND visible_at > 0 \
                     ORDER BY visible_at LIMIT 1",
                )?
                .query_row([queue], |row| row.get::<_, i64>(0))
                .optional()
        };
        let first = self.store.readers.with(first)?;
        let now = now.as_millisecond();
        if first.is_none_or(|first| first > now) {
            return Ok(first.map(time));
        }
        let queue = queue.to_owned();
        let released = self.store.writer.write(move |connection| {
            connection
                .prepare_cached(
                    "UPDATE queue_messages SET visible_at = 0 \
                     WHERE queue = ?1 AND visible_at > 0 AND visible_at <= ?2",
                )?
                .execute(params![queue, now])?;
            connection
                .prepare_cached(
                    "SELECT visible_at FROM queue_messages WHERE queue = ?1 AND visible_at > 0 \
                     ORDER BY visible_at LIMIT 1",
                )?
                .query_row([queue], |row| row.get::<_, i64>(0))
                .optional()
        });
        Ok(released.await?.map(time))
    }

    /// Records batches as in flight.
    async fn mark_in_flight(
        &self,
        queue: &QueueSettings,
        state: &Arc<QueueState>,
        found: Selection,
    ) -> Result<Vec<InFlight>, StoreError> {
        let Selection { received, dead } = found;
        let sequences =
            |batch: &Vec<ReceivedMessage>| batch.iter().map(|message| message.position.sequence).collect();
        let taken: Vec<Vec<i64>> = received.iter().map(sequences).collect();
        let sequences: HashSet<i64> = taken.iter().flatten().copied().collect();
        state.in_flight().extend(&sequences);
        let (name, letters) = (queue.name.clone(), DeadLetters::new(self, queue, dead));
        let (to_write, in_flight) = (letters.clone(), Arc::clone(state));
        let written = self.store.writer.write_then(
            move |connection| {
                to_write.write(connection)?;
                let mut insert = connection
                    .prepare_cached("INSERT INTO queue_flights (queue, messages) VALUES (?1, ?2)")?;
                let id =
                    |batch: &Vec<i64>| insert.insert(params![name, serde_json::json!(batch).to_string()]);
                taken.iter().map(id).collect::<Result<Vec<i64>, _>>()
            },
            move |written| match written {
                Ok(_) => letters.apply(&in_flight),
                Err(_) => in_flight.in_flight().retain(|sequence| !sequences.contains(sequence)),
            },
        );
        let ids = written.await?;
        Ok(ids.into_iter().zip(received).map(|(id, messages)| InFlight { id, messages }).collect())
    }

    /// Finishes a batch. A message in `failed`, which maps ids to reasons, is retried after a delay or becomes a dead
    /// letter; the others are deleted. Gives the delay that a poller waits which preserves the order of messages.
    pub async fn finish(
        &self,
        queue: &QueueSettings,
        batch: &InFlight,
        failed: &HashMap<String, String>,
        now: Timestamp,
    ) -> Result<Option<Duration>, StoreError> {
        let state = self.states.of(&queue.name);
        let (left, done): (Vec<&ReceivedMessage>, Vec<_>) =
            batch.messages.iter().partition(|message| failed.contains_key(&message.id));
        let (dead, again): (Vec<&ReceivedMessage>, Vec<_>) =
            left.into_iter().partition(|message| is_dead(queue, message.receives));
        let pause = |message: &ReceivedMessage| pause(queue, message.receives);
        let wait = again.iter().filter(|message| max_batch_for(message.receives) == usize::MAX);
        let wait = wait.map(|message| pause(message)).max();
        let reason = |message: &ReceivedMessage| failed.get(&message.id).cloned();
        let again: Vec<(i64, i64, Option<String>)> = again
            .into_iter()
            .map(|message| (message.position.sequence, until(now, pause(message)), reason(message)))
            .collect();
        let less: Size = done.iter().map(|message| message.position.size).sum();
        let done: Vec<i64> = done.into_iter().map(|message| message.position.sequence).collect();
        let dead = dead.into_iter().map(|message| {
            let history =
                History { receives: message.receives, reason: reason(message), ..History::default() };
            DeadLetter { position: message.position, history }
        });
        let letters = DeadLetters::new(self, queue, dead.collect());
        let ended: HashSet<i64> = batch.messages.iter().map(|message| message.position.sequence).collect();
        let (id, to_write) = (batch.id, letters.clone());
        let written = self.store.writer.write_then(
            move |connection| {
                delete(connection, &done)?;
                requeue(connection, &again)?;
                to_write.write(connection)?;
                connection.prepare_cached("DELETE FROM queue_flights WHERE id = ?1")?.execute([id])?;
                Ok(())
            },
            move |written| {
                if written.is_ok() {
                    state.in_flight().retain(|sequence| !ended.contains(sequence));
                    state.remove(less);
                    letters.apply(&state);
                    state.notify();
                }
            },
        );
        written.await?;
        Ok(wait)
    }

    /// Moves all messages of one queue that are not in flight to another, as if they had just been sent; gives how
    /// many.
    pub async fn move_all(&self, from: &str, to: &str) -> Result<u64, StoreError> {
        let (here, there) = (self.states.of(from), self.states.of(to));
        let (from, to) = (from.to_owned(), to.to_owned());
        let moved = self.store.writer.write_then(
            move |connection| {
                let size = size_of(connection, &from)?;
                let sql = format!(
                    "UPDATE queue_messages SET queue = ?2, visible_at = 0, receives = 0, deaths = 0, crashes = 0, \
                     reason = NULL WHERE queue = ?1 AND {AT_REST}"
                );
                connection.prepare_cached(&sql)?.execute(params![from, to])?;
                Ok(size)
            },
            move |moved| {
                if let Ok(size) = moved {
                    here.remove(*size);
                    there.add(*size).keep();
                }
            },
        );
        Ok(moved.await?.messages)
    }
}

/// The messages that a receive selects.
#[derive(Default)]
struct Selection {
    /// Messages to receive, by batch.
    received: Vec<Vec<ReceivedMessage>>,
    dead: Vec<DeadLetter>,
}

fn find(
    readers: &Readers,
    state: &QueueState,
    queue: &QueueSettings,
    most: usize,
    batches: usize,
) -> Result<Selection, StoreError> {
    // Copied before the read of the file: the read may still see messages that are finished meanwhile.
    let in_flight = state.in_flight().clone();
    readers.with(|connection| {
        let mut statement = connection.prepare_cached(
            "SELECT sequence, id, body, receives, octet_length(body), deaths, crashes, reason \
             FROM queue_messages \
             WHERE queue = ?1 AND visible_at = 0 ORDER BY sequence",
        )?;
        let mut rows = statement.query([&queue.name])?;
        let (mut found, mut bytes, mut room) = (Selection::default(), 0, 0);
        while found.dead.len() < most
            && let Some(row) = rows.next()?
        {
            let sequence = row.get(0)?;
            if in_flight.contains(&sequence) {
                continue;
            }
            let position = Position { sequence, size: Size::one(row.get(4)?) };
            let (receives, charged_crashes, crashes) = (row.get(3)?, row.get(5)?, row.get(6)?);
            let history = History { receives, crashes, charged_crashes, reason: None };
            if is_dead(queue, receives) || (history.is_poison() && queue.redrive.is_some()) {
                found.dead.push(DeadLetter { position, history: History { reason: row.get(7)?, ..history } });
                continue;
            }
            // A crash counts here, since the message may have caused it.
            let tried = receives + crashes + 1;
            let Text(body) = row.get(2)?;
            bytes += body.len();
            room = room.min(max_batch_for(tried));
            let count = found.received.last().map_or(0, Vec::len);
            if count >= room || bytes > MAX_RECEIVED_BYTES {
                if found.received.len() >= batches {
                    break;
                }
                found.received.push(Vec::new());
                (bytes, room) = (body.len(), most.min(max_batch_for(tried)));
            }
            if let Some(batch) = found.received.last_mut() {
                let id = id_of(row.get(1)?, sequence);
                batch.push(ReceivedMessage { position, id, body, receives: receives + 1 });
            }
        }
        Ok(found)
    })
}

/// Whether a message with this number of receives becomes a dead letter.
fn is_dead(queue: &QueueSettings, receives: u32) -> bool {
    queue.redrive.as_ref().is_some_and(|redrive| receives >= redrive.max_receives)
}

/// The delay before a message with this number of receives is received again. On AWS it is the whole visibility
/// timeout; this host knows that the last worker has ended.
fn pause(queue: &QueueSettings, receives: u32) -> Duration {
    let doubled = MIN_RETRY_DELAY.saturating_mul(2_u32.saturating_pow(receives.saturating_sub(1)));
    doubled.min(queue.visibility_timeout.max(MIN_RETRY_DELAY))
}

pub(super) fn until(now: Timestamp, pause: Duration) -> i64 {
    now.as_millisecond().saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX))
}

fn delete(connection: &Connection, sequences: &[i64]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("DELETE FROM queue_messages WHERE sequence = ?1")?;
    sequences.iter().try_for_each(|sequence| statement.execute([sequence]).map(|_| ()))
}

/// The function failed and the process survived, so the counters of crashes start again.
fn requeue(connection: &Connection, messages: &[(i64, i64, Option<String>)]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "UPDATE queue_messages SET receives = receives + 1, visible_at = ?2, reason = ?3, crashes = 0, deaths = 0 \
         WHERE sequence = ?1",
    )?;
    messages.iter().try_for_each(|(sequence, visible_at, reason)| {
        statement.execute(params![sequence, visible_at, reason]).map(|_| ())
    })
}
