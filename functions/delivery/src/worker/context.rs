//! The dependencies of the worker, which its host provides.

use std::time::Duration;

use jiff::Timestamp;

use super::evaluator::Evaluator;
use destinations::outbound::Outbound;
use kernel::objects::Objects;

/// How long a worker may have the lease of a busy lane before other lanes get their turn.
pub const MAX_LEASE_HOLD: Duration = Duration::from_secs(60);
/// How long a destination may take to respond.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The worker's dependencies and limits.
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
    /// Evaluates filters and mappings.
    pub evaluator: Evaluator,
    /// The clock.
    pub now: fn() -> Timestamp,
    /// Randomness for jitter and ids.
    pub random: fn() -> u128,
    /// The name of this worker in leases. A worker that restarts under the same name has its leases back at
    /// once.
    pub holder: String,
    /// How long the worker may have the lease of a lane.
    pub max_hold: Duration,
    /// How long a destination may take to respond.
    pub request_timeout: Duration,
}
