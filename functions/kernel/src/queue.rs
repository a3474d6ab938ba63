//! The queue seam: SQS on AWS, a SQLite table on one machine. What receives from a queue is its event source
//! mapping, on both sides; here is what it gives to a function, and what the function gives back.

use std::{fmt, future::Future, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

crate::names! {
    /// The queues.
    pub enum QueueName, a "Queue" {
        /// Events that were accepted: [`crate::arrival::Arrivals`].
        Events = "events",
        /// Lanes that have something to do. The crate of deliveries knows the message.
        Lanes = "lanes",
    }
}

/// The longest that a message may be held back: SQS's limit.
pub const LONGEST_DELAY: Duration = Duration::from_secs(900);

/// How long a message is held back that is to come at `due`: whole seconds, so that nothing is looked at before it is
/// due; at most [`LONGEST_DELAY`].
pub fn delay(due: Timestamp, now: Timestamp) -> Duration {
    let wait = Duration::try_from(due.duration_since(now)).unwrap_or_default();
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Duration::from_secs(seconds).min(LONGEST_DELAY)
}

/// How large a message may be, in bytes of its body: SQS's limit.
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// A JSON text.
    pub body: String,
    /// For so long nobody receives it; at most [`LONGEST_DELAY`], whole seconds.
    pub delay: Duration,
}

/// Why a queue did not take messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueError {
    /// It holds as much as it may; it takes more when some has been worked off.
    Full,
    /// Busy, throttled or out of reach: trying again may help.
    Unavailable(String),
    /// Not allowed, or not possible: it will not help.
    Refused(String),
}

impl fmt::Display for QueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the queue is full"),
            Self::Unavailable(why) => write!(f, "the queue is unavailable: {why}"),
            Self::Refused(why) => write!(f, "the queue refused: {why}"),
        }
    }
}

impl std::error::Error for QueueError {}

/// Where messages are put. What returned is durable.
pub trait Queue: Clone + Send + Sync + 'static {
    /// Sends messages, in order. An error may leave some of them sent.
    fn send(
        &self,
        queue: QueueName,
        messages: Vec<Message>,
    ) -> impl Future<Output = Result<(), QueueError>> + Send;
}

/// What an event source mapping gives to a function: SQS's event, as far as it is read here.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SqsEvent {
    /// The messages.
    #[serde(rename = "Records")]
    pub records: Vec<SqsMessage>,
}

/// One message of an [`SqsEvent`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SqsMessage {
    /// What the queue calls it.
    pub message_id: String,
    /// What was sent.
    pub body: String,
    /// What the queue knows of it.
    #[serde(default)]
    pub attributes: MessageAttributes,
}

impl SqsMessage {
    /// How often it was received, this time included; one where the queue does not say.
    pub fn receives(&self) -> u32 {
        self.attributes.receives.as_deref().and_then(|count| count.parse().ok()).unwrap_or(1)
    }
}

/// What a queue knows of a message, as far as it is read here. SQS writes numbers as texts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MessageAttributes {
    /// How often it was received, this time included.
    #[serde(rename = "ApproximateReceiveCount", default, skip_serializing_if = "Option::is_none")]
    pub receives: Option<String>,
}

/// How many messages may be worked on together of which one was received for the `receives`-th time.
///
/// What fails with others is tried in ever smaller company. At the fifth time, the last one before the dead letter
/// queue, it is alone: what cannot be worked on takes nothing else with it.
pub fn company(receives: u32) -> usize {
    match receives {
        0..=2 => usize::MAX,
        3 => 100,
        4 => 10,
        _ => 1,
    }
}

/// What the function gives back: the messages that are not done, to be received again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchResponse {
    /// Those messages.
    pub batch_item_failures: Vec<ItemFailure>,
}

impl BatchResponse {
    /// None of these messages is done, and why; no value out of a body.
    pub fn all(messages: Vec<String>, reason: &str) -> Self {
        let failure = |item_identifier| ItemFailure { item_identifier, reason: reason.to_owned() };
        Self { batch_item_failures: messages.into_iter().map(failure).collect() }
    }
}

/// A message that is not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemFailure {
    /// What the queue calls it.
    pub item_identifier: String,
    /// Why not, for people; no value out of its body. SQS does not take it.
    #[serde(skip)]
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[track_caller]
    fn check(milliseconds: i64, expected: u64) {
        let now = Timestamp::UNIX_EPOCH;
        let due = now + SignedDuration::from_millis(milliseconds);
        assert_eq!(delay(due, now), Duration::from_secs(expected), "{milliseconds}");
    }

    #[test]
    fn delays_are_whole_seconds() {
        check(-5_000, 0);
        check(0, 0);
        check(1, 1);
        check(1_000, 1);
        check(4_500, 5);
        check(7_200_000, 900);
    }
}
