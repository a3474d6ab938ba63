//! Destinations of events: their settings, filters and mappings, and the HTTP client that calls them.

pub mod destination;
pub mod expression;
pub mod members;
pub mod outbound;
