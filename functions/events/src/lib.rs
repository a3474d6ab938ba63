//! Events: the one form in which they are stored, their de-duplication, and the steps from the queue to the store.

pub mod consume_events;
pub mod dedup;
pub mod event;
mod put_events;
pub mod response;

pub use put_events::{Stored, put_events};
