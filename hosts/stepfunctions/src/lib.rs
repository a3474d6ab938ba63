//! A local Step Functions: any state machine of the Amazon States Language, run and kept on one machine.
//!
//! | module | content |
//! |---|---|
//! | [`executions`] | executions: started, kept in a journal, run to their end, resumed after a crash |
//! | [`machines`] | machines and their revisions, as they are stored |
//! | [`services`] | what all executions share: storage, template, functions, limits |
//! | [`functions`] | the functions that tasks may call, as the host gives them |
//! | [`resource`] | the resources that a Task may name |
//! | `integrations` | what each of these resources does: the service integrations |
//! | `items` | the items of a distributed Map, in objects |
//! | [`mocks`] | the answers of a mock configuration file |
//! | [`sfn`] | the HTTP endpoint, as clients of AWS know it |
//! | [`clock`] | the clock and the dice |
//!
//! `executions` and `integrations` know each other, since a task may start an execution.
//!
//! This crate must not know a capability of crmflow. The host gives the functions, their names and what to do at the end
//! of an execution as values ([`services::Host`]).

pub mod clock;
pub mod executions;
pub mod functions;
mod integrations;
mod items;
pub mod machines;
pub mod mocks;
pub mod resource;
pub mod services;
pub mod sfn;

pub use executions::Executions;
pub use functions::{Function, Functions};
pub use resource::{WHAT_RUNS, check_resource};
pub use services::{Host, Services};
