//! The stored consent statements of contacts: the current one of each address, and those before it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{consent_time, contact::Contact, email, extra};
use kernel::{
    batch::{Batch, BatchId, Name},
    error::Error,
    json,
    outcome::Outcome,
    store::{Item, Query, Store, Table},
};

/// So much a consent time may be ahead of the arrival of its batch: a time without an offset is read as UTC.
const MAX_CLOCK_LEAD: SignedDuration = SignedDuration::from_hours(24);

/// The consent statement of a contact as it is stored, current or past.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OptIn {
    /// The name.
    pub name: String,
    /// The address, as the contact spelt it.
    pub email: String,
    /// Whether they agree to marketing mail.
    pub opt_in: bool,
    /// Their interests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interests: Option<Vec<String>>,
    /// Fields that the schema does not name: the text of a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<String>,
    /// The start of the statement: when its batch arrived, by the clock of that time.
    pub since: Timestamp,
    /// The number in the order of batches of the last batch with this statement; zero: it was made before numbers
    /// existed.
    #[serde(default, skip_serializing_if = "kernel::json::is_default")]
    pub order: u64,
    /// That batch's number as a replay, if it was one.
    #[serde(default, skip_serializing_if = "kernel::json::is_default")]
    pub replay: u64,
    /// That batch.
    pub batch_id: BatchId,
    /// The record's index in it.
    pub index: u64,
    /// The source of that batch.
    pub source: String,
    /// The record's outcome: `saved` or `withdrawn`; of a late statement `unchanged`.
    pub outcome: Outcome,
    /// Whether its batch may opt contacts in again who withdrew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resubscribed: bool,
    /// Whether a later statement was stored before this one arrived: this one never was current.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
}

impl OptIn {
    /// The statement of a record that opted in.
    pub fn saved(batch: &Batch, index: u64, contact: Contact<'_>) -> Self {
        Self {
            name: contact.name.into_owned(),
            email: contact.email.into_owned(),
            opt_in: true,
            interests: contact.interests.map(|all| all.into_iter().map(Into::into).collect()),
            extra: contact.extra.map(Into::into),
            since: batch.received_at,
            order: batch.order,
            replay: batch.replay,
            batch_id: batch.batch_id,
            index,
            source: batch.provider.to_string(),
            outcome: Outcome::Saved,
            resubscribed: batch.rules.resubscribe,
            late: false,
        }
    }

    /// This statement, withdrawn by a later record.
    pub fn withdrawn(&self, batch: &Batch, index: u64) -> Self {
        Self {
            opt_in: false,
            since: batch.received_at,
            order: batch.order,
            replay: batch.replay,
            batch_id: batch.batch_id,
            index,
            source: batch.provider.to_string(),
            outcome: Outcome::Withdrawn,
            resubscribed: false,
            ..self.clone()
        }
    }

    /// This statement, repeated by a later batch: its start stays, and its number becomes that of the batch.
    pub fn said_again(&self, batch: &Batch) -> Self {
        Self { order: batch.order, replay: batch.replay, ..self.clone() }
    }

    /// This statement, made after `stored`. Fields that it lacks keep their stored values, and so does the name if its
    /// own is blank. `cleared` are the fields to delete.
    pub fn over(mut self, stored: &Self, cleared: &[String]) -> Result<Self, Error> {
        if self.name.trim().is_empty() {
            self.name.clone_from(&stored.name);
        }
        let is_cleared = |field: &str| cleared.iter().any(|cleared| cleared == field);
        if self.interests.is_none() && !is_cleared("interests") {
            self.interests.clone_from(&stored.interests);
        }
        self.extra = extra::merged(stored.extra.as_deref(), self.extra.as_deref(), cleared)?;
        Ok(self)
    }

    /// The latest moment at which this statement can have been made: its numbers are times that never go back, however
    /// the clock was set ([`kernel::order`]).
    pub fn made_by(&self) -> Timestamp {
        latest(self.since, self.order)
    }

    /// Whether it shows that the contact agreed after `withdrawal`: its batch says so, or its consent time. A consent
    /// time after the arrival of its batch shows nothing.
    pub fn is_consent_after(&self, withdrawal: Timestamp) -> bool {
        self.resubscribed
            || consent_time::of(self.extra.as_deref())
                .is_some_and(|at| at > withdrawal && at.duration_since(self.since) <= MAX_CLOCK_LEAD)
    }

