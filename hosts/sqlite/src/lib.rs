//! Tables and queues in one SQLite file: the store and the queues of a single machine.
//!
//! | module | content |
//! |---|---|
//! | [`store`] | the tables, one writer with group commits, many readers, the layout of the file |
//! | [`queues`] | queues with visibility timeouts, retries and dead letters, in the same file |
//!
//! This crate knows the interfaces of `kernel` and SQLite. It must not know a capability of crmflow, a template, an
//! HTTP server, or a clock: the time is an argument.

pub mod queues;
pub mod store;

pub use store::{Readers, SqliteStore, Writer};
