//! The stored items of a lane. A delivery is one event for one destination.
//!
//! A lane is one partition of [`Table::Deliveries`], `<tenant>/<destination>`:
//!
//! | sort key | item |
//! |---|---|
//! | `!lane` | the state of the lane: its lease, its circuit breaker |
//! | `q#<due, 13 digits of milliseconds>#<sequence>` | [`Queued`]: a queue row, due at that time |
//! | `p#<sequence>` | [`Delivery`] that waits for its next attempt |
//! | `d#<sequence>` | [`Delivery`] that was delivered |
//! | `f#<sequence>` | [`Delivery`] that failed for good. Its version is one more than its replays. During a redrive its status is pending; a delivery then deletes it |
//!
//! The sequence is [`kernel::provenance::Provenance::sequence`].

use std::{ops::Not, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use destinations::destination::Destination;
use kernel::{
    batch::Name,
    destination_name::DestinationName,
    error::Error,
    json,
    queue::{Message, Queue, QueueName},
    store::{Item, Table},
};

/// The table of all lanes.
pub const TABLE: Table = Table::Deliveries;
/// The sort key of the lane's state.
pub const LANE_SORT: &str = "!lane";
/// The prefix of the sort keys of [`Queued`].
pub const QUEUED_PREFIX: &str = "q#";

/// The partition of a destination's lane.
pub fn partition(tenant: &Name, destination: &DestinationName) -> String {
    format!("{tenant}/{destination}")
}

/// The sort key of a queue row that is due at `due`.
pub fn queued_sort(due: Timestamp, sequence: &str) -> String {
    format!("{QUEUED_PREFIX}{:013}#{sequence}", due.as_millisecond().max(0))
}

/// The due time and the sequence in the sort key of a queue row.
pub fn queued_parts(sort: &str) -> Option<(Timestamp, &str)> {
    let (due, sequence) = sort.strip_prefix(QUEUED_PREFIX)?.split_once('#')?;
    Some((Timestamp::from_millisecond(due.parse().ok()?).ok()?, sequence))
}

/// A queue row: a delivery that waits until it is due. It is small, because the event is in
/// [`Table::Events`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Queued {
    /// The id of the event.
    pub message_id: String,
    /// When the event arrived.
    pub received_at: Timestamp,
    /// [`Destination::made`] of the receiver. Another destination may have had the same name before.
    #[serde(rename = "of", default, skip_serializing_if = "Option::is_none")]
    pub destination_made: Option<i64>,
    /// The user of the event, which is the ordering key; only if the destination orders by user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The preferred channel of the event; only if the destination is of type communication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// How many attempts of the retry schedule were used.
    #[serde(default)]
    pub tries: u32,
    /// How often the delivery was redriven after it had failed for good.
    #[serde(default)]
    pub replays: u32,
    /// Since when the delivery blocks later events of its user.
    #[serde(rename = "stuckSince", default, skip_serializing_if = "Option::is_none")]
    pub blocking_since: Option<Timestamp>,
    /// When the last call or evaluation failed, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Timestamp>,
    /// Since when the destination has asked for time (429), if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled_since: Option<Timestamp>,
    /// Whether the filter of the destination is undecided: RouteEvents could not evaluate it, or not in time.
    /// The delivery worker evaluates it.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub filter_pending: bool,
}

impl Queued {
    /// Whether a [`Delivery`] is stored beside the row, because of an attempt, a redrive or a block.
    pub fn has_record(&self) -> bool {
        self.tries > 0 || self.replays > 0 || self.blocking_since.is_some()
    }

    /// Whether the row is for this destination, and not for an earlier one of the same name.
    pub fn is_for(&self, destination: &Destination) -> bool {
        destination.is_of(self.destination_made)
    }
}

/// The status of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The delivery waits for its first or next attempt.
    Pending,
    /// The destination answered with a 2xx.
    Delivered,
    /// No attempt follows. The event and the reason are in quarantine.
    Failed,
}

impl Status {
    /// All statuses.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Failed];

    /// The name in JSON and queries.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }

