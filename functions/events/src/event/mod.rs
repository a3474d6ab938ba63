//! An event: something that a person did, or that happened to them, in the one form in which it is stored, whatever
//! names its fields had (design, contract 1).

mod check;
mod event_line;
mod fields;
mod reading;
mod stored;

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use check::{check, content_hash, id_of};
pub use event_line::EventLine;
pub use stored::{EventStatus, StoredEvent};

/// Maximum size of an event, in bytes as received.
pub const MAX_EVENT_BYTES: usize = 32 * 1024;
/// Maximum size of a request of events, in bytes once unpacked.
pub const MAX_REQUEST_BYTES: usize = 500 * 1024;
/// Maximum number of events in a request.
pub const MAX_REQUEST_EVENTS: usize = 2_500;
/// Maximum length of an event's id, in characters.
pub const MAX_MESSAGE_ID_CHARS: usize = 256;

/// The kind of call that sent an event: the names are those of Segment's specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Call {
    /// A person did something.
    Track,
    /// A person has these traits.
    Identify,
    /// A person saw a page.
    Page,
    /// A person saw a screen.
    Screen,
    /// A person belongs to a group.
    Group,
    /// Two ids belong to one person.
    Alias,
}

impl Call {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Track, Self::Identify, Self::Page, Self::Screen, Self::Group, Self::Alias];

    /// The name; also that of an event without a name of its own.
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

/// An event in canonical form: filters and mappings read it, and `GET /events/{messageId}` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Event<'a> {
    /// Its id.
    #[serde(borrow)]
    pub message_id: Cow<'a, str>,
    /// The kind of call that sent it.
    #[serde(rename = "type")]
    pub call: Call,
    /// Its name; that of the call if it has none of its own.
    #[serde(borrow)]
    pub event: Cow<'a, str>,
    /// The id of its user.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Cow<'a, str>>,
    /// The id of its user while the user is anonymous.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub anonymous_id: Option<Cow<'a, str>>,
    /// When it happened, by the corrected clock of the client.
    pub timestamp: Timestamp,
    /// When it arrived.
    pub received_at: Timestamp,
    /// Its properties: an object (`metadata`, `properties`).
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<&'a RawValue>,
    /// The properties of its person or group: an object (`traits`, `user_traits`).
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub traits: Option<&'a RawValue>,
    /// The circumstances in which it happened: an object.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub context: Option<&'a RawValue>,
    /// The fields without a member above, by their names: an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Box<RawValue>>,
}

impl Event<'_> {
    /// The preferred channel, if the event names it in a text (S0-007).
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
