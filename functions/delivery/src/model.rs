//! A delivery: one event to one destination. What waits lies in the destination's lane, due times first; what
//! has ended lies beside it, by how it ended.
//!
//! All of a lane is one partition of [`Table::Deliveries`], `<tenant>/<destination>`:
//!
//! | sort | what |
//! |---|---|
//! | `!lane` | the lane itself: who works on it, its breaker |
//! | `q#<due, 13 digits of milliseconds>#<sequence>` | [`Queued`]: to be sent, at that time |
//! | `p#<sequence>` | [`Delivery`] that is waiting for its next try: what was tried so far |
//! | `d#<sequence>` | [`Delivery`] that was delivered |
//! | `f#<sequence>` | [`Delivery`] that failed for good; its version is one more than its replays. While it is sent again its status says that it waits; it goes when it was delivered |
//!
//! The sequence is [`kernel::arrival::Arrival::sequence`].

use std::{ops::Not, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use destinations::destination::Destination;
use kernel::{
    batch::Name,
    destination_name::DestinationName,
    door,
    error::Error,
    queue::{Message, Queue, QueueName},
    store::{Item, Table},
};

/// The table that lanes lie in.
pub const TABLE: Table = Table::Deliveries;
/// The sort of the lane itself.
pub const LANE_SORT: &str = "!lane";
/// What the sorts of [`Queued`] begin with.
pub const QUEUED_PREFIX: &str = "q#";

/// The partition of a destination's lane.
pub fn partition(tenant: &Name, destination: &DestinationName) -> String {
    format!("{tenant}/{destination}")
}

/// The sort of a delivery that is to be sent at `due`.
pub fn queued_sort(due: Timestamp, sequence: &str) -> String {
    format!("{QUEUED_PREFIX}{:013}#{sequence}", due.as_millisecond().max(0))
}

/// When the delivery with this sort is due, and its sequence.
pub fn queued_parts(sort: &str) -> Option<(Timestamp, &str)> {
    let (due, sequence) = sort.strip_prefix(QUEUED_PREFIX)?.split_once('#')?;
    Some((Timestamp::from_millisecond(due.parse().ok()?).ok()?, sequence))
}

/// A delivery that is to be sent. Small: the event itself lies in [`Table::Responses`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Queued {
    /// The event.
    pub message_id: String,
    /// When it arrived.
    pub received_at: Timestamp,
    /// [`Destination::made`] of the one that it is for: another may have had its name before.
    #[serde(rename = "of", default, skip_serializing_if = "Option::is_none")]
    pub destination_made: Option<i64>,
    /// Whose event it is, where order is kept by user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The event's preferred channel, where the destination is communication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// How many tries were used up.
    #[serde(default)]
    pub tries: u32,
    /// How often it was sent again after it had failed for good.
    #[serde(default)]
    pub replays: u32,
    /// Since when it holds up its user's later events.
    #[serde(rename = "stuckSince", default, skip_serializing_if = "Option::is_none")]
    pub blocking_since: Option<Timestamp>,
    /// When a call failed last, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Timestamp>,
    /// Since when the destination asks for time (429), if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled_since: Option<Timestamp>,
    /// Whether the destination's filter is still to be evaluated for it: RouteEvents could not, or not in the time that
    /// it has. The delivery worker does.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub filter_pending: bool,
}

impl Queued {
    /// Whether something was tried, or it was put off: then a [`Delivery`] stands beside it that says so.
    pub fn has_record(&self) -> bool {
        self.tries > 0 || self.replays > 0 || self.blocking_since.is_some()
    }

    /// Whether it is for this destination, and not for one that had its name before.
    pub fn is_for(&self, destination: &Destination) -> bool {
        destination.is_of(self.destination_made)
    }
}

/// How a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// To be sent, or to be tried again.
    Pending,
    /// The destination answered with a 2xx.
    Delivered,
    /// It is not tried again; event and reason are in quarantine.
    Failed,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Failed];

    /// The name in JSON and queries.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }

    /// What the sort of such a [`Delivery`] begins with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Pending => "p#",
            Self::Delivered => "d#",
            Self::Failed => "f#",
        }
    }

    /// The sort of a delivery that stands like this.
    pub fn sort(self, sequence: &str) -> String {
        format!("{}{sequence}", self.prefix())
    }
}

