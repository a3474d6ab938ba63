//! Messages that are being worked on: received together, and settled together when that has ended.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use kernel::{queue::company, store::StoreError};
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    LocalQueue,
    body::Text,
    dead::{Buried, Dead, Past},
    id_of,
    look::{RESTS, load_of, time},
    settings::QueueSettings,
    standing::{Load, Standing},
};
use crate::store::Readers;

/// At most so many bytes are received at once: a Lambda call takes 6 MB.
const BYTES: usize = 4 * 1024 * 1024;
/// After how long a message that failed is received again, at first; twice as long each time.
const PAUSE: Duration = Duration::from_secs(1);

/// A message that is being worked on.
#[derive(Clone, Debug)]
pub struct Held {
    lies: Lies,
    /// Its id.
    pub id: String,
    /// Its text.
    pub body: String,
    /// How often it was received, this time included.
    pub receives: u32,
}

/// Where a message lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lies {
    pub(super) sequence: i64,
    pub(super) load: Load,
}

/// Messages that were received together.
#[derive(Debug)]
pub struct Flight {
    id: i64,
    /// The messages, in the order in which they were sent.
    pub messages: Vec<Held>,
}

/// What a queue has for whoever asks.
#[derive(Debug)]
pub enum Next {
    /// Messages to work on; one flight at least.
    Flights(Vec<Flight>),
    /// Nothing, until more is sent; or until then, when what is held back may be received.
    Nothing(Option<Timestamp>),
}

impl LocalQueue {
    /// Receives at most so many `flights` of at most `most` messages, in the order in which they were sent. Those that
    /// were received as often as the queue allows go to its dead letter queue instead. A message that was received
    /// before comes in small company ([`company`]), so that what it does to its worker, it does to few others.
    ///
    /// One at a time may ask for the messages of a queue.
    pub async fn receive(
        &self,
        queue: &QueueSettings,
        most: usize,
        flights: usize,
        now: Timestamp,
    ) -> Result<Next, StoreError> {
        let standing = self.standings.of(&queue.name);
        loop {
            let later = self.release(&queue.name, now).await?;
            let found = find(&self.store.readers, &standing, queue, most, flights)?;
            if found.held.is_empty() && found.dead.is_empty() {
                return Ok(Next::Nothing(later));
            }
            let flights = self.take_off(queue, &standing, found).await?;
            if !flights.is_empty() {
                return Ok(Next::Flights(flights));
            }
        }
    }

    /// What was held back until now may be received; gives when the next one may.
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

    /// Writes down what is worked on from here on.
    async fn take_off(
        &self,
        queue: &QueueSettings,
        standing: &Arc<Standing>,
        found: Found,
    ) -> Result<Vec<Flight>, StoreError> {
        let Found { held, dead } = found;
        let sequences = |flight: &Vec<Held>| flight.iter().map(|message| message.lies.sequence).collect();
        let taken: Vec<Vec<i64>> = held.iter().map(sequences).collect();
        let sequences: HashSet<i64> = taken.iter().flatten().copied().collect();
        standing.in_flight().extend(&sequences);
        let (name, buried) = (queue.name.clone(), Buried::new(self, queue, dead));
        let (bury, in_flight) = (buried.clone(), Arc::clone(standing));
        let written = self.store.writer.write_then(
            move |connection| {
                bury.write(connection)?;
                let mut insert = connection
                    .prepare_cached("INSERT INTO queue_flights (queue, messages) VALUES (?1, ?2)")?;
                let id =
                    |flight: &Vec<i64>| insert.insert(params![name, serde_json::json!(flight).to_string()]);
                taken.iter().map(id).collect::<Result<Vec<i64>, _>>()
            },
            move |written| match written {
                Ok(_) => buried.told(&in_flight),
                Err(_) => in_flight.in_flight().retain(|sequence| !sequences.contains(sequence)),
            },
        );
        let ids = written.await?;
        Ok(ids.into_iter().zip(held).map(|(id, messages)| Flight { id, messages }).collect())
    }

    /// Ends a flight: what `failed`, by the names of the messages and with reasons, is received again after a pause, or is
    /// dead; the rest is done. Gives for how long whoever keeps order waits.
    pub async fn settle(
        &self,
        queue: &QueueSettings,
        flight: &Flight,
        failed: &HashMap<String, String>,
        now: Timestamp,
    ) -> Result<Option<Duration>, StoreError> {
        let standing = self.standings.of(&queue.name);
        let (left, done): (Vec<&Held>, Vec<_>) =
            flight.messages.iter().partition(|message| failed.contains_key(&message.id));
        let (dead, again): (Vec<&Held>, Vec<_>) =
            left.into_iter().partition(|message| is_dead(queue, message.receives));
        let pause = |message: &Held| pause(queue, message.receives);
        let wait = again.iter().filter(|message| company(message.receives) == usize::MAX);
        let wait = wait.map(|message| pause(message)).max();
        let reason = |message: &Held| failed.get(&message.id).cloned();
        let again: Vec<(i64, i64, Option<String>)> = again
            .into_iter()
            .map(|message| (message.lies.sequence, until(now, pause(message)), reason(message)))
            .collect();
        let less: Load = done.iter().map(|message| message.lies.load).sum();
        let done: Vec<i64> = done.into_iter().map(|message| message.lies.sequence).collect();
        let dead = dead.into_iter().map(|message| {
            let past = Past { receives: message.receives, reason: reason(message), ..Past::default() };
            Dead { lies: message.lies, past }
        });
        let buried = Buried::new(self, queue, dead.collect());
        let landed: HashSet<i64> = flight.messages.iter().map(|message| message.lies.sequence).collect();
        let (id, bury) = (flight.id, buried.clone());
        let written = self.store.writer.write_then(
            move |connection| {
                delete(connection, &done)?;
                give_back(connection, &again)?;
                bury.write(connection)?;
                connection.prepare_cached("DELETE FROM queue_flights WHERE id = ?1")?.execute([id])?;
                Ok(())
            },
            move |written| {
                if written.is_ok() {
                    standing.in_flight().retain(|sequence| !landed.contains(sequence));
                    standing.remove(less);
                    buried.told(&standing);
                    standing.ring();
                }
            },
        );
        written.await?;
        Ok(wait)
    }

