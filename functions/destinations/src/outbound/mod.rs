//! Calls to the world outside: where they may go, how they are made, how they are signed.

mod client;
mod guard;
mod headers;
mod names;
mod sign;
pub mod trust;

pub use client::{Answer, Outbound, RetryAfter};
pub use guard::{Allowed, Guard, Refusal};
pub use headers::headers;
pub use sign::{Secret, sign, webhook_id};
