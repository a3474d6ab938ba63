//! Deliveries: the answers of destinations, their outcomes, and replays.

mod answers;
mod listing;
mod outcomes;
pub(crate) mod secure;
