//! Lanes on this machine's storage, with destinations that do what a test says.

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
