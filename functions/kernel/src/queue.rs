//! The queue interface: SQS on AWS, a SQLite table on one machine. On both sides an event source mapping receives the
//! messages and calls a function. This module has that function's input and output, too.

use std::{fmt, future::Future, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

crate::names! {
    /// The queues.
    pub enum QueueName, a "Queue" {
        /// Accepted ingest requests: [`crate::provenance::IngestRequest`].
        Events = "events",
        /// Wake-ups of lanes. The delivery crate knows the message.
        Lanes = "lanes",
    }
}

/// Maximum delay of a message: SQS's limit.
pub const MAX_DELAY: Duration = Duration::from_secs(900);

/// The delay of a message that should arrive at `due`: whole seconds, rounded up, so that no receiver reads it before
/// it is due; at most [`MAX_DELAY`].
pub fn delay(due: Timestamp, now: Timestamp) -> Duration {
    let wait = Duration::try_from(due.duration_since(now)).unwrap_or_default();
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Duration::from_secs(seconds).min(MAX_DELAY)
}

/// Maximum size of a message, in bytes of its body: SQS's limit.
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// A JSON text.
    pub body: String,
    /// No receiver gets the message for this time; at most [`MAX_DELAY`], whole seconds.
    pub delay: Duration,
}

/// Why a queue refused messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueError {
    /// It has as many messages as it may; it accepts more once some are processed.
    Full,
    /// Busy, throttled or unreachable: a retry may help.
    Unavailable(String),
    /// Not permitted, or not possible: a retry cannot help.
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

/// The sending side of the queues. A message is durable once the call returned.
pub trait Queue: Clone + Send + Sync + 'static {
    /// Sends messages, in order. An error may leave some of them sent.
    fn send(
        &self,
        queue: QueueName,
        messages: Vec<Message>,
    ) -> impl Future<Output = Result<(), QueueError>> + Send;
}

/// The input that an event source mapping passes to a function: SQS's event, as far as crmflow reads it.
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
    /// The queue's id of the message.
    pub message_id: String,
    /// The body that was sent.
    pub body: String,
    /// The queue's attributes of the message.
    #[serde(default)]
    pub attributes: MessageAttributes,
}

impl SqsMessage {
    /// How often it was received, this time included; one if the queue does not say.
    pub fn receives(&self) -> u32 {
        self.attributes.receives.as_deref().and_then(|count| count.parse().ok()).unwrap_or(1)
    }
}

/// The attributes of a message, as far as crmflow reads them. SQS writes numbers as texts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MessageAttributes {
    /// How often it was received, this time included.
    #[serde(rename = "ApproximateReceiveCount", default, skip_serializing_if = "Option::is_none")]
    pub receives: Option<String>,
}

/// Maximum number of messages in one batch with a message that was received for the `receives`-th time.
///
/// Messages that failed together are retried in ever smaller batches. At the fifth receive, the last one before the
/// dead letter queue, a message is alone: a poison message fails no other one.
pub fn max_batch_for(receives: u32) -> usize {
    match receives {
        0..=2 => usize::MAX,
        3 => 100,
        4 => 10,
        _ => 1,
    }
}

/// The function's answer: the messages that are not done, and are to be received again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchResponse {
    /// Those messages.
    pub batch_item_failures: Vec<ItemFailure>,
}

impl BatchResponse {
    /// None of these messages is done; `reason` contains no value of a body.
    pub fn all(messages: Vec<String>, reason: &str) -> Self {
        let failure = |item_identifier| ItemFailure { item_identifier, reason: reason.to_owned() };
        Self { batch_item_failures: messages.into_iter().map(failure).collect() }
    }
}

/// A message that is not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemFailure {
    /// The queue's id of the message.
    pub item_identifier: String,
    /// The reason, for people; no value of the body. SQS does not accept it.
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
