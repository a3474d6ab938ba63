//! What a queue is set to.

use std::time::Duration;

/// A queue, and what becomes of messages that are received from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// Its name.
    pub name: String,
    /// For how long whoever receives a message has it.
    pub visibility_timeout: Duration,
    /// What becomes of a message that is received too often.
    pub redrive: Option<Redrive>,
}

/// Where messages go that cannot be worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redrive {
    /// The name of the dead letter queue.
    pub dead_letters: String,
    /// A message that was received so often goes there.
    pub max_receives: u32,
}
