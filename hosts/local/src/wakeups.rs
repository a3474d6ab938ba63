//! The wake-ups of a starting server: each lane with waiting deliveries has a wake-up, or gets one.

use std::collections::HashMap;

use delivery::model::{self, Wakeup};
use jiff::{SignedDuration, Timestamp};
use kernel::{
    Error, json,
    queue::{self, Queue as _, QueueName},
};
use registry::Host;
use rusqlite::Connection;
use sqlite_store::{
    SqliteStore,
    queues::{self, LocalQueue, Waiting},
};
use template::Template;

/// Maximum delay of an existing wake-up after the first due time; a later one does not count.
const MAX_LATE: SignedDuration = SignedDuration::from_secs(2);

/// Every lane with its first due time: one step in the table for each lane.
const FIRST_DUE_BY_LANE: &str = "
WITH RECURSIVE lanes (lane) AS (
  SELECT min(partition) FROM deliveries
  UNION ALL
  SELECT (SELECT min(partition) FROM deliveries WHERE partition > lane) FROM lanes WHERE lane IS NOT NULL
)
SELECT lane, (SELECT min(sort) FROM deliveries WHERE partition = lane AND sort >= 'q#' AND sort < 'q$')
FROM lanes WHERE lane IS NOT NULL
";

/// Schedules a wake-up for every lane with waiting deliveries. A lane whose wake-up is a dead letter stays asleep until
/// an operator redrives it. A second run changes nothing.
pub(crate) async fn wake_lanes(
    host: &Host<SqliteStore, LocalQueue>,
    template: &Template,
    now: Timestamp,
) -> Result<(), Error> {
    let lanes = QueueName::Lanes.resource();
    let redrive = template.queues.iter().find(|queue| queue.name == lanes).and_then(|it| it.redrive.as_ref());
    let dead_letters = redrive.map(|redrive| redrive.dead_letters.as_str());
    let readers = &host.store.readers;
    let pending = by_lane(queues::oldest(readers, lanes, u32::MAX)?);
    let dead = dead_letters.map(|dead| queues::oldest(readers, dead, u32::MAX)).transpose()?;
    let dead = by_lane(dead.unwrap_or_default());
    let mut messages = Vec::new();
    for (lane, due) in readers.with(waiting)? {
        let Some(wakeup) = named(&lane) else { continue };
        let is_poison =
            |lane: &str| dead.get(lane).is_some_and(|all| all.iter().any(|it| it.history.is_poison()));
        if is_poison(&lane) {
            tracing::warn!(
                lane,
                "the lane {lane} is not woken, since its wake-up is dead: the process ended again and again while it \
                 was worked on; `crmflow queues redrive LanesDeadLetters` wakes it"
            );
            continue;
        }
        let arrives = |it: &Waiting| it.history.crashes > 0 || it.visible_at <= due.max(now) + MAX_LATE;
        if !pending.get(&lane).is_some_and(|all| all.iter().any(arrives)) {
            messages.push(wakeup.message(queue::delay(due, now))?);
        }
    }
    let count = messages.len();
    if count > 0 {
        host.queue.send(QueueName::Lanes, messages).await?;
        tracing::info!(lanes = count, "lanes with waiting deliveries that had no wake-up: {count}");
    }
    // Their lanes are awake, or have nothing waiting.
    let obsolete = dead.into_values().flatten().filter(|it| !it.history.is_poison()).map(|it| it.sequence);
    let obsolete: Vec<i64> = obsolete.collect();
    if let Some(dead_letters) = dead_letters.filter(|_| !obsolete.is_empty()) {
        let count = obsolete.len();
        host.queue.forget(dead_letters, obsolete).await?;
        tracing::info!(queue = dead_letters, count, "obsolete wake-ups of {dead_letters}: {count}");
    }
    Ok(())
}

/// The lanes with waiting deliveries, each with its first due time.
fn waiting(connection: &Connection) -> rusqlite::Result<Vec<(String, Timestamp)>> {
    let mut statement = connection.prepare(FIRST_DUE_BY_LANE)?;
    let mut rows = statement.query([])?;
    let mut waiting = Vec::new();
    while let Some(row) = rows.next()? {
        let first: Option<String> = row.get(1)?;
        if let Some((due, _)) = first.as_deref().and_then(model::queued_parts) {
            waiting.push((row.get(0)?, due));
        }
    }
    Ok(waiting)
}

fn named(lane: &str) -> Option<Wakeup> {
    let (tenant, destination) = lane.split_once('/')?;
    Some(Wakeup { tenant: tenant.parse().ok()?, destination: destination.parse().ok()? })
}

/// Wake-ups by the lane that they name.
fn by_lane(messages: Vec<Waiting>) -> HashMap<String, Vec<Waiting>> {
    let mut lanes = HashMap::<_, Vec<_>>::new();
    for message in messages {
        if let Ok(Wakeup { tenant, destination }) = json::decode::<Wakeup>(message.body.as_bytes()) {
            lanes.entry(model::partition(&tenant, &destination)).or_default().push(message);
        }
    }
    lanes
}
