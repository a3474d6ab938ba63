//! The meaning of a completed call: for its delivery, for the lane, and for the destination.

use jiff::Timestamp;

use super::{
    attempt::CallResult, breaker::Signal, health::StateChange, retry_schedule, settlement::Disposition,
};
use crate::model::{Queued, Wakeup};
use destinations::destination::{Destination, State};

/// The meaning of a call.
#[derive(Debug)]
pub(super) struct CallOutcome {
    pub(super) disposition: Disposition,
    pub(super) signal: Signal,
    /// Whether the call says something about the health of the destination.
    pub(super) affects_health: bool,
    /// The new state of the destination, if it changes.
    pub(super) change: Option<StateChange>,
    /// The end of the lane's back-off, if the destination asked for time.
    pub(super) backoff_until: Option<Timestamp>,
}

impl CallOutcome {
    pub(super) fn is_delivered(&self) -> bool {
        self.disposition == Disposition::Delivered
    }

    /// Logs a failure for good, once.
    pub(super) fn log(&self, wakeup: &Wakeup, call: &CallResult) {
        let Disposition::Failed { reason } = &self.disposition else { return };
        let row = &call.task.row;
        tracing::warn!(
            tenant = %wakeup.tenant,
            destination = %wakeup.destination,
            sequence = row.sequence,
            reason,
            tries = row.queued.tries + 1,
            "a delivery to {} failed for good: {reason}",
            wakeup.destination
        );
    }
}

/// Interprets a call that completed at `now`; `backoffs` is the number of back-offs in a row before it.
pub(super) fn interpret(
    call: &CallResult,
    destination: &Destination,
    backoffs: u32,
    now: Timestamp,
    random: u128,
) -> CallOutcome {
    let status = call.attempt.status;
    let reason = call.attempt.failure().unwrap_or_default();
    if !call.was_sent() {
        return CallOutcome {
            disposition: Disposition::Failed { reason },
            signal: Signal::Neutral,
            affects_health: false,
            change: None,
            backoff_until: None,
        };
    }
    let delays = &destination.retry_delays;
    let verdict = Verdict::new(status, &destination.final_statuses);
    let backoff_until = (verdict == Verdict::Throttled)
        .then(|| retry_schedule::backoff_until(delays, backoffs, call.retry_after, now, random));
    let queued = blocking_row(call, destination, now);
    let disposition = match verdict {
        Verdict::Delivered => Disposition::Delivered,
        Verdict::Gone | Verdict::Final => Disposition::Failed { reason: reason.clone() },
        // An early call uses no attempt of the schedule.
        Verdict::Retry | Verdict::Throttled if call.is_early() => Disposition::Requeued { queued },
        Verdict::Throttled => {
            let since = queued.throttled_since.unwrap_or(now);
            match backoff_until
                .filter(|_| now.duration_since(since) < retry_schedule::max_throttle_time(delays))
            {
                Some(due) => {
                    Disposition::Retry { due, queued: Queued { throttled_since: Some(since), ..queued } }
                }
                None => Disposition::Failed { reason: reason.clone() },
            }
        }
        Verdict::Retry => {
            match retry_schedule::next_attempt(delays, queued.tries, call.retry_after, now, random) {
                Some(due) => Disposition::Retry { due, queued: Queued { tries: queued.tries + 1, ..queued } },
                None => Disposition::Failed { reason: reason.clone() },
            }
        }
    };
    let change = (verdict == Verdict::Gone).then_some(StateChange { state: State::Disabled, reason });
    CallOutcome { disposition, signal: signal(status), affects_health: true, change, backoff_until }
}

/// The row after a failed call, which blocks later events of its user from now on. Time before the first
/// failure, and before the last change of the destination, does not count.
fn blocking_row(call: &CallResult, destination: &Destination, now: Timestamp) -> Queued {
    let queued = &call.task.row.queued;
    let was_tried = queued.tries > 0 || queued.failed_at.is_some();
    let counts = |since: &Timestamp| was_tried && *since >= destination.updated_at;
    let blocking_since = queued.blocking_since.filter(counts).or(Some(now));
    Queued { blocking_since, failed_at: Some(now), ..queued.clone() }
}

/// The meaning of a status for a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The delivery is done.
    Delivered,
    /// Another attempt follows.
    Retry,
    /// The destination asks for time.
    Throttled,
    /// The destination no longer exists.
    Gone,
    /// The delivery failed for good.
    Final,
}

impl Verdict {
    /// Interprets the status of a response, with the final statuses of the destination; `None`: no response.
    fn new(status: Option<u16>, finals: &[u16]) -> Self {
        match status {
            Some(200..=299) => Self::Delivered,
            Some(429) => Self::Throttled,
            Some(status) if finals.contains(&status) => {
                if status == 410 {
                    Self::Gone
                } else {
                    Self::Final
                }
            }
            _ => Self::Retry,
        }
    }
}

/// The sign of a status about the health of the destination. Redirects are not followed, because no client named their host
/// as a destination: they are refusals.
fn signal(status: Option<u16>) -> Signal {
    match status {
        Some(200..=299) => Signal::Success,
        None | Some(408 | 423 | 425 | 500..=599) => Signal::Failure,
        Some(410 | 429) => Signal::Neutral,
        Some(_) => Signal::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use destinations::destination::FINAL_STATUSES;

    #[test]
    fn every_status_has_a_verdict_and_a_signal() {
        for (status, verdict, shown) in [
            (Some(199), Verdict::Retry, Signal::Refused),
            (Some(200), Verdict::Delivered, Signal::Success),
            (Some(202), Verdict::Delivered, Signal::Success),
            (Some(299), Verdict::Delivered, Signal::Success),
            (Some(300), Verdict::Retry, Signal::Refused),
            (Some(302), Verdict::Retry, Signal::Refused),
            (Some(400), Verdict::Final, Signal::Refused),
            (Some(401), Verdict::Retry, Signal::Refused),
            (Some(403), Verdict::Retry, Signal::Refused),
            (Some(404), Verdict::Retry, Signal::Refused),
            (Some(408), Verdict::Retry, Signal::Failure),
            (Some(409), Verdict::Retry, Signal::Refused),
            (Some(410), Verdict::Gone, Signal::Neutral),
            (Some(413), Verdict::Final, Signal::Refused),
            (Some(414), Verdict::Final, Signal::Refused),
            (Some(415), Verdict::Final, Signal::Refused),
            (Some(422), Verdict::Final, Signal::Refused),
            (Some(423), Verdict::Retry, Signal::Failure),
            (Some(425), Verdict::Retry, Signal::Failure),
            (Some(429), Verdict::Throttled, Signal::Neutral),
            (Some(500), Verdict::Retry, Signal::Failure),
            (Some(599), Verdict::Retry, Signal::Failure),
            (Some(600), Verdict::Retry, Signal::Refused),
            (None, Verdict::Retry, Signal::Failure),
        ] {
            assert_eq!(Verdict::new(status, &FINAL_STATUSES), verdict, "{status:?}");
            assert_eq!(signal(status), shown, "{status:?}");
        }
    }

    #[test]
    fn the_destination_chooses_final_statuses() {
        for (status, verdict) in
            [(404, Verdict::Final), (503, Verdict::Final), (400, Verdict::Retry), (410, Verdict::Retry)]
        {
            assert_eq!(Verdict::new(Some(status), &[404, 503]), verdict, "{status}");
        }
    }
}
