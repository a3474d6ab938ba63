//! What the worker needs from its host.

use std::time::Duration;

use jiff::Timestamp;

use super::evaluator::Evaluator;
use destinations::outbound::Outbound;
use kernel::objects::Objects;

/// For how long a courier works on a lane before another may have its turn.
pub const MAX_LEASE_HOLD: Duration = Duration::from_secs(60);
/// How long a destination may take to answer.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What couriers work with.
#[derive(Clone, Debug)]
pub struct WorkerContext<S, Q> {
    /// The tables.
    pub store: S,
    /// The objects.
    pub objects: Objects,
    /// The queues.
    pub queue: Q,
    /// The client that calls destinations.
    pub outbound: Outbound,
    /// What evaluates filters and mappings.
    pub evaluator: Evaluator,
    /// The clock.
    pub now: fn() -> Timestamp,
    /// Randomness for jitter and ids.
    pub random: fn() -> u128,
    /// Who holds leases. One who comes back under the same name takes its own leases back at once.
    pub holder: String,
    /// For how long to work on a lane, before its lease is let go.
    pub max_hold: Duration,
    /// How long a destination may take to answer.
    pub request_timeout: Duration,
}