/// What was tried of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delivery {
    /// The event.
    pub message_id: String,
    /// Where it goes.
    pub destination: DestinationName,
    /// How it stands.
    pub status: Status,
    /// Every attempt, the first one first; of very many the last [`MAX_STORED_ATTEMPTS`].
    pub attempts: Vec<Attempt>,
    /// When it is tried again, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
    /// Since when it holds up its user's later events, if that is not since then.
    #[serde(rename = "stuckSince", default, skip_serializing_if = "Option::is_none")]
    pub blocking_since: Option<Timestamp>,
    /// Why it failed for good, if it did: the name of the last attempt's error, `http_404`, or why it was not
    /// tried at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whose event it is, where order is kept by user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The event's preferred channel, where the destination is communication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// When the event arrived.
    pub received_at: Timestamp,
    /// [`Destination::made`] of the one that it is for: another may have had its name before.
    #[serde(rename = "of", default, skip_serializing_if = "Option::is_none")]
    pub destination_made: Option<i64>,
    /// How often it was sent again after it had failed for good.
    #[serde(default)]
    pub replays: u32,
    /// [`Queued::filter_pending`], as it was when this was written.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub filter_pending: bool,
}

impl Delivery {
    /// Whether it is for this destination, and not for one that had its name before.
    pub fn is_for(&self, destination: &Destination) -> bool {
        destination.is_of(self.destination_made)
    }
}

/// How many attempts are kept of a delivery.
pub const MAX_STORED_ATTEMPTS: usize = 32;

/// One call, or an evaluation that led to none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attempt {
    /// When it was made.
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// The status of the answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What went wrong where there was none: `timeout`, `connect`, `reset`, `dns`, `tls`, `blocked`, `mapping`,
    /// `filter`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What is wrong with the mapping or the filter, where that is the error; it holds no value out of the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Attempt {
    /// Why it failed, if it did: `http_404`, or the name of the error.
    pub fn failure(&self) -> Option<String> {
        match (self.status, &self.error) {
            (Some(200..=299), _) => None,
            (Some(status), _) => Some(format!("http_{status}")),
            (None, error) => Some(error.clone().unwrap_or_else(|| "unknown".to_owned())),
        }
    }
}

/// A message of the queue of lanes: this one has something to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wakeup {
    /// Whose lane.
    pub tenant: Name,
    /// The destination that it leads to.
    pub destination: DestinationName,
}

impl Wakeup {
    /// The message, held back for so long.
    pub fn message(&self, delay: Duration) -> Result<Message, Error> {
        let body = serde_json::to_string(self).map_err(|error| Error::BadInput(door::describe(&error)))?;
        Ok(Message { body, delay })
    }

    /// Has the lane looked at, so much later.
    pub async fn send(&self, delay: Duration, queue: &impl Queue) -> Result<(), Error> {
        Ok(queue.send(QueueName::Lanes, vec![self.message(delay)?]).await?)
    }
}

/// Has a lane looked at.
pub async fn wake_lane(
    tenant: &Name,
    destination: &DestinationName,
    queue: &impl Queue,
) -> Result<(), Error> {
    let wakeup = Wakeup { tenant: tenant.clone(), destination: destination.clone() };
    wakeup.send(Duration::ZERO, queue).await
}

/// The item of something in a lane.
pub fn item(partition: &str, sort: String, version: u64, body: &impl Serialize) -> Result<Item, Error> {
    let body = serde_json::to_string(body).map_err(|error| Error::BadInput(door::describe(&error)))?;
    Ok(Item { partition: partition.to_owned(), sort, version, body })
}

/// What an item of a lane holds.
pub fn body<T: DeserializeOwned>(item: &Item) -> Result<T, Error> {
    door::decode(item.body.as_bytes())
}
