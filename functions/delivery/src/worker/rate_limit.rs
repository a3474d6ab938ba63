//! The rate limit of a lane, as the time of the next permitted call (GCRA). In no second do more calls begin
//! than the destination permits. Calls are spread evenly, with a small burst.

use jiff::{SignedDuration, Timestamp};

/// The burst: calls that are late by up to this time may follow at once, because timers are no finer.
const MAX_BURST: SignedDuration = SignedDuration::from_millis(20);

/// When the next call is permitted, if it is not now.
pub(super) fn wait(next_allowed_at: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    next_allowed_at
        .map(|next_allowed_at| next_allowed_at - MAX_BURST)
        .filter(|next_allowed_at| now < *next_allowed_at)
}

/// The time of the next permitted call, after a call at `now`.
pub(super) fn after_call(next_allowed_at: Option<Timestamp>, now: Timestamp, per_second: u32) -> Timestamp {
    // The burst is part of the second, so no second has more calls.
    let second = SignedDuration::from_secs(1) + MAX_BURST;
    let rate = i32::try_from(per_second.max(1)).unwrap_or(i32::MAX);
    let step = second.checked_div(rate).unwrap_or_default();
    next_allowed_at.map_or(now, |next_allowed_at| next_allowed_at.max(now)) + step
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The times of calls, in milliseconds, if a caller tries every `every` milliseconds.
    fn calls(per_second: u32, every: i64, until: i64) -> Vec<i64> {
        let mut next_allowed_at = None;
        let mut times = Vec::new();
        let mut at = 0;
        while at < until {
            let now = Timestamp::UNIX_EPOCH + SignedDuration::from_millis(at);
            while wait(next_allowed_at, now).is_none() {
                next_allowed_at = Some(after_call(next_allowed_at, now, per_second));
                times.push(at);
            }
            at += every;
        }
        times
    }

    #[track_caller]
    fn check(per_second: u32, every: i64) {
        let times = calls(per_second, every, 10_000);
        for (index, first) in times.iter().enumerate() {
            let second = times[index..].iter().take_while(|time| **time < first + 1_000).count();
            assert!(second <= per_second as usize, "{second} calls in the second from {first} ms");
        }
        let fewest = f64::from(per_second) * 10.0 * 0.9;
        assert!(times.len() as f64 >= fewest.floor(), "{} calls in 10 s", times.len());
    }

    #[test]
    fn the_rate_is_used_and_never_exceeded() {
        for per_second in [1, 2, 3, 7, 10, 50, 100, 999, 5_000] {
            for every in [1, 3, 10] {
                check(per_second, every);
            }
        }
    }
}
