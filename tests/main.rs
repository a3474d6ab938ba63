//! Cases as data, run through the real `crmflow` program; README.md says how they are written.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may fail"
)]

mod answers;
mod api;
mod bad_input;
mod batches;
mod cases;
mod command_line;
mod consent;
mod contacts;
mod contracts;
mod crash;
mod deliveries;
mod deployment;
mod destinations;
mod docs;
mod dry_run;
mod durable;
mod environment;
mod event_faults;
mod events;
mod events_api;
mod failures;
mod formats;
mod http;
mod memory;
mod mocks;
mod openapi;
mod outcomes;
mod people;
mod program;
mod queues;
mod real_data;
mod sdk;
mod secure;
mod sink;
mod stack;
mod states;
mod step_functions;
mod strangers;
mod tasks;
mod tasks_kept;
mod throttled;
