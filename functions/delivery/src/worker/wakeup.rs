//! Wake-ups: messages that start a worker on a lane, now or when something is due.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::lane_state::LaneState;
use crate::model::Wakeup;
use kernel::{
    error::Error,
    queue::{self, Queue},
};

/// How much later than due a wake-up may arrive.
const MAX_LATE: SignedDuration = SignedDuration::from_secs(1);
/// A wake-up within this time may be the one that is being processed now: clocks differ.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(2);
/// Minimum delay of the wake-up for a held lane. It exceeds `CLOCK_SKEW`, so other workers see it as pending
/// and send none.
pub(super) const MIN_HELD_DELAY: SignedDuration = SignedDuration::from_secs(4);

/// Ensures a wake-up of the lane at `due`: a pending one, or a new one.
pub(super) async fn schedule<Q: Queue>(
    wakeup: &Wakeup,
    lane: &mut LaneState,
    due: Timestamp,
    now: Timestamp,
    queue: &Q,
) -> Result<(), Error> {
    if is_scheduled(lane.wake_at, due, now) {
        return Ok(());
    }
    let delay = queue::delay(due, now);
    wakeup.send(delay, queue).await?;
    lane.wake_at = (!delay.is_zero()).then(|| now + delay);
    Ok(())
}

/// How long a lane waits after an error: long enough for busy storage to recover, and random, so that not all
/// lanes return at once.
pub(super) fn error_delay(random: u128) -> Duration {
    Duration::from_secs(5 + u64::try_from(random % 56).unwrap_or_default())
}

/// Whether the pending wake-up arrives at the right time.
pub(super) fn is_scheduled(wake_at: Option<Timestamp>, due: Timestamp, now: Timestamp) -> bool {
    wake_at.is_some_and(|at| now + CLOCK_SKEW < at && at <= due + MAX_LATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wake_at: Option<i64>, due: i64, expected: bool) {
        let at = |seconds| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds);
        assert_eq!(is_scheduled(wake_at.map(at), at(due), at(0)), expected, "{wake_at:?} {due}");
    }

    #[test]
    fn a_pending_wakeup_is_reused() {
        check(None, 10, false);
        check(Some(10), 10, true);
        check(Some(11), 10, true);
        check(Some(12), 10, false);
        check(Some(900), 7_200, true);
        // It may be the one that is being processed.
        check(Some(0), 7_200, false);
        check(Some(1), 7_200, false);
        check(Some(-5), 10, false);
    }
}
