//! The end of a lane: what is queued for a destination that is disabled or deleted has failed.

use jiff::Timestamp;

use super::{
    WorkerContext, due,
    load::{self, Loaded},
    record::{Disposition, DispositionWriter, Settlement},
};
use kernel::{batch::BatchId, error::Error, queue::Queue, store::Store};

/// Why a delivery failed whose destination was deleted.
pub(super) const DELETED: &str = "destination_deleted";

/// How many end at once: their events take a few megabytes at most.
const PAGE: usize = 64;

/// Ends some of what is queued; gives whether there was nothing left.
pub(super) async fn drain<S: Store, Q: Queue>(
    tools: &WorkerContext<S, Q>,
    book: &DispositionWriter<S>,
    reason: &str,
) -> Result<bool, Error> {
    let now = (tools.now)();
    let everything = Timestamp::MAX;
    let range = due::RowRange { after: None, until: everything, limit: PAGE, slack: 0 };
    let page = due::read(&tools.store, &book.partition(), range, |_| false).await?;
    if page.rows.is_empty() {
        return Ok(true);
    }
    let loaded = load::load(&book.wake, page.rows, Some(everything), now, &tools.store).await?;
    let mut ended: Vec<Settlement> = loaded.into_iter().map(|loaded| end(loaded, reason)).collect();
    book.record(&mut ended, BatchId::new(now, (tools.random)())).await?;
    let destination = &book.wake.destination;
    tracing::warn!(
        tenant = %book.wake.tenant,
        destination = %destination,
        deliveries = ended.len(),
        reason,
        "{} deliveries to {destination} ended without having been sent: {reason}",
        ended.len()
    );
    Ok(false)
}

fn end(loaded: Loaded, reason: &str) -> Settlement {
    let failed = || Disposition::Failed { reason: reason.to_owned() };
    match loaded {
        Loaded::Ready(parcel) => Settlement::new(*parcel, failed()),
        Loaded::Resolved(ended) => match ended.fate {
            Disposition::Deferred { .. } => Settlement { fate: failed(), ..*ended },
            _ => *ended,
        },
    }
}
