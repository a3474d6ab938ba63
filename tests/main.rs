//! Cases as data, run through the real `crmflow` program; README.md says how they are written.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may fail"
)]

mod batches;
mod contacts;
mod contracts;
mod delivery;
mod destinations;
mod events;
mod harness;
mod operations;
mod records;
mod step_functions;
