//! The types that every capability shares, and the interfaces to tables, objects and queues: batches and their records,
//! outcomes, quarantine.
//!
//! No crate in this folder knows AWS, SQLite, an HTTP server, a wall clock or the environment: time of day, ids and
//! storage are arguments. The kernel knows no capability.

pub mod batch;
pub mod csv;
pub mod destination_name;
pub mod dry_run;
pub mod error;
pub mod fault;
pub mod fault_groups;
pub mod json;
pub mod json_text;
pub mod ledger;
mod names;
pub mod objects;
pub mod order;
pub mod outcome;
pub mod provenance;
pub mod quarantine;
pub mod queue;
pub mod raw_record;
pub mod records;
pub mod start;
pub mod step;
pub mod storable;
pub mod store;
pub mod store_contract;

pub use batch::{Batch, BatchId, Kind, Name, Rules};
pub use error::Error;
pub use objects::Objects;
pub use outcome::{Counts, Outcome};
pub use store::Store;
