//! A destination: a receiver of events, as it is stored. It can be made and changed while the system runs (S0-011 to
//! S0-016).

pub mod form;
mod redacted;
mod statuses;
mod view;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use redacted::Redacted;
pub use view::{DestinationView, REDACTED, redacted_url};

use kernel::{
    batch::Name,
    destination_name::DestinationName,
    error::Error,
    json,
    store::{Condition, Item, Query, Store, Table, Written},
};

/// The type of a destination (S0-013).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DestinationType {
    /// Communication: the event's preferred channel is appended to the path (S0-022).
    #[serde(rename = "CDP")]
    Cdp,
    /// Analytics: the event as received (S0-023).
    #[serde(rename = "analytics")]
    Analytics,
}

/// The order in which events are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ordering {
    /// In any order.
    #[default]
    None,
    /// One event of a user after the other, in order of arrival.
    User,
}

/// Whether events are sent to a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Events are sent.
    #[default]
    Active,
    /// Its events are queued and wait: an operator paused it, or it refused every request.
    Paused,
    /// Its events have failed, and may be sent again: an operator disabled it, it answered 410, or it failed for five
    /// days.
    Disabled,
}

impl State {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }
}

/// The delays before the retries of a delivery, in seconds (design, Numbers to hold).
pub const RETRY_DELAYS: [u32; 7] = [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000];
/// The statuses that end a delivery at once (design, Numbers to hold); 410 disables the destination too.
pub const FINAL_STATUSES: [u16; 6] = [400, 410, 413, 414, 415, 422];
/// Maximum number of concurrent requests to one destination.
pub const DEFAULT_CONCURRENCY: u32 = 16;
/// For how many seconds a failing event blocks its user's later ones.
pub const DEFAULT_HOLD_SECONDS: u32 = 3_600;

/// A destination as it is stored. The names of its first four members are the seed's (S0-030).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Destination {
    /// Its name.
    pub destination_name: DestinationName,
    /// Headers of each call. Never shown again, never logged.
    #[serde(default)]
    pub headers: Redacted<BTreeMap<String, String>>,
    /// Its type.
    #[serde(rename = "Type")]
    pub kind: DestinationType,
    /// The URL of its calls. The query may contain a key.
    #[serde(rename = "Url")]
    pub url: Redacted<String>,
    /// The names of the events that it receives; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// A JSONata expression over the event; events for which it is true are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// A JSONata expression over the event; its result is the body to send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<String>,
    /// The secrets that sign calls (Standard Webhooks): the one in use, and during a rotation the one before. Never
    /// shown again, never logged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Redacted<Vec<String>>,
    /// Maximum number of calls a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<u32>,
    /// The order of its calls.
    #[serde(default)]
    pub ordering: Ordering,
    /// For how many seconds a failing event blocks its user's later ones, if calls are in order.
    pub hold_seconds: u32,
    /// Maximum number of concurrent calls.
    pub concurrency: u32,
    /// The delays before the retries of a delivery, in seconds.
    pub retry_delays: Vec<u32>,
    /// The response statuses after which a delivery is not retried.
    #[serde(default = "final_statuses")]
    pub final_statuses: Vec<u16>,
    /// Whether events are sent to it.
    #[serde(default)]
    pub state: State,
    /// Why they are not, if they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

fn final_statuses() -> Vec<u16> {
    FINAL_STATUSES.to_vec()
}

/// A destination with the version of its item, for a change that must not overwrite another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The destination.
    pub destination: Destination,
    /// The version for [`Condition::Version`].
    pub version: u64,
}

/// The sort key of the item that counts the changes to a tenant's destinations.
const GENERATION: &str = "!generation";

/// Maximum number of destinations in one read.
const MAX_READ_DESTINATIONS: usize = 1_000;

impl Destination {
    /// For how long a failing event blocks its user's later ones.
    pub fn hold(&self) -> SignedDuration {
        SignedDuration::from_secs(self.hold_seconds.into())
    }

