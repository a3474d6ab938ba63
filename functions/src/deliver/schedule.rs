//! When a delivery is tried again: after the delays of its destination, or when the destination says.

use jiff::{SignedDuration, Timestamp};

use crate::outbound::RetryAfter;

/// The longest that a destination may ask for.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);
/// The shortest: who says 0 is asked again all the same, but not at once.
const SHORTEST: SignedDuration = SignedDuration::from_secs(1);

/// When to try again what failed at `now`, having used up `used` tries before; `None`: not again.
///
/// Each delay is ±10 %. What the destination asks for is kept, and spread by 10 % more, so that not all come at once.
pub(super) fn next(
    delays: &[u32],
    used: u32,
    asked: Option<RetryAfter>,
    now: Timestamp,
    random: u128,
) -> Option<Timestamp> {
    let delay = *delays.get(usize::try_from(used).ok()?)?;
    let wait = match asked {
        Some(asked) => {
            let wait = asked.wait(now).clamp(SHORTEST, LONGEST);
            (wait + part(wait / 10, random)).min(LONGEST)
        }
        None => {
            let wait = SignedDuration::from_secs(delay.into());
            wait - wait / 10 + part(wait / 5, random)
        }
    };
    Some(now + wait)
}

/// A random part of a duration, to the millisecond.
fn part(whole: SignedDuration, random: u128) -> SignedDuration {
    let steps = u128::try_from(whole.as_millis()).unwrap_or_default() + 1;
    SignedDuration::from_millis(i64::try_from(random % steps).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::RETRY_DELAYS;

    #[track_caller]
    fn check(used: u32, asked: Option<&str>, expected: Option<(i64, i64)>) {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let asked = asked.and_then(RetryAfter::parse);
        let seconds = |random| {
            next(&RETRY_DELAYS, used, asked, now, random).map(|due| due.duration_since(now).as_millis())
        };
        let all: Vec<_> = (0..7_919).map(|step| seconds(u128::MAX / 7_919 * step)).collect();
        let found = all.iter().min().copied().flatten().zip(all.iter().max().copied().flatten());
        let expected = expected.map(|(from, to)| (i128::from(from), i128::from(to)));
        let Some(((first, last), (from, to))) = found.zip(expected) else {
            assert_eq!(found, expected, "{used} {asked:?}");
            return;
        };
        assert!((from..=to).contains(&first) && (from..=to).contains(&last), "{found:?} {expected:?}");
        // All of the range is used.
        assert!((last - first) * 10 >= (to - from) * 8, "{found:?} {expected:?}");
    }

    #[test]
    fn delays_follow_the_destination() {
        check(0, None, Some((4_500, 5_500)));
        check(1, None, Some((270_000, 330_000)));
        check(2, None, Some((1_620_000, 1_980_000)));
        check(6, None, Some((32_400_000, 39_600_000)));
        check(7, None, None);
        check(u32::MAX, None, None);
    }

    #[test]
    fn retry_after_wins() {
        check(0, Some("120"), Some((120_000, 132_000)));
        check(6, Some("1"), Some((1_000, 1_100)));
        check(0, Some("0"), Some((1_000, 1_100)));
        check(0, Some("Thu, 01 Jan 2026 01:00:00 GMT"), Some((3_600_000, 3_960_000)));
        check(0, Some("Wed, 01 Jan 2025 01:00:00 GMT"), Some((1_000, 1_100)));
        check(0, Some("9999999"), Some((86_400_000, 86_400_000)));
        // It wins no further try.
        check(7, Some("120"), None);
    }
}
