//! Calls to destinations: the addresses that they may reach, the client, and the signatures.

mod client;
mod guard;
mod headers;
mod resolver;
mod sign;
pub mod tls_roots;

pub use client::{HttpResult, Outbound, RetryAfter};
pub use guard::{Allowed, Guard, Refusal};
pub use headers::headers;
pub use sign::{Secret, sign, webhook_id};
