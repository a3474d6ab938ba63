//! A replay of a run's journal gives the same run, whenever the process crashes.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod golden;
mod properties;
mod random;
mod redrive;
mod world;
