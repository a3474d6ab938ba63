//! A delivery whose pass has ended, and its disposition.

use jiff::Timestamp;

use super::{
    attempt::CallResult,
    task::{DeliveryTask, Payload, QueueRow, VersionedResponse},
};
use crate::model::{Attempt, Queued};

/// What came of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Disposition {
    /// The destination has it.
    Delivered,
    /// It is tried again, by this row.
    Retry {
        /// When.
        due: Timestamp,
        /// The row.
        queued: Queued,
    },
    /// It stays due; what was tried is kept.
    Requeued {
        /// The row, as it is now.
        queued: Queued,
    },
    /// It is not tried again.
    Failed {
        /// Why.
        reason: String,
    },
    /// It waits until then, and nothing was tried.
    Deferred {
        /// Until when.
        due: Timestamp,
    },
    /// It waits until then behind an earlier one of its user, and later ones wait behind it.
    Blocked {
        /// Until when.
        due: Timestamp,
    },
    /// It ended before; what is left of its queue goes.
    AlreadyDone {
        /// Whether it was delivered: then the failure goes that it was sent again for.
        was_delivered: bool,
    },
    /// Another row stands for it.
    Superseded,
    /// The filter of the destination does not let it through: nothing is left of it there.
    Filtered,
}

impl Disposition {
    /// Whether the response of the event is to say so.
    pub(super) fn updates_response(&self) -> bool {
        matches!(self, Self::Delivered | Self::Filtered)
    }
}

/// A delivery, and what came of it.
#[derive(Debug)]
pub(super) struct Settlement {
    pub(super) row: QueueRow,
    pub(super) payload: Option<Payload>,
    /// As it was read, where it is at hand.
    pub(super) response: Option<VersionedResponse>,
    /// Everything that was tried, the last one included.
    pub(super) attempts: Vec<Attempt>,
    pub(super) disposition: Disposition,
    /// Whether a call was made, or tried to be.
    pub(super) was_sent: bool,
}

impl Settlement {
    /// A parcel that was not sent. What is not needed any more of its event goes.
    pub(super) fn not_sent(task: DeliveryTask, disposition: Disposition) -> Self {
        let DeliveryTask { row, payload, response, attempts } = task;
        let has_failed = matches!(disposition, Disposition::Failed { .. });
        let payload = has_failed.then(|| Payload { canonical: String::new(), ..payload });
        let response = response.filter(|_| disposition.updates_response());
        Self { row, payload, response, attempts, disposition, was_sent: false }
    }

    /// A parcel whose call ended.
    pub(super) fn from_call(call: CallResult, disposition: Disposition) -> Self {
        let mut settlement = Self::not_sent(*call.task, disposition);
        settlement.attempts.push(call.attempt);
        Self { was_sent: true, ..settlement }
    }

    /// How much room it takes up, about.
    pub(super) fn bytes(&self) -> usize {
        self.payload.as_ref().map_or(0, Payload::bytes)
            + self.response.as_ref().map_or(0, VersionedResponse::bytes)
    }
}