    /// Whether both have the same content, regardless of record and time.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.name == other.name
            && self.email == other.email
            && self.opt_in == other.opt_in
            && self.interests == other.interests
            && self.extra == other.extra
    }

    /// This statement, marked as one that arrived too late to be current.
    #[must_use]
    pub fn as_late(self) -> Self {
        Self { outcome: Outcome::Unchanged, late: true, ..self }
    }

    /// Whether this very record made it: then a step runs again.
    pub fn is_of(&self, batch: &Batch, index: u64) -> bool {
        self.batch_id == batch.batch_id && self.index == index
    }

    /// Whether it was made after the batch arrived, so that the batch must not overwrite it. A replay is later than its
    /// source batch. Only batches without a number are compared by their clocks.
    pub fn is_later_than(&self, batch: &Batch) -> bool {
        (self.order, self.since, self.replay, self.batch_id)
            > (batch.order, batch.received_at, batch.replay, batch.batch_id)
    }
}

/// The later of a time and of a number in the order of batches.
pub(crate) fn latest(time: Timestamp, order: u64) -> Timestamp {
    let number = i64::try_from(order).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    number.map_or(time, |number| number.max(time))
}

/// A stored statement with its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Starts at one; every change increments it.
    pub version: u64,
    /// The statement.
    pub statement: OptIn,
}

impl Stored {
    /// Reads an item of the opt-ins or of the consents.
    pub fn read(item: &Item) -> Result<Self, Error> {
        Ok(Self { version: item.version, statement: json::decode(item.body.as_bytes())? })
    }
}

/// The partition of an address: the tenant and the first byte of the key's hash. A chunk of a batch has a range of
/// hashes, so it writes few partitions, and other chunks write others.
pub fn partition(tenant: &Name, key: &str) -> String {
    format!("{tenant}/{:02x}", email::hash(key) >> 56)
}

/// The item of a statement.
pub fn item(tenant: &Name, key: &str, version: u64, statement: &OptIn) -> Result<Item, Error> {
    let body = serde_json::to_string(statement).map_err(|error| Error::BadInput(json::describe(&error)))?;
    Ok(Item { partition: partition(tenant, key), sort: key.to_owned(), version, body })
}

/// The item of the history for a stored statement: equal however often it is made.
pub fn past_item(tenant: &Name, key: &str, stored: &Stored) -> Result<Item, Error> {
    let mut past = item(tenant, key, stored.version, &stored.statement)?;
    past.sort = format!("{key}#{:010}", stored.version);
    Ok(past)
}

/// The item of the history for a record's late statement: equal however often it is made, and never equal to one of a
/// version.
pub fn late_item(tenant: &Name, key: &str, statement: &OptIn) -> Result<Item, Error> {
    let mut late = item(tenant, key, 0, statement)?;
    late.sort = format!("{key}#late#{}#{:010}", statement.batch_id, statement.index);
    Ok(late)
}

/// A contact with all of its statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The current statement.
    pub current: Stored,
    /// The statements before it, in order, late ones too.
    pub past: Vec<Stored>,
}

/// The contact with this key, if it is known.
pub async fn find(store: &impl Store, tenant: &Name, key: &str) -> Result<Option<History>, Error> {
    let partition = partition(tenant, key);
    let Some(item) = store.get(Table::OptIns, &partition, key).await? else {
        return Ok(None);
    };
    Ok(Some(History { current: Stored::read(&item)?, past: past(store, tenant, key).await? }))
}

/// The statements before the current one, in order, late ones too.
pub async fn past(store: &impl Store, tenant: &Name, key: &str) -> Result<Vec<Stored>, Error> {
    let mut query = Query {
        partition: partition(tenant, key),
        prefix: format!("{key}#"),
        after: None,
        descending: false,
        limit: 100,
    };
    let mut past = Vec::new();
    loop {
        let items = store.query(Table::Consents, query.clone()).await?;
        for item in &items {
            past.push(Stored::read(item)?);
        }
        match items.last() {
            Some(last) if items.len() == query.limit => query.after = Some(last.sort.clone()),
            _ => break,
        }
    }
    // Versions have this order already; the sort is stable, and puts those without a number first.
    past.sort_by_key(|stored| (stored.statement.order, stored.statement.replay));
    Ok(past)
}
