//! The order of batches: a number each, given once at the edge, before anybody is answered. What a contact said is
//! compared by it, so that no clock decides which word stands.
//!
//! The numbers of a tenant only rise. They are milliseconds where the clock goes forward, and one more than the last
//! where it does not: a clock that was ahead for two seconds leaves numbers that the next batch is still greater than.

use jiff::Timestamp;

use crate::{
    batch::Name,
    error::Error,
    store::{Store, Table},
};

/// Where a tenant's last number is kept, among its claims.
const SORT: &str = "order";

/// The next number of a tenant: greater than all before it, and nobody else's.
pub async fn next(store: &impl Store, tenant: &Name, now: Timestamp) -> Result<u64, Error> {
    Ok(store.raise(Table::Claims, tenant.as_str(), SORT, at(now)).await?)
}

/// The number of a batch that nothing of ours took in: an execution that was started by hand, or by an upload on AWS.
pub fn at(started: Timestamp) -> u64 {
    u64::try_from(started.as_millisecond()).unwrap_or(0).max(1)
}