    /// The prefix of the sort keys of such a [`Delivery`].
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Pending => "p#",
            Self::Delivered => "d#",
            Self::Failed => "f#",
        }
    }

    /// The sort key of a delivery with this status.
    pub fn sort(self, sequence: &str) -> String {
        format!("{}{sequence}", self.prefix())
    }
}

/// The record of a delivery: its status and its attempts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delivery {
    /// The id of the event.
    pub message_id: String,
    /// The destination of the delivery.
    pub destination: DestinationName,
    /// The status.
    pub status: Status,
    /// The attempts, the first one first; at most the last [`MAX_STORED_ATTEMPTS`].
    pub attempts: Vec<Attempt>,
    /// When the next attempt is due, if one follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
    /// Since when the delivery blocks later events of its user; `None`: since `next_attempt_at`.
    #[serde(rename = "stuckSince", default, skip_serializing_if = "Option::is_none")]
    pub blocking_since: Option<Timestamp>,
    /// Why the delivery failed for good, if it did: the name of the last attempt's error, `http_404`, or why
    /// no attempt was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The user of the event, which is the ordering key; only if the destination orders by user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The preferred channel of the event; only if the destination is of type communication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// When the event arrived.
    pub received_at: Timestamp,
    /// [`Destination::made`] of the receiver. Another destination may have had the same name before.
    #[serde(rename = "of", default, skip_serializing_if = "Option::is_none")]
    pub destination_made: Option<i64>,
    /// How often the delivery was redriven after it had failed for good.
    #[serde(default)]
    pub replays: u32,
    /// [`Queued::filter_pending`] at the time of this record.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub filter_pending: bool,
}

impl Delivery {
    /// Whether the record is for this destination, and not for an earlier one of the same name.
    pub fn is_for(&self, destination: &Destination) -> bool {
        destination.is_of(self.destination_made)
    }
}

/// How many attempts a record has at most.
pub const MAX_STORED_ATTEMPTS: usize = 32;

/// One call, or an evaluation that led to none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attempt {
    /// When the attempt began.
    pub at: Timestamp,
    /// The duration in milliseconds.
    pub duration_ms: u64,
    /// The status of the response, if the destination responded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The error of an attempt without a response: `timeout`, `connect`, `reset`, `dns`, `tls`, `blocked`,
    /// `mapping`, `filter`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The fault of the mapping or the filter, if that is the error. It has no value from the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Attempt {
    /// Why the attempt failed, if it did: `http_404`, or the name of the error.
    pub fn failure(&self) -> Option<String> {
        match (self.status, &self.error) {
            (Some(200..=299), _) => None,
            (Some(status), _) => Some(format!("http_{status}")),
            (None, error) => Some(error.clone().unwrap_or_else(|| "unknown".to_owned())),
        }
    }
}

/// A message of the lanes queue: a lane has work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wakeup {
    /// The tenant of the lane.
    pub tenant: Name,
    /// The destination of the lane.
    pub destination: DestinationName,
}

impl Wakeup {
    /// The message, to be received after `delay`.
    pub fn message(&self, delay: Duration) -> Result<Message, Error> {
        let body = serde_json::to_string(self).map_err(|error| Error::BadInput(json::describe(&error)))?;
        Ok(Message { body, delay })
    }

    /// Sends the message, to be received after `delay`.
    pub async fn send(&self, delay: Duration, queue: &impl Queue) -> Result<(), Error> {
        Ok(queue.send(QueueName::Lanes, vec![self.message(delay)?]).await?)
    }
}

/// Wakes a lane at once.
pub async fn wake_lane(
    tenant: &Name,
    destination: &DestinationName,
    queue: &impl Queue,
) -> Result<(), Error> {
    let wakeup = Wakeup { tenant: tenant.clone(), destination: destination.clone() };
    wakeup.send(Duration::ZERO, queue).await
}

/// An item of a lane with this body.
pub fn item(partition: &str, sort: String, version: u64, body: &impl Serialize) -> Result<Item, Error> {
    let body = serde_json::to_string(body).map_err(|error| Error::BadInput(json::describe(&error)))?;
    Ok(Item { partition: partition.to_owned(), sort, version, body })
}

/// The body of an item of a lane.
pub fn body<T: DeserializeOwned>(item: &Item) -> Result<T, Error> {
    json::decode(item.body.as_bytes())
}
