//! The local Step Functions: calls, tasks, mocks, and executions that survive the process.

pub(crate) mod calls;
mod durable;
mod mocks;
mod sdk;
mod states;
pub(crate) mod tasks;
mod tasks_kept;
mod throttled;