    /// When it was made, in milliseconds since 1970: it distinguishes the destination from earlier ones of its name.
    pub fn made(&self) -> i64 {
        self.created_at.as_millisecond()
    }

    /// Whether data of the destination made at `of` belongs to this one. Data from before there was such a time does.
    pub fn is_of(&self, of: Option<i64>) -> bool {
        of.is_none_or(|of| of == self.made())
    }

    /// The destination of a tenant with this name.
    pub async fn find(
        tenant: &Name,
        name: &DestinationName,
        store: &impl Store,
    ) -> Result<Option<Stored>, Error> {
        let found = store.get(Table::Destinations, tenant.as_str(), name.as_str()).await?;
        found.as_ref().map(read).transpose()
    }

    /// All destinations of a tenant by name, after the name `after`; more may follow a full page.
    pub async fn list(
        tenant: &Name,
        after: Option<&str>,
        limit: usize,
        store: &impl Store,
    ) -> Result<Vec<Stored>, Error> {
        let query = Query {
            partition: tenant.to_string(),
            prefix: String::new(),
            after: Some(after.unwrap_or(GENERATION).to_owned()),
            descending: false,
            limit,
        };
        store.query(Table::Destinations, query).await?.iter().map(read).collect()
    }

    /// Every destination of a tenant.
    pub async fn all(tenant: &Name, store: &impl Store) -> Result<Vec<Stored>, Error> {
        let mut all: Vec<Stored> = Vec::new();
        loop {
            let after = all.last().map(|stored| stored.destination.destination_name.to_string());
            let page = Self::list(tenant, after.as_deref(), MAX_READ_DESTINATIONS, store).await?;
            let is_last = page.len() < MAX_READ_DESTINATIONS;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Stores it: as a new one (`version` is `None`), or over the one of that version. `false`: a concurrent change was
    /// first.
    pub async fn save(&self, tenant: &Name, version: Option<u64>, store: &impl Store) -> Result<bool, Error> {
        let item = Item {
            partition: tenant.to_string(),
            sort: self.destination_name.to_string(),
            version: version.map_or(1, |version| version + 1),
            body: serde_json::to_string(self).map_err(|error| Error::BadInput(json::describe(&error)))?,
        };
        let condition = version.map_or(Condition::Absent, Condition::Version);
        let written = store.put(Table::Destinations, item, condition).await?;
        if written == Written::Done {
            bump_generation(tenant, store).await?;
        }
        Ok(written == Written::Done)
    }

    /// Deletes it, if there is one.
    pub async fn delete(tenant: &Name, name: &DestinationName, store: &impl Store) -> Result<(), Error> {
        store.delete(Table::Destinations, tenant.as_str(), name.as_str()).await?;
        bump_generation(tenant, store).await
    }
}

/// How often a tenant's destinations were changed: while the number stays the same, so do they.
pub async fn generation(tenant: &Name, store: &impl Store) -> Result<u64, Error> {
    let found = store.get(Table::Destinations, tenant.as_str(), GENERATION).await?;
    Ok(found.map_or(0, |item| item.version))
}

/// Increments the generation.
async fn bump_generation(tenant: &Name, store: &impl Store) -> Result<(), Error> {
    let mut known = generation(tenant, store).await?;
    loop {
        let item = Item {
            partition: tenant.to_string(),
            sort: GENERATION.to_owned(),
            version: known + 1,
            body: "{}".to_owned(),
        };
        let condition = if known == 0 { Condition::Absent } else { Condition::Version(known) };
        match store.put(Table::Destinations, item, condition).await? {
            Written::Done => return Ok(()),
            Written::Conflict(other) => known = other.map_or(0, |item| item.version),
        }
    }
}

fn read(item: &Item) -> Result<Stored, Error> {
    Ok(Stored { destination: json::decode(item.body.as_bytes())?, version: item.version })
}
