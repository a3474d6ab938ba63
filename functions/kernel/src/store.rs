//! The store seam: items by (table, partition, sort). DynamoDB on AWS, SQLite on one machine.

use std::{fmt, future::Future};

crate::names! {
    /// The tables. Each is a table of its own on both sides. The name is that in SQLite; on AWS the template's
    /// `<Variant>Table` resource holds it.
    pub enum Table, a "Table" {
        /// Contacts who opted in, those who withdrew included; one item an address.
        OptIns = "opt_ins",
        /// Earlier versions of those items: the consent history.
        Consents = "consents",
        /// One item a batch: status, counts, where it is.
        Batches = "batches",
        /// Claims on something that may happen once: idempotency keys, files being imported, replays.
        Claims = "claims",
        /// Events, one item each, by their ids.
        Events = "events",
        /// What became of events at their destinations, one item an event (S0-026 to S0-029).
        Responses = "responses",
        /// Where events are sent (S0-030).
        Destinations = "destinations",
        /// The lanes of the destinations: what waits, what was delivered, what failed.
        Deliveries = "deliveries",
    }
}

/// One item. `body` is the text of a JSON object whose values are strings, numbers, booleans and lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Which part of the table; items of one partition can be queried together.
    pub partition: String,
    /// Which item of the partition; compared byte by byte.
    pub sort: String,
    /// Counted up by the caller with every change; what [`Condition::Version`] compares.
    pub version: u64,
    /// The content.
    pub body: String,
}

/// What must be true of the stored item for a put to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    None,
    /// There is none with this key.
    Absent,
    /// It is there and has this version.
    Version(u64),
}

/// What a put did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// The item is stored, durably.
    Done,
    /// The condition did not hold; this is what is stored (`None`: nothing is).
    Conflict(Option<Item>),
}

/// A range of one partition, in order of `sort`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The partition.
    pub partition: String,
    /// Only items whose sort begins with this.
    pub prefix: String,
    /// Only items strictly behind this sort, in the direction of the query: where the last page ended.
    pub after: Option<String>,
    /// From the largest sort down.
    pub descending: bool,
    /// At most so many.
    pub limit: usize,
}

/// Why a store did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// Busy, throttled or out of reach: trying again may help.
    Unavailable(String),
    /// Not allowed, full or broken: it will not help.
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

/// A page of a listing ends where its entries have so many bytes: Lambda answers with 6 MB at the most, and an answer is
/// text in JSON there, with a backslash before every quotation mark.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub const MAX_PAGE_BYTES: usize = 2 << 20;

/// How many items are read at once to be counted.
const COUNTED_AT_ONCE: usize = 1_000;

/// Items by (table, partition, sort). Every write that returns is durable, and any write may be repeated.
pub trait Store: Clone + Send + Sync + 'static {
    /// How many writes are asked for at once where others follow from what they did: bounds memory, what one
    /// transaction holds up, and what is done anew after a call that was cut off.
    fn block(&self) -> usize {
        10_000
    }

    /// The item, if there is one. Sees every write that returned before.
    fn get(
        &self,
        table: Table,
        partition: &str,
        sort: &str,
    ) -> impl Future<Output = Result<Option<Item>, StoreError>> + Send;

    /// The items of many (partition, sort), in the order asked; `None` where there is none.
    fn get_all(
        &self,
        table: Table,
        keys: Vec<(String, String)>,
    ) -> impl Future<Output = Result<Vec<Option<Item>>, StoreError>> + Send;

    /// The items of a range, at most `query.limit`. A full answer may have more behind it.
    fn query(&self, table: Table, query: Query)
    -> impl Future<Output = Result<Vec<Item>, StoreError>> + Send;

    /// How many items a range has, counted up to `query.limit`. Cheaper than to read them, where a store can.
    fn count(
        &self,
        table: Table,
        mut query: Query,
    ) -> impl Future<Output = Result<usize, StoreError>> + Send {
        async move {
            let mut counted = 0;
            let most = query.limit;
            while counted < most {
                query.limit = COUNTED_AT_ONCE.min(most - counted);
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

    /// Puts one item if the condition holds.
    fn put(
        &self,
        table: Table,
        item: Item,
        condition: Condition,
    ) -> impl Future<Output = Result<Written, StoreError>> + Send;

    /// Puts many, each by its own condition; what each did, in order. Not one transaction: an error may
    /// leave some written.
    fn put_all(
        &self,
        table: Table,
        puts: Vec<(Item, Condition)>,
    ) -> impl Future<Output = Result<Vec<Written>, StoreError>> + Send;

    /// Raises the version of an item without a body to `least`, or by one where it is that high already; the version
    /// then. It is greater than all that were given before, durable, and no other call's. Asked again after an error it
    /// may leave some out.
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

    /// Deletes the items of many (partition, sort); those that are not there are no error. Not one
    /// transaction: an error may leave some deleted.
    fn delete_all(
        &self,
        table: Table,
        keys: Vec<(String, String)>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}
