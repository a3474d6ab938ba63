//! The HTTP API of crmflow as one axum router, served by both hosts.

pub mod flow;

pub use flow::{ExecutionStatus, Flow, FlowError, Machine, Started};
