//! The order of batches: each batch gets a number once, at the edge, before the client gets its answer. Steps compare
//! consent statements by it, so no clock decides which one is current.
//!
//! The numbers of a tenant only rise. A number is the time in milliseconds if that is higher than the last number, else
//! the last number plus one. After a clock was two seconds ahead, the next batch still gets a higher number.

use jiff::Timestamp;

use crate::{
    batch::Name,
    error::Error,
    store::{Store, Table},
};

/// The sort key of a tenant's last number, among its claims.
const SORT_KEY: &str = "order";

/// The next number of a tenant: higher than all before it, and unique.
pub async fn next(store: &impl Store, tenant: &Name, now: Timestamp) -> Result<u64, Error> {
    Ok(store.raise(Table::Claims, tenant.as_str(), SORT_KEY, at(now)).await?)
}

/// The number of a batch that crmflow did not receive: its execution was started by hand, or by an upload on AWS.
pub fn at(started: Timestamp) -> u64 {
    u64::try_from(started.as_millisecond()).unwrap_or(0).max(1)
}
