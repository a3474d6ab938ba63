//! Destinations: their settings and secrets, and the test receiver.

pub(crate) mod api;
pub(crate) mod sink;
