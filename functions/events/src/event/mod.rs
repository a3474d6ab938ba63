//! An event: something that a person did, or that happened to them, in the one form in which it is kept,
//! whichever names its fields came by (design, contract 1).

mod accepted;
mod check;
mod fields;
mod reading;
mod stored;

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use accepted::AcceptedEvent;
pub use check::{check, content_hash, id_of};
pub use stored::{Standing, StoredEvent};

/// How large an event may be, in bytes as it came.
pub const MAX_EVENT_BYTES: usize = 32 * 1024;
/// How large a request of events may be, in bytes once unpacked.
pub const MAX_REQUEST_BYTES: usize = 500 * 1024;
/// How many events a request may have.
pub const MAX_REQUEST_EVENTS: usize = 2_500;
/// How long an event's id may be, in characters.
pub const MAX_MESSAGE_ID: usize = 256;

/// What kind of call an event came by: the names are those of Segment's specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Call {
    /// Something was done.
    Track,
    /// Who somebody is.
    Identify,
    /// A page was seen.
    Page,
    /// A screen was seen.
    Screen,
    /// Somebody belongs to a group.
    Group,
    /// Two ids are of one person.
    Alias,
}

impl Call {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Track, Self::Identify, Self::Page, Self::Screen, Self::Group, Self::Alias];

    /// The name; what an event is called that has no name of its own.
    pub fn name(self) -> &'static str {
        match self {
            Self::Track => "track",
            Self::Identify => "identify",
            Self::Page => "page",
            Self::Screen => "screen",
            Self::Group => "group",
            Self::Alias => "alias",
        }
    }
}

/// An event in canonical form: what filters and mappings see, and `GET /events/{messageId}` shows.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Event<'a> {
    /// Its id.
    #[serde(borrow)]
    pub message_id: Cow<'a, str>,
    /// What kind of call it came by.
    #[serde(rename = "type")]
    pub call: Call,
    /// Its name; that of the call where it has none of its own.
    #[serde(borrow)]
    pub event: Cow<'a, str>,
    /// Whose it is.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Cow<'a, str>>,
    /// Whose it is, where it is not known who that is.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub anonymous_id: Option<Cow<'a, str>>,
    /// When it happened, by the corrected clock of the client.
    pub timestamp: Timestamp,
    /// When it arrived.
    pub received_at: Timestamp,
    /// What is said of it: an object (`metadata`, `properties`).
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<&'a RawValue>,
    /// What is said of the person or group: an object (`traits`, `user_traits`).
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub traits: Option<&'a RawValue>,
    /// Where it happened: an object.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub context: Option<&'a RawValue>,
    /// The fields that have no place above, by their names: an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Box<RawValue>>,
}

impl Event<'_> {
    /// The channel that it prefers, where it says so in a text (S0-007).
    pub fn preferred_channel(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Metadata<'a> {
            #[serde(borrow, rename = "preferredChannel")]
            preferred_channel: Option<&'a RawValue>,
        }
        let metadata: Metadata<'_> = serde_json::from_str(self.metadata?.get()).ok()?;
        let channel: String = serde_json::from_str(metadata.preferred_channel?.get()).ok()?;
        (!channel.is_empty()).then_some(channel)
    }
}
