//! The result of one pass over a delivery.

use jiff::Timestamp;

use super::{
    attempt::CallResult,
    task::{DeliveryTask, Payload, QueueRow, VersionedResponse},
};
use crate::model::{Attempt, Queued};

/// The result that is stored for a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Disposition {
    /// The destination accepted the event.
    Delivered,
    /// Another attempt follows, with this queue row.
    Retry {
        /// When the attempt is due.
        due: Timestamp,
        /// The new row.
        queued: Queued,
    },
    /// The row remains due at the same time; the attempt is recorded.
    Requeued {
        /// The row with its new content.
        queued: Queued,
    },
    /// The delivery failed for good.
    Failed {
        /// The reason.
        reason: String,
    },
    /// The delivery returns at this time, without an attempt: its event is not readable yet.
    Deferred {
        /// When the delivery is due again.
        due: Timestamp,
    },
    /// The delivery waits for an earlier event of its user, and blocks later ones.
    Blocked {
        /// When the delivery is due again.
        due: Timestamp,
    },
    /// The delivery was settled before; the rest of its rows is deleted.
    AlreadyDone {
        /// Whether it was delivered: then the failure that was redriven is deleted.
        was_delivered: bool,
    },
    /// Another queue row of this delivery replaces this one.
    Superseded,
    /// The filter refused the event: the lane forgets it.
    Filtered,
}

impl Disposition {
    /// Whether the event response changes.
    pub(super) fn updates_response(&self) -> bool {
        matches!(self, Self::Delivered | Self::Filtered)
    }
}

/// A delivery with its disposition.
#[derive(Debug)]
pub(super) struct Settlement {
    pub(super) row: QueueRow,
    pub(super) payload: Option<Payload>,
    /// The event response as it was read, if it is in memory.
    pub(super) response: Option<VersionedResponse>,
    /// All attempts, including the last one.
    pub(super) attempts: Vec<Attempt>,
    pub(super) disposition: Disposition,
    /// Whether a call or an evaluation was made.
    pub(super) was_sent: bool,
}

impl Settlement {
    /// Settles a task without a call. The memory of its event is freed, if no longer needed.
    pub(super) fn not_sent(task: DeliveryTask, disposition: Disposition) -> Self {
        let DeliveryTask { row, payload, response, attempts } = task;
        let has_failed = matches!(disposition, Disposition::Failed { .. });
        let payload = has_failed.then(|| Payload { canonical: String::new(), ..payload });
        let response = response.filter(|_| disposition.updates_response());
        Self { row, payload, response, attempts, disposition, was_sent: false }
    }

    /// Settles a task after its call.
    pub(super) fn from_call(call: CallResult, disposition: Disposition) -> Self {
        let mut settlement = Self::not_sent(*call.task, disposition);
        settlement.attempts.push(call.attempt);
        Self { was_sent: true, ..settlement }
    }

    /// Approximate memory of the settlement.
    pub(super) fn bytes(&self) -> usize {
        self.payload.as_ref().map_or(0, Payload::bytes)
            + self.response.as_ref().map_or(0, VersionedResponse::bytes)
    }
}
