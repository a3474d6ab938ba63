//! Delivery: which destinations want an event, the lanes of destinations, the worker that sends, and what became of
//! each delivery.

pub mod model;
pub mod query;
pub mod redrive;
mod route_events;
pub mod routes;
#[cfg(test)]
mod stored_layout_tests;
mod test_destination;
pub mod worker;

pub use route_events::route_events;
pub use test_destination::{TestDestination, TestResult, test_destination};
