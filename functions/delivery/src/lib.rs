//! Delivery: the routing of events, the lanes of destinations, the delivery worker, queries, and the redrive
//! of failed deliveries.

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
