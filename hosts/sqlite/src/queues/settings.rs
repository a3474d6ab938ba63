//! What a queue is set to.

use std::time::Duration;

/// A queue of the template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// Its logical id, with `.fifo` behind it where it is one.
    pub name: String,
    /// Whether it is a FIFO queue.
    pub fifo: bool,
    /// Whether a FIFO queue tells messages apart by their bodies.
    pub content_based_deduplication: bool,
    /// For how many seconds a message is held back that says nothing else.
    pub delay: u32,
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
