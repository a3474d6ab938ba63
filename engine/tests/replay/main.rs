//! A run that is made again from its journal is the same run: whenever it crashes, whatever it does.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod golden;
mod properties;
mod random;
mod redrive;
mod world;
