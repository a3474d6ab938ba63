//! Messages that the last process was working on when it ended without having been told to.
//!
//! Such an end is no failed try of theirs. Somebody may have killed the process, or it may have died of one of them; the
//! process that comes next cannot tell. A message that is there again and again is held back for ever longer, so that it
//! stands in nobody's way, and the process lives meanwhile. Only what is the single suspect each time has the end held
//! against it, and is dead at last. A server that is told to stop leaves nothing in flight.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::id_of;

/// So often a message is received again at once, in its place: one that is held back is overtaken, and a few kills in a
/// row must not cost the order of events. What is there at more ends than that is a suspect.
const MAX_CRASHES_IN_PLACE: u32 = 8;
/// How often an end is held against a message before that is dead.
pub(super) const MAX_CRASHES: u32 = 16;
/// How long a suspect is held back at first; twice as long each time.
const MIN_SUSPECT_DELAY: Duration = Duration::from_secs(1);
/// The longest that one is held back.
const MAX_SUSPECT_DELAY: Duration = Duration::from_secs(15 * 60);

/// A message that was in flight.
#[derive(Debug)]
pub(super) struct Recovered {
    queue: String,
    id: String,
    sequence: i64,
    /// How often a process ended over it by now.
    crashes: u32,
    /// How long it is held back.
    pause: Duration,
}

impl Recovered {
    fn is_suspect(&self) -> bool {
        self.crashes > MAX_CRASHES_IN_PLACE
    }

    /// Tells of a suspect.
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

/// Takes everything out of flight, and counts.
pub(super) fn recover(connection: &Connection, now: Timestamp) -> rusqlite::Result<Vec<Recovered>> {
    let mut recovered = in_flight(connection)?;
    if recovered.is_empty() {
        return Ok(recovered);
    }
    let suspects = recovered.iter_mut().filter(|recovered| recovered.is_suspect());
    let mut suspects: Vec<&mut Recovered> = suspects.collect();
    let culprit = if let [only] = &suspects[..] { Some(only.sequence) } else { None };
    // One after the other, so that the innocent ones are done before the culprit comes, or it is alone.
    let count = u32::try_from(suspects.len()).unwrap_or(u32::MAX);
    for (place, suspect) in (0..count).zip(&mut suspects) {
        suspect.pause += suspect.pause * place / count;
    }
    let mut update = connection.prepare(
        "UPDATE queue_messages SET crashes = ?2, deaths = deaths + ?3, visible_at = ?4 WHERE sequence = ?1",
    )?;
    for Recovered { sequence, crashes, pause, .. } in &recovered {
        let is_culprit = culprit == Some(*sequence);
        // Zero: it may be received, in its place.
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

/// How long a message is held back over which a process ended so often.
fn pause(crashes: u32) -> Duration {
    match crashes.checked_sub(MAX_CRASHES_IN_PLACE + 1) {
        None => Duration::ZERO,
        Some(more) => MIN_SUSPECT_DELAY.saturating_mul(2_u32.saturating_pow(more)).min(MAX_SUSPECT_DELAY),
    }
}
