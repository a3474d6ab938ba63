//! The store interface: items by (table, partition, sort). DynamoDB on AWS, SQLite on one machine.

use std::{fmt, future::Future};

crate::names! {
    /// The tables. Each is a table of its own on both hosts. `name` is the name in SQLite; on AWS the template's
    /// `<Variant>Table` resource has a name of its own.
    pub enum Table, a "Table" {
        /// Contacts who opted in, and those who withdrew later; one item per address.
        OptIns = "opt_ins",
        /// Earlier versions of those items: the consent history.
        Consents = "consents",
        /// One item per batch: its status, its counts, its execution.
        Batches = "batches",
        /// Claims on operations that may happen once: idempotency keys, file imports, replays.
        Claims = "claims",
        /// Events, one item each, by their ids.
        Events = "events",
        /// Event responses: the deliveries of an event by destination, one item per event (S0-026 to S0-029).
        Responses = "responses",
        /// The destinations of events (S0-030).
        Destinations = "destinations",
        /// The lanes of the destinations: queued, delivered and failed deliveries.
        Deliveries = "deliveries",
    }
}

/// One item. `body` is the text of a JSON object whose values are strings, numbers, booleans and lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The part of the table; a query reads items of one partition.
    pub partition: String,
    /// The sort key in the partition; compared byte by byte.
    pub sort: String,
    /// The caller increments it with every change; [`Condition::Version`] compares it.
    pub version: u64,
    /// The content.
    pub body: String,
}

/// The condition under which a put writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// No condition.
    None,
    /// No item has this key.
    Absent,
    /// The stored item has this version.
    Version(u64),
}

/// The result of a put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// The item is stored, durably.
    Done,
    /// The condition was false; this is the stored item (`None`: there is none).
    Conflict(Option<Item>),
}

/// A range of one partition, in order of `sort`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The partition.
    pub partition: String,
    /// Only items whose sort key begins with this.
    pub prefix: String,
    /// Only items strictly after this sort key, in the direction of the query: the end of the last page.
    pub after: Option<String>,
    /// From the largest sort key down.
    pub descending: bool,
    /// Maximum number of items.
    pub limit: usize,
}

/// Why a store operation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// Busy, throttled or unreachable: a retry may help.
    Unavailable(String),
    /// Not permitted, full or broken: a retry cannot help.
    Refused(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) => write!(f, "unavailable: {why}"),
            Self::Refused(why) => write!(f, "refused: {why}"),
        }
    }
}

impl std::error::Error for StoreError {}

/// Maximum size of a page of a listing. Lambda answers with at most 6 MB, and an answer is text in JSON there, with a
/// backslash before every quotation mark.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub const MAX_PAGE_BYTES: usize = 2 << 20;

/// Maximum number of items that one read of a count returns.
const COUNT_PAGE_ITEMS: usize = 1_000;

/// Items by (table, partition, sort). Every write that returns is durable, and any write may be repeated.
pub trait Store: Clone + Send + Sync + 'static {
    /// Maximum number of writes in one request whose results decide later writes. It bounds memory, the length of one
    /// transaction, and the work that is repeated after a call that was cut off.
    fn block(&self) -> usize {
        10_000
    }

    /// The item, if there is one. The read includes every write that returned before.
    fn get(
        &self,
        table: Table,
        partition: &str,
        sort: &str,
    ) -> impl Future<Output = Result<Option<Item>, StoreError>> + Send;

    /// The items of many (partition, sort), in the order of `keys`; `None` if there is none.
    fn get_all(
        &self,
        table: Table,
        keys: Vec<(String, String)>,
    ) -> impl Future<Output = Result<Vec<Option<Item>>, StoreError>> + Send;

    /// The items of a range, at most `query.limit`. More items may follow a full page.
    fn query(&self, table: Table, query: Query)
    -> impl Future<Output = Result<Vec<Item>, StoreError>> + Send;

    /// How many items a range has, counted up to `query.limit`. Cheaper than to read them, if a store can count.
    fn count(
        &self,
        table: Table,
        mut query: Query,
    ) -> impl Future<Output = Result<usize, StoreError>> + Send {
        async move {
            let mut counted = 0;
            let limit = query.limit;
            while counted < limit {
                query.limit = COUNT_PAGE_ITEMS.min(limit - counted);
                let page = self.query(table, query.clone()).await?;
                counted += page.len();
                if page.len() < query.limit {
                    break;
                }
                query.after = page.into_iter().next_back().map(|item| item.sort);
            }
            Ok(counted)
        }
    }

    /// Puts one item if the condition is true.
    fn put(
        &self,
        table: Table,
        item: Item,
        condition: Condition,
    ) -> impl Future<Output = Result<Written, StoreError>> + Send;

    /// Puts many items, each by its own condition; returns their results in order. Not one transaction: an error may
    /// leave some written.
    fn put_all(
        &self,
        table: Table,
        puts: Vec<(Item, Condition)>,
    ) -> impl Future<Output = Result<Vec<Written>, StoreError>> + Send;

    /// Raises the version of an item without a body to `least`, or by one if it is that high already; returns the new
    /// version. It is higher than all versions that were returned before, durable, and returned by no other call. A
    /// call after an error may skip some versions.
    fn raise(
        &self,
        table: Table,
        partition: &str,
        sort: &str,
        least: u64,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Deletes the item, if there is one.
    fn delete(
        &self,
        table: Table,
        partition: &str,
        sort: &str,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Deletes the items of many (partition, sort); a missing item is no error. Not one transaction: an error may leave
    /// some deleted.
    fn delete_all(
        &self,
        table: Table,
        keys: Vec<(String, String)>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}
