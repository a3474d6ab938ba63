//! The HTTP API of crmflow as one router, served by both hosts.
//!
//! [`router`] makes it from an [`Api`]: the tables, the objects, the [`Flow`]. Each domain has a folder with its
//! handlers, its list of routes, and `openapi.json`: the part of the description that documents them. `http/` has what
//! all domains share. Errors are problem details (RFC 9457), see [`problem`].

mod api;
mod batches;
mod contacts;
mod delivery;
mod destinations;
mod events;
pub mod flow;
mod http;
mod quarantine;
mod router;
mod service;

pub use api::Api;
pub use flow::{Ended, ExecutionStatus, Flow, FlowError, Machine, Started};
pub use http::{
    hosts::{HostName, Hosts, Refusal},
    problem,
};
pub use router::{router, router_with};
