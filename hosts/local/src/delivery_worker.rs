//! The delivery worker of this machine.

use delivery::worker::{DeliveryWorker, Evaluator, MAX_LEASE_HOLD, REQUEST_TIMEOUT, WorkerContext};
use registry::Host;
use sqlite_store::{SqliteStore, queues::LocalQueue};
use step_functions::clock;

use crate::os_limits;

/// The holder of leases on lanes. One process works on a data folder, so after a crash its leases are its own.
const LEASE_HOLDER: &str = "local";

/// A delivery worker with the dependencies of functions.
pub(crate) fn delivery_worker(
    host: &Host<SqliteStore, LocalQueue>,
) -> DeliveryWorker<SqliteStore, LocalQueue> {
    let Host { store, objects, queue, outbound, .. } = host.clone();
    DeliveryWorker::new(WorkerContext {
        store,
        objects,
        queue,
        outbound,
        evaluator: Evaluator::new(os_limits::lowest_priority),
        now: clock::now,
        random: clock::random,
        holder: LEASE_HOLDER.to_owned(),
        max_hold: MAX_LEASE_HOLD,
        request_timeout: REQUEST_TIMEOUT,
    })
}
