//! Draining: every queued delivery of a disabled or deleted destination fails.

use jiff::Timestamp;

use super::{
    context::WorkerContext,
    disposition_writer::DispositionWriter,
    load::{self, Loaded},
    queue_rows,
    settlement::{Disposition, Settlement},
};
use kernel::{batch::BatchId, error::Error, queue::Queue, store::Store};

/// The reason of a failed delivery whose destination was deleted.
pub(super) const DESTINATION_DELETED: &str = "destination_deleted";

/// How many deliveries fail at once: their events need a few megabytes at most.
const MAX_PAGE_ROWS: usize = 64;

/// Fails some queued deliveries; returns whether none was left.
pub(super) async fn drain<S: Store, Q: Queue>(
    context: &WorkerContext<S, Q>,
    writer: &DispositionWriter<S>,
    reason: &str,
) -> Result<bool, Error> {
    let now = (context.now)();
    let everything = Timestamp::MAX;
    let range = queue_rows::RowRange { after: None, until: everything, limit: MAX_PAGE_ROWS, max_skipped: 0 };
    let page = queue_rows::read_page(&context.store, &writer.partition(), range, |_| false).await?;
    if page.rows.is_empty() {
        return Ok(true);
    }
    let loaded = load::load(&writer.wakeup, page.rows, Some(everything), now, &context.store).await?;
    let mut settlements: Vec<Settlement> = loaded.into_iter().map(|loaded| fail(loaded, reason)).collect();
    writer.store_all(&mut settlements, BatchId::new(now, (context.random)())).await?;
    let destination = &writer.wakeup.destination;
    tracing::warn!(
        tenant = %writer.wakeup.tenant,
        destination = %destination,
        deliveries = settlements.len(),
        reason,
        "{} deliveries to {destination} ended without a call: {reason}",
        settlements.len()
    );
    Ok(false)
}

fn fail(loaded: Loaded, reason: &str) -> Settlement {
    let failed = || Disposition::Failed { reason: reason.to_owned() };
    match loaded {
        Loaded::Ready(task) => Settlement::not_sent(*task, failed()),
        Loaded::Resolved(settled) => match settled.disposition {
            Disposition::Deferred { .. } => Settlement { disposition: failed(), ..*settled },
            _ => *settled,
        },
    }
}
