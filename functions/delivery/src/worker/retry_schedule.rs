//! The retry schedule: delays of the destination, and its `Retry-After`.

use jiff::{SignedDuration, Timestamp};

use destinations::{destination::RETRY_DELAYS, outbound::RetryAfter};

/// The longest `Retry-After` that counts.
const MAX_RETRY_AFTER: SignedDuration = SignedDuration::from_hours(24);
/// The shortest back-off of a lane; and the longest, unless the destination names a time.
const MIN_BACKOFF: SignedDuration = SignedDuration::from_secs(1);
const MAX_BACKOFF: SignedDuration = SignedDuration::from_mins(5);
/// How often a back-off doubles.
const MAX_DOUBLINGS: u32 = 10;

/// When the next attempt is due after a failure at `now`; `None`: the schedule has no attempt left.
///
/// It is the later of two times: the delay of the schedule, ±10 %, and the `Retry-After` of the destination,
/// plus up to 10 %. The randomness spreads the load.
pub(super) fn next_attempt(
    delays: &[u32],
    attempts_used: u32,
    retry_after: Option<RetryAfter>,
    now: Timestamp,
    random: u128,
) -> Option<Timestamp> {
    let delay = *delays.get(usize::try_from(attempts_used).ok()?)?;
    let wait = jitter_around(delay, random);
    Some(now + retry_after.map_or(wait, |retry_after| wait.max(jitter_after(retry_after, now, random))))
}

/// When a back-off ends that begins at `now`: after the first delay of the schedule, or after `Retry-After`, if
/// that is longer. If the destination names no time, each back-off in a row is twice as long as the one before;
/// `backoffs` is the number of earlier back-offs.
pub(super) fn backoff_until(
    delays: &[u32],
    backoffs: u32,
    retry_after: Option<RetryAfter>,
    now: Timestamp,
    random: u128,
) -> Timestamp {
    let delay = delays.first().copied().unwrap_or(RETRY_DELAYS[0]);
    let first = jitter_around(delay, random).max(MIN_BACKOFF);
    let wait = match retry_after {
        Some(retry_after) => first.max(jitter_after(retry_after, now, random)),
        None => first.max((first * (1 << backoffs.min(MAX_DOUBLINGS))).min(MAX_BACKOFF)),
    };
    now + wait
}

/// For how long a destination may ask for time before a delivery fails: as long as the attempts of its
/// schedule would take, or of the default schedule if that is longer.
pub(super) fn max_throttle_time(delays: &[u32]) -> SignedDuration {
    let total = |delays: &[u32]| SignedDuration::from_secs(delays.iter().copied().map(i64::from).sum());
    total(delays).max(total(&RETRY_DELAYS))
}

/// A delay, ±10 %.
fn jitter_around(seconds: u32, random: u128) -> SignedDuration {
    let wait = SignedDuration::from_secs(seconds.into());
    wait - wait / 10 + random_part(wait / 5, random)
}

/// The time that a destination asks for, plus up to 10 %.
fn jitter_after(retry_after: RetryAfter, now: Timestamp, random: u128) -> SignedDuration {
    let wait = retry_after.wait(now).min(MAX_RETRY_AFTER);
    (wait + random_part(wait / 10, random)).min(MAX_RETRY_AFTER)
}

/// A random part of a duration, in milliseconds.
fn random_part(whole: SignedDuration, random: u128) -> SignedDuration {
    let steps = u128::try_from(whole.as_millis()).unwrap_or_default() + 1;
    SignedDuration::from_millis(i64::try_from(random % steps).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(attempts_used: u32, retry_after: Option<&str>, expected: Option<(i64, i64)>) {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let retry_after = retry_after.and_then(RetryAfter::parse);
        let seconds = |random| {
            next_attempt(&RETRY_DELAYS, attempts_used, retry_after, now, random)
                .map(|due| due.duration_since(now).as_millis())
        };
        let all: Vec<_> = (0..7_919).map(|step| seconds(u128::MAX / 7_919 * step)).collect();
        let found = all.iter().min().copied().flatten().zip(all.iter().max().copied().flatten());
        let expected = expected.map(|(from, to)| (i128::from(from), i128::from(to)));
        let Some(((first, last), (from, to))) = found.zip(expected) else {
            assert_eq!(found, expected, "{attempts_used} {retry_after:?}");
            return;
        };
        assert!((from..=to).contains(&first) && (from..=to).contains(&last), "{found:?} {expected:?}");
        // The results cover the range.
        assert!((last - first) * 10 >= (to - from) * 8, "{found:?} {expected:?}");
    }

    #[test]
    fn delays_are_those_of_the_destination() {
        check(0, None, Some((4_500, 5_500)));
        check(1, None, Some((270_000, 330_000)));
        check(2, None, Some((1_620_000, 1_980_000)));
        check(6, None, Some((32_400_000, 39_600_000)));
        check(7, None, None);
        check(u32::MAX, None, None);
    }

    #[test]
    fn the_later_of_delay_and_retry_after_wins() {
        check(0, Some("120"), Some((120_000, 132_000)));
        for retry_after in ["0", "1", "Wed, 01 Jan 2025 01:00:00 GMT"] {
            check(0, Some(retry_after), Some((4_500, 5_500)));
            check(6, Some(retry_after), Some((32_400_000, 39_600_000)));
        }
        check(0, Some("Thu, 01 Jan 2026 01:00:00 GMT"), Some((3_600_000, 3_960_000)));
        check(0, Some("9999999"), Some((86_400_000, 86_400_000)));
        // `Retry-After` adds no attempt.
        check(7, Some("120"), None);
    }

    #[track_caller]
    fn check_backoff(delays: &[u32], backoffs: u32, retry_after: Option<&str>, (from, to): (i128, i128)) {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let retry_after = retry_after.and_then(RetryAfter::parse);
        for step in 0..7_919 {
            let until = backoff_until(delays, backoffs, retry_after, now, u128::MAX / 7_919 * step);
            let found = until.duration_since(now).as_millis();
            assert!((from..=to).contains(&found), "{delays:?} {backoffs} {retry_after:?}: {found}");
        }
    }

    #[test]
    fn a_lane_backs_off_as_long_as_asked() {
        check_backoff(&RETRY_DELAYS, 0, None, (4_500, 5_500));
        check_backoff(&RETRY_DELAYS, 1, None, (9_000, 11_000));
        check_backoff(&RETRY_DELAYS, u32::MAX, None, (300_000, 300_000));
        check_backoff(&[600], 3, None, (540_000, 660_000));
        check_backoff(&[], 0, None, (4_500, 5_500));
        check_backoff(&[0], 5, None, (32_000, 32_000));
        check_backoff(&RETRY_DELAYS, 9, Some("1"), (4_500, 5_500));
        check_backoff(&RETRY_DELAYS, 9, Some("60"), (60_000, 66_000));
    }

    #[test]
    fn throttle_time_is_bounded_by_the_schedule() {
        assert_eq!(max_throttle_time(&RETRY_DELAYS).as_secs(), 99_305);
        assert_eq!(max_throttle_time(&[]), max_throttle_time(&RETRY_DELAYS));
        assert_eq!(max_throttle_time(&[86_400; 3]).as_secs(), 3 * 86_400);
    }
}
