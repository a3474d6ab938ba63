//! The settings of a queue.

use std::time::Duration;

/// The settings of a queue that a receive needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// Its name.
    pub name: String,
    /// How long a received message is invisible to other receivers.
    pub visibility_timeout: Duration,
    /// The policy for messages that are received too often.
    pub redrive: Option<Redrive>,
}

/// A redrive policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redrive {
    /// The name of the dead letter queue.
    pub dead_letters: String,
    /// A message with this number of receives moves to the dead letter queue.
    pub max_receives: u32,
}
