//! Messages that were in flight when the last process crashed.
//!
//! A crash does not count as a receive. An operator may have killed the process, or a message may have crashed it; the
//! next process cannot know. A message that is in flight at crash after crash is a suspect: its delay grows, so that
//! other messages are processed and the process survives meanwhile. A crash is charged to a suspect only if it is the
//! single one, and at last the suspect becomes a dead letter. A server that stops regularly has nothing in flight.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::id_of;

/// After so many crashes a message is still received at once and in its order: other messages overtake a delayed one,
/// and a few kills in a row must not cost the order of events. A message with more crashes is a suspect.
const MAX_CRASHES_IN_PLACE: u32 = 8;
/// How many crashes are charged to a message before it becomes a dead letter.
pub(super) const MAX_CRASHES: u32 = 16;
/// The first delay of a suspect. Each further delay is twice as long.
const MIN_SUSPECT_DELAY: Duration = Duration::from_secs(1);
/// The longest delay of a suspect.
const MAX_SUSPECT_DELAY: Duration = Duration::from_secs(15 * 60);

/// A message that was in flight.
#[derive(Debug)]
pub(super) struct Recovered {
    queue: String,
    id: String,
    sequence: i64,
    /// How many processes have crashed while it was in flight.
    crashes: u32,
    /// Its delay.
    pause: Duration,
}

impl Recovered {
    fn is_suspect(&self) -> bool {
        self.crashes > MAX_CRASHES_IN_PLACE
    }

    /// Logs a suspect.
    pub(super) fn warn(&self) {
        if self.is_suspect() {
            let Self { queue, id, crashes, pause, .. } = self;
            let seconds = pause.as_secs();
            tracing::warn!(
                queue,
                message.id = id,
                crashes,
                "the process ended {crashes} times while message {id} of {queue} was worked on; it is held back for {seconds} s"
            );
        }
    }
}

/// Releases every message in flight, and counts the crash.
pub(super) fn recover(connection: &Connection, now: Timestamp) -> rusqlite::Result<Vec<Recovered>> {
    let mut recovered = in_flight(connection)?;
    if recovered.is_empty() {
        return Ok(recovered);
    }
    let suspects = recovered.iter_mut().filter(|recovered| recovered.is_suspect());
    let mut suspects: Vec<&mut Recovered> = suspects.collect();
    let culprit = if let [only] = &suspects[..] { Some(only.sequence) } else { None };
    // Suspects get different delays, so that the innocent ones are finished before the culprit comes, or the culprit
    // comes alone.
    let count = u32::try_from(suspects.len()).unwrap_or(u32::MAX);
    for (place, suspect) in (0..count).zip(&mut suspects) {
        suspect.pause += suspect.pause * place / count;
    }
    let mut update = connection.prepare(
        "UPDATE queue_messages SET crashes = ?2, deaths = deaths + ?3, visible_at = ?4 WHERE sequence = ?1",
    )?;
    for Recovered { sequence, crashes, pause, .. } in &recovered {
        let is_culprit = culprit == Some(*sequence);
        // Zero: the message is visible in its order.
        let visible_at = if pause.is_zero() { 0 } else { super::receive::until(now, *pause) };
        update.execute(params![sequence, crashes, is_culprit, visible_at])?;
    }
    connection.execute("DELETE FROM queue_flights", [])?;
    Ok(recovered)
}

fn in_flight(connection: &Connection) -> rusqlite::Result<Vec<Recovered>> {
    connection
        .prepare(
            "SELECT message.queue, message.id, message.sequence, message.crashes + 1 \
             FROM queue_flights AS flight, json_each(flight.messages) AS received \
             JOIN queue_messages AS message ON message.sequence = received.value",
        )?
        .query_map([], |row| {
            let (sequence, crashes) = (row.get(2)?, row.get(3)?);
            let id = id_of(row.get(1)?, sequence);
            Ok(Recovered { queue: row.get(0)?, id, sequence, crashes, pause: pause(crashes) })
        })?
        .collect()
}

/// The delay of a message after this number of crashes.
fn pause(crashes: u32) -> Duration {
    match crashes.checked_sub(MAX_CRASHES_IN_PLACE + 1) {
        None => Duration::ZERO,
        Some(more) => MIN_SUSPECT_DELAY.saturating_mul(2_u32.saturating_pow(more)).min(MAX_SUSPECT_DELAY),
    }
}
