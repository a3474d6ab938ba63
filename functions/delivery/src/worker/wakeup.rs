//! Wakes: the message that has a lane looked at, now or when something is due.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::lane_state::LaneState;
use crate::model::Wakeup;
use kernel::{
    error::Error,
    queue::{self, Queue},
};

/// A message that comes so much later than wanted will do.
const MAX_LATE: SignedDuration = SignedDuration::from_secs(1);
/// One that is to come sooner than this may be the one that is being worked on: clocks differ.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(2);
/// The soonest that a message comes for a lane that is taken: later than that, so that all who come by see that it will
/// do, and one is sent.
pub(super) const MIN_HELD_DELAY: SignedDuration = SignedDuration::from_secs(4);

/// Sees to it that the lane is looked at when something is due at `due`: by the message that is on its way, or by a
/// new one.
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

/// How much later a lane is looked at again that could not be worked on: long enough for what was busy, and not all
/// lanes at once.
pub(super) fn error_delay(random: u128) -> Duration {
    Duration::from_secs(5 + u64::try_from(random % 56).unwrap_or_default())
}

/// Whether the message that was sent last will do.
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
    fn one_message_is_on_its_way() {
        check(None, 10, false);
        check(Some(10), 10, true);
        check(Some(11), 10, true);
        check(Some(12), 10, false);
        check(Some(900), 7_200, true);
        // It may be the one that led here.
        check(Some(0), 7_200, false);
        check(Some(1), 7_200, false);
        check(Some(-5), 10, false);
    }
}
