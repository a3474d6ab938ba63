//! A test receiver of events, with the seed's three endpoints (S0-044): `crmflow sink`.
//!
//! It runs on one thread: beside a measured delivery it needs one core, and no thread waits for its lock.
//!
//! | module | content |
//! |---|---|
//! | `sink` | the routes |
//! | `endpoint`, `behaviour` | the endpoints, and how an endpoint answers |
//! | `connection` | a listener whose connections can be reset |
//! | `request_log`, `receipt` | what was received: counted, kept and recorded |
//! | `page` | what was received, for a person |
//! | `problem` | errors as the API has them |
//!
//! This crate must not know any other crate of crmflow: it represents the systems of others. The clock is an argument.

mod behaviour;
mod connection;
mod endpoint;
mod page;
mod problem;
mod receipt;
mod request_log;
mod sink;

pub use behaviour::Behaviour;
pub use sink::{Show, Sink};
