//! The HTTP API of crmflow as one router, served by both hosts.
//!
//! [`router`] makes it of an [`Api`]: the tables, the objects, the [`Flow`]. [`Operation`] lists what it
//! does; each has a file of its own. Errors are problem details (RFC 9457), see [`problem`].

mod api;
mod arrival_ids;
mod batches;
mod body;
mod contacts;
mod deliveries;
mod destinations;
mod docs;
mod edge;
mod event_status;
mod events;
pub mod flow;
mod health;
mod hosts;
mod idempotency;
mod media;
mod page;
pub mod problem;
mod quarantine;
mod query;
mod records;
mod routes;
mod submit;
mod test_destination;
mod uploads;

pub use api::Api;
pub use docs::OPENAPI;
pub use flow::{Ended, ExecutionStatus, Flow, FlowError, Machine, Started};
pub use hosts::{HostName, Hosts, Refusal};
pub use routes::{Operation, router, router_with};
