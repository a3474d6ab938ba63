//! The deployment holds together: template, machines, functions, binaries, policies, cost.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod cost;
mod policies;
mod stack;
mod wiring;
