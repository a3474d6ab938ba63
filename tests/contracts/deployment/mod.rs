//! The deployment holds together: template, machines, functions, binaries, policies.

mod policies;
mod queues;
mod stack;
mod wiring;
