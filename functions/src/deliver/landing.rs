//! What a call that ended means: for its delivery, for the breaker, and for the destination.

use jiff::Timestamp;

use super::{
    attempt::Called,
    breaker::Sign,
    classify::{self, Verdict},
    health::Change,
    record::Fate,
    schedule,
};
use crate::{
    delivery::{Queued, Wake},
    destination::{Destination, State},
};

/// What it means.
#[derive(Debug)]
pub(super) struct Landing {
    pub(super) fate: Fate,
    pub(super) sign: Sign,
    /// Whether it says something of the destination's health.
    pub(super) counts: bool,
    /// How the destination is to stand from now on.
    pub(super) change: Option<Change>,
}

impl Landing {
    pub(super) fn is_delivered(&self) -> bool {
        self.fate == Fate::Delivered
    }

    /// A failure for good is logged here, once.
    pub(super) fn log(&self, wake: &Wake, called: &Called) {
        let Fate::Failed { reason } = &self.fate else { return };
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

/// Judges a call that ended at `now`.
pub(super) fn judge(called: &Called, destination: &Destination, now: Timestamp, random: u128) -> Landing {
    let (status, error) = (called.attempt.status, called.attempt.error.as_deref());
    let reason = classify::reason(status, error);
    if !called.was_sent() {
        return Landing { fate: Fate::Failed { reason }, sign: Sign::None, counts: false, change: None };
    }
    let queued = &called.parcel.row.queued;
    // Since when later events of its user wait for it; what it waited itself, and before the destination was changed
    // last, does not count.
    let counts = |since: &Timestamp| queued.tries > 0 && *since >= destination.updated_at;
    let stuck_since = queued.stuck_since.filter(counts).or(Some(now));
    let stuck = Queued { stuck_since, ..queued.clone() };
    let verdict = Verdict::new(status);
    let change = |state| Some(Change { state, reason: reason.clone() });
    let (fate, change) = match verdict {
        Verdict::Done => (Fate::Delivered, None),
        Verdict::Pause => (Fate::Kept { queued: stuck }, change(State::Paused)),
        Verdict::Disable => (Fate::Failed { reason: reason.clone() }, change(State::Disabled)),
        Verdict::Final => (Fate::Failed { reason }, None),
        Verdict::Again => {
            let delays = &destination.retry_delays;
            match schedule::next(delays, queued.tries, called.retry_after, now, random) {
                Some(due) => (Fate::Again { due, queued: Queued { tries: queued.tries + 1, ..stuck } }, None),
                None => (Fate::Failed { reason }, None),
            }
        }
    };
    Landing { fate, sign: verdict.sign(), counts: verdict != Verdict::Pause, change }
}
