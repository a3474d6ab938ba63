//! Events: the one form in which they are stored, their deduplication, and the steps that take them from the queue into
//! the store.

pub mod consume_events;
pub mod event;
pub mod known;
mod put_events;
pub mod response;

pub use put_events::{Stored, put_events};
