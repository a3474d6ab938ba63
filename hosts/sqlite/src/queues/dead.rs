//! Dead letters, and the history of a message.

use std::{collections::BTreeMap, sync::Arc};

use rusqlite::{Connection, params};

use super::settings::{QueueSettings, Redrive};
use super::{
    LocalQueue,
    crashes::MAX_CRASHES,
    receive::Position,
    state::{QueueState, Size},
};

/// The earlier receives of a message. It contains no value of the body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// How often its function failed.
    pub receives: u32,
    /// How often the process crashed while the message was in flight.
    pub crashes: u32,
    /// How many of these crashes are charged to the message.
    pub(super) charged_crashes: u32,
    /// Why its function failed the last time.
    pub(super) reason: Option<String>,
}

impl History {
    /// Whether so many crashes are charged to the message that it is not received again.
    pub fn is_poison(&self) -> bool {
        self.charged_crashes >= MAX_CRASHES
    }

    /// The history in words; `None` for a message without one.
    pub fn describe(&self) -> Option<String> {
        let Self { receives, crashes, reason, .. } = self;
        if self.is_poison() || (*receives == 0 && *crashes > 0) {
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
pub(super) struct DeadLetter {
    pub(super) position: Position,
    pub(super) history: History,
}

/// Messages that move to a dead letter queue.
#[derive(Clone)]
pub(super) struct DeadLetters {
    messages: Vec<DeadLetter>,
    from: String,
    to: Option<(Redrive, Arc<QueueState>)>,
}

impl DeadLetters {
    pub(super) fn new(queues: &LocalQueue, queue: &QueueSettings, messages: Vec<DeadLetter>) -> Self {
        let to = queue.redrive.clone().filter(|_| !messages.is_empty());
        let to = to.map(|redrive| (redrive.clone(), queues.states.of(&redrive.dead_letters)));
        Self { messages, from: queue.name.clone(), to }
    }

    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let Some((redrive, _)) = &self.to else { return Ok(()) };
        let mut moved = connection.prepare_cached(
            "UPDATE queue_messages SET queue = ?2, visible_at = 0, receives = ?3, reason = ?4 WHERE sequence = ?1",
        )?;
        self.messages.iter().try_for_each(|DeadLetter { position, history }| {
            let History { receives, reason, .. } = history;
            moved.execute(params![position.sequence, redrive.dead_letters, receives, reason]).map(|_| ())
        })
    }

    /// Updates the states of both queues after the commit, and logs the dead letters.
    pub(super) fn apply(self, from: &QueueState) {
        let Some((redrive, to)) = self.to else { return };
        let size: Size = self.messages.iter().map(|dead| dead.position.size).sum();
        from.remove(size);
        to.add(size).keep();
        let mut reasons = BTreeMap::<String, u64>::new();
        for dead in &self.messages {
            *reasons.entry(dead.history.describe().unwrap_or_default()).or_default() += 1;
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
