//! Messages on their way into a dead letter queue, and why a message is where it is.

use std::{collections::BTreeMap, sync::Arc};

use rusqlite::{Connection, params};

use super::settings::{QueueSettings, Redrive};
use super::{
    LocalQueue,
    crashes::MAX_DEATHS,
    flight::Lies,
    standing::{Load, Standing},
};

/// What became of a message when it was received before; no value out of its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// How often its function failed.
    pub receives: u32,
    /// How often the process ended unasked while it was worked on.
    pub crashes: u32,
    /// How often that was held against it.
    pub(super) deaths: u32,
    /// Why its function failed the last time.
    pub(super) reason: Option<String>,
}

impl Past {
    /// Whether the process ended over it so often that it is not received again.
    pub fn is_deadly(&self) -> bool {
        self.deaths >= MAX_DEATHS
    }

    /// In words; nothing where there is nothing to tell.
    pub fn tell(&self) -> Option<String> {
        let Self { receives, crashes, reason, .. } = self;
        if self.is_deadly() || (*receives == 0 && *crashes > 0) {
            return Some(format!("the process ended {} while it was worked on", times(*crashes)));
        }
        match (receives, reason) {
            (0, _) => None,
            (_, Some(reason)) => {
                Some(format!("its function failed {}, the last time because {reason}", times(*receives)))
            }
            (_, None) => Some(format!("it was received {}", times(*receives))),
        }
    }
}

fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// A message that is not received again.
#[derive(Clone, Debug)]
pub(super) struct Dead {
    pub(super) lies: Lies,
    pub(super) past: Past,
}

/// Messages on their way into a dead letter queue.
#[derive(Clone)]
pub(super) struct Buried {
    messages: Vec<Dead>,
    from: String,
    to: Option<(Redrive, Arc<Standing>)>,
}

impl Buried {
    pub(super) fn new(queues: &LocalQueue, queue: &QueueSettings, messages: Vec<Dead>) -> Self {
        let to = queue.redrive.clone().filter(|_| !messages.is_empty());
        let to = to.map(|redrive| (redrive.clone(), queues.standings.of(&redrive.dead_letters)));
        Self { messages, from: queue.name.clone(), to }
    }

    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let Some((redrive, _)) = &self.to else { return Ok(()) };
        let mut moved = connection.prepare_cached(
            "UPDATE queue_messages SET queue = ?2, visible_at = 0, receives = ?3, reason = ?4 WHERE sequence = ?1",
        )?;
        self.messages.iter().try_for_each(|Dead { lies, past }| {
            let Past { receives, reason, .. } = past;
            moved.execute(params![lies.sequence, redrive.dead_letters, receives, reason]).map(|_| ())
        })
    }

    /// It is on the disk.
    pub(super) fn told(self, from: &Standing) {
        let Some((redrive, to)) = self.to else { return };
        let load: Load = self.messages.iter().map(|dead| dead.lies.load).sum();
        from.remove(load);
        to.add(load).keep();
        let mut reasons = BTreeMap::<String, u64>::new();
        for dead in &self.messages {
            *reasons.entry(dead.past.tell().unwrap_or_default()).or_default() += 1;
        }
        let (name, dead_letters) = (self.from, redrive.dead_letters);
        for (reason, count) in reasons {
            tracing::warn!(
                queue = name,
                count,
                reason,
                "{count} messages of {name} are in {dead_letters} now, of each: {reason}"
            );
        }
    }
}
