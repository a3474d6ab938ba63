//! What a call that ended means: for its delivery, for the breaker, and for the destination.

use jiff::Timestamp;

use super::{
    attempt::CallResult,
    breaker::Signal,
    classify::{self, Verdict},
    health::StateChange,
    record::Disposition,
    schedule,
};
use crate::model::{Queued, Wakeup};
use destinations::destination::{Destination, State};

/// What it means.
#[derive(Debug)]
pub(super) struct CallOutcome {
    pub(super) fate: Disposition,
    pub(super) sign: Signal,
    /// Whether it says something of the destination's health.
    pub(super) counts: bool,
    /// How the destination is to stand from now on.
    pub(super) change: Option<StateChange>,
    /// Until when the lane rests, if the destination asked for time.
    pub(super) rest: Option<Timestamp>,
}

impl CallOutcome {
    pub(super) fn is_delivered(&self) -> bool {
        self.fate == Disposition::Delivered
    }

    /// A failure for good is logged here, once.
    pub(super) fn log(&self, wake: &Wakeup, called: &CallResult) {
        let Disposition::Failed { reason } = &self.fate else { return };
        let row = &called.parcel.row;
        tracing::warn!(
            tenant = %wake.tenant,
            destination = %wake.destination,
            sequence = row.sequence,
            reason,
            tries = row.queued.tries + 1,
            "a delivery to {} failed for good: {reason}",
            wake.destination
        );
    }
}

/// Judges a call that ended at `now`; `rests` is how often the destination asked for time in a row before it.
pub(super) fn judge(
    called: &CallResult,
    destination: &Destination,
    rests: u32,
    now: Timestamp,
    random: u128,
) -> CallOutcome {
    let status = called.attempt.status;
    let reason = called.attempt.failure().unwrap_or_default();
    if !called.was_sent() {
        return CallOutcome {
            fate: Disposition::Failed { reason },
            sign: Signal::Neutral,
            counts: false,
            change: None,
            rest: None,
        };
    }
    let delays = &destination.retry_delays;
    let verdict = Verdict::new(status, &destination.final_statuses);
    let rest = (verdict == Verdict::Throttled)
        .then(|| schedule::rest(delays, rests, called.retry_after, now, random));
    let queued = stuck(called, destination, now);
    let fate = match verdict {
        Verdict::Delivered => Disposition::Delivered,
        Verdict::Gone | Verdict::Final => Disposition::Failed { reason: reason.clone() },
        // It was tried before its time: its tries are those of its schedule.
        Verdict::Retry | Verdict::Throttled if called.is_early() => Disposition::Requeued { queued },
        Verdict::Throttled => {
            let since = queued.throttled_since.unwrap_or(now);
            match rest.filter(|_| now.duration_since(since) < schedule::patience(delays)) {
                Some(due) => {
                    Disposition::Retry { due, queued: Queued { throttled_since: Some(since), ..queued } }
                }
                None => Disposition::Failed { reason: reason.clone() },
            }
        }
        Verdict::Retry => match schedule::next(delays, queued.tries, called.retry_after, now, random) {
            Some(due) => Disposition::Retry { due, queued: Queued { tries: queued.tries + 1, ..queued } },
            None => Disposition::Failed { reason: reason.clone() },
        },
    };
    let change = (verdict == Verdict::Gone).then_some(StateChange { state: State::Disabled, reason });
    CallOutcome { fate, sign: classify::sign(status), counts: true, change, rest }
}

/// The row of a call that failed: since when later events of its user wait for it. What it waited itself, and before the
/// destination was changed last, does not count.
fn stuck(called: &CallResult, destination: &Destination, now: Timestamp) -> Queued {
    let queued = &called.parcel.row.queued;
    let was_tried = queued.tries > 0 || queued.failed_at.is_some();
    let counts = |since: &Timestamp| was_tried && *since >= destination.updated_at;
    let stuck_since = queued.stuck_since.filter(counts).or(Some(now));
    Queued { stuck_since, failed_at: Some(now), ..queued.clone() }
}