    /// Moves all messages of one queue that nobody works on into another, as if they had just been sent; gives how
    /// many.
    pub async fn move_all(&self, from: &str, to: &str) -> Result<u64, StoreError> {
        let (here, there) = (self.standings.of(from), self.standings.of(to));
        let (from, to) = (from.to_owned(), to.to_owned());
        let moved = self.store.writer.write_then(
            move |connection| {
                let load = load_of(connection, &from)?;
                let sql = format!(
                    "UPDATE queue_messages SET queue = ?2, visible_at = 0, receives = 0, deaths = 0, crashes = 0, \
                     reason = NULL WHERE queue = ?1 AND {RESTS}"
                );
                connection.prepare_cached(&sql)?.execute(params![from, to])?;
                Ok(load)
            },
            move |moved| {
                if let Ok(load) = moved {
                    here.remove(*load);
                    there.add(*load).keep();
                }
            },
        );
        Ok(moved.await?.messages)
    }
}

/// What may be received, and what may not any longer.
#[derive(Default)]
struct Found {
    /// By flight.
    held: Vec<Vec<Held>>,
    dead: Vec<Dead>,
}

fn find(
    readers: &Readers,
    standing: &Standing,
    queue: &QueueSettings,
    most: usize,
    flights: usize,
) -> Result<Found, StoreError> {
    // Taken before the file is looked at: what is settled meanwhile may still be seen there.
    let in_flight = standing.in_flight().clone();
    readers.with(|connection| {
        let mut statement = connection.prepare_cached(
            "SELECT sequence, id, body, receives, octet_length(body), deaths, crashes, reason \
             FROM queue_messages \
             WHERE queue = ?1 AND visible_at = 0 ORDER BY sequence",
        )?;
        let mut rows = statement.query([&queue.name])?;
        let (mut found, mut bytes, mut room) = (Found::default(), 0, 0);
        while found.dead.len() < most
            && let Some(row) = rows.next()?
        {
            let sequence = row.get(0)?;
            if in_flight.contains(&sequence) {
                continue;
            }
            let lies = Lies { sequence, load: Load::one(row.get(4)?) };
            let (receives, deaths, crashes) = (row.get(3)?, row.get(5)?, row.get(6)?);
            let past = Past { receives, crashes, deaths, reason: None };
            if is_dead(queue, receives) || (past.is_deadly() && queue.redrive.is_some()) {
                found.dead.push(Dead { lies, past: Past { reason: row.get(7)?, ..past } });
                continue;
            }
            // A process that died over it may have died of it.
            let tried = receives + crashes + 1;
            let Text(body) = row.get(2)?;
            bytes += body.len();
            room = room.min(company(tried));
            let count = found.held.last().map_or(0, Vec::len);
            if count >= room || bytes > BYTES {
                if found.held.len() >= flights {
                    break;
                }
                found.held.push(Vec::new());
                (bytes, room) = (body.len(), most.min(company(tried)));
            }
            if let Some(flight) = found.held.last_mut() {
                let id = id_of(row.get(1)?, sequence);
                flight.push(Held { lies, id, body, receives: receives + 1 });
            }
        }
        Ok(found)
    })
}

/// Whether a message that was received so often is not received again.
fn is_dead(queue: &QueueSettings, receives: u32) -> bool {
    queue.redrive.as_ref().is_some_and(|redrive| receives >= redrive.max_receives)
}

/// After how long a message that was received so often is received again. On AWS it is the whole visibility timeout;
/// here whoever had it is known to have ended.
fn pause(queue: &QueueSettings, receives: u32) -> Duration {
    let doubled = PAUSE.saturating_mul(2_u32.saturating_pow(receives.saturating_sub(1)));
    doubled.min(queue.visibility_timeout.max(PAUSE))
}

pub(super) fn until(now: Timestamp, pause: Duration) -> i64 {
    now.as_millisecond().saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX))
}

fn delete(connection: &Connection, sequences: &[i64]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("DELETE FROM queue_messages WHERE sequence = ?1")?;
    sequences.iter().try_for_each(|sequence| statement.execute([sequence]).map(|_| ()))
}

/// What its function failed over has not killed the process.
fn give_back(connection: &Connection, messages: &[(i64, i64, Option<String>)]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "UPDATE queue_messages SET receives = receives + 1, visible_at = ?2, reason = ?3, crashes = 0, deaths = 0 \
         WHERE sequence = ?1",
    )?;
    messages.iter().try_for_each(|(sequence, visible_at, reason)| {
        statement.execute(params![sequence, visible_at, reason]).map(|_| ())
    })
}
