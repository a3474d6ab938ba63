//! Batches: their records by outcome, and their way through crashes.

mod crash;
mod rows;
