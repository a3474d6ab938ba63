//! What each step of crmflow does, and the words of its domain.
//!
//! Nothing here knows AWS, SQLite, an HTTP server, a clock or the environment: time, ids and storage
//! are passed in. The steps are in [`steps`], one file a function; [`Function`] names them all.

pub mod accepted;
pub mod arrival;
pub mod batch;
pub mod batches;
mod block_size;
pub mod cancel;
pub mod changes;
pub mod consent;
#[cfg(feature = "contract")]
pub mod consent_contract;
pub mod consume_events;
pub mod consumer;
pub mod contact;
pub mod contacts;
pub mod deliver;
pub mod deliveries;
pub mod delivery;
pub mod destination;
pub mod destination_name;
pub mod door;
pub mod email;
pub mod error;
pub mod event;
#[cfg(feature = "contract")]
pub mod event_contract;
pub mod expression;
mod extra;
pub mod fault;
pub mod function;
pub mod intake;
mod json_text;
pub mod keepable;
pub mod known;
pub mod ledger;
pub mod members;
pub mod objects;
pub mod order;
pub mod outbound;
pub mod outcome;
pub mod quarantine;
pub mod queue;
pub mod received;
pub mod records;
pub mod replay;
pub mod response;
pub mod routes;
pub mod start;
pub mod step;
pub mod steps;
pub mod store;
#[cfg(feature = "contract")]
pub mod store_contract;

pub use batch::{Batch, BatchId, Kind, Name};
pub use consumer::Consumer;
pub use error::Error;
pub use function::{Function, Host};
pub use objects::Objects;
pub use outcome::{Counts, Outcome};
pub use store::Store;
