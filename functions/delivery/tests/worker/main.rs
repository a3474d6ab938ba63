//! Lanes on SQLite, with destinations that do what a test says.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod answers;
mod breaker_and_waits;
mod contention;
mod crash_points;
mod fault_plan;
mod filters;
mod fixture;
mod order;
mod outage;
mod recovery;
mod refused;
mod secure;
mod sink;
mod storage_faults;
