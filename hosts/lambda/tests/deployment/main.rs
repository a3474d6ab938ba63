//! The deployment holds together: template, machines, functions, binaries, policies.

#![expect(clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod policies;
mod queues;
mod stack;
mod wiring;
