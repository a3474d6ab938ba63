//! The circuit breaker of a lane. It opens when at least half of the recent calls failed; after a minute it
//! permits one probe.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Calls are counted in 10 windows of 30 seconds: five minutes.
const MAX_WINDOWS: i64 = 10;
const WINDOW_SECONDS: i64 = 30;
/// The breaker opens after at least this many calls, if at least half of them failed.
const MIN_CALLS: u32 = 10;
/// How long an open breaker permits no call.
const OPEN_DURATION: SignedDuration = SignedDuration::from_secs(60);

/// The recent calls of a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Breaker {
    #[serde(rename = "spans", skip_serializing_if = "Vec::is_empty")]
    windows: Vec<Window>,
    #[serde(skip_serializing_if = "Option::is_none")]
    open_since: Option<Timestamp>,
    /// Whether the probe is in flight.
    #[serde(skip)]
    is_probing: bool,
}

/// The calls of one window of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Window {
    /// The number of the window: the seconds since 1970, divided by [`WINDOW_SECONDS`].
    number: i64,
    failed: u32,
    all: u32,
}

/// The calls that are permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permit {
    /// Any call.
    All,
    /// One call, the probe: its result shows whether the destination works.
    Probe,
    /// No call while the probe is in flight.
    Wait,
    /// No call before this time.
    After(Timestamp),
}

impl Permit {
    /// The calls that are permitted by both.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::After(one), Self::After(other)) => Self::After(one.max(other)),
            (after @ Self::After(_), _) | (_, after @ Self::After(_)) => after,
            (Self::Wait, _) | (_, Self::Wait) => Self::Wait,
            (Self::Probe, _) | (_, Self::Probe) => Self::Probe,
            (Self::All, Self::All) => Self::All,
        }
    }

    /// No call until a time, if there is one, then one probe.
    pub(super) fn until(end: Option<Timestamp>, is_probing: bool, now: Timestamp) -> Self {
        match end {
            None => Self::All,
            Some(end) if now < end => Self::After(end),
            Some(_) if is_probing => Self::Wait,
            Some(_) => Self::Probe,
        }
    }
}

/// The sign of a call about the health of its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// The destination works.
    Success,
    /// The destination responds, but refuses the event. For the breaker this is a success.
    Refused,
    /// The destination does not work.
    Failure,
    /// Nothing.
    Neutral,
}

impl Breaker {
    /// Since when the breaker is open.
    pub(super) fn open_since(&self) -> Option<Timestamp> {
        self.open_since
    }

    /// The calls that are permitted now.
    pub(super) fn permits(&self, now: Timestamp) -> Permit {
        Permit::until(self.open_since.map(|since| since + OPEN_DURATION), self.is_probing, now)
    }

    /// The probe is in flight.
    pub(super) fn start_probe(&mut self) {
        self.is_probing = self.open_since.is_some();
    }

    /// Records a call; returns whether it opened the breaker. Calls that were in flight when the breaker
    /// opened change nothing.
    pub(super) fn record(&mut self, signal: Signal, is_probe: bool, now: Timestamp) -> bool {
        if self.open_since.is_some() {
            if is_probe {
                self.record_probe(signal, now);
            }
            return false;
        }
        if signal == Signal::Neutral {
            return false;
        }
        let failed = u32::from(signal == Signal::Failure);
        let number = now.as_second().div_euclid(WINDOW_SECONDS);
        match self.windows.last_mut() {
            Some(window) if window.number == number => {
                window.failed += failed;
                window.all += 1;
            }
            _ => {
                self.windows.retain(|window| window.number > number - MAX_WINDOWS);
                self.windows.push(Window { number, failed, all: 1 });
            }
        }
        let (failed, all) =
            self.windows.iter().fold((0, 0), |sum, window| (sum.0 + window.failed, sum.1 + window.all));
        if signal != Signal::Failure || all < MIN_CALLS || failed * 2 < all {
            return false;
        }
        self.open_since = Some(now);
        true
    }

    fn record_probe(&mut self, signal: Signal, now: Timestamp) {
        self.is_probing = false;
        match signal {
            Signal::Success | Signal::Refused => *self = Self::default(),
            Signal::Failure => self.open_since = Some(now),
            Signal::Neutral => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `+` is a successful call, `-` a failed one, `?` a neutral one, `.` ten seconds.
    fn after(calls: &str) -> (Breaker, Timestamp) {
        let mut breaker = Breaker::default();
        let mut now = Timestamp::UNIX_EPOCH;
        for call in calls.chars() {
            let signal = match call {
                '.' => {
                    now += SignedDuration::from_secs(10);
                    continue;
                }
                '+' => Signal::Success,
                '-' => Signal::Failure,
                _ => Signal::Neutral,
            };
            let is_probe = breaker.permits(now) == Permit::Probe;
            if is_probe {
                breaker.start_probe();
                assert_eq!(breaker.permits(now), Permit::Wait);
            }
            breaker.record(signal, is_probe, now);
        }
        (breaker, now)
    }

    #[track_caller]
    fn check(calls: &str, expected: &str) {
        let (breaker, now) = after(calls);
        let permit = match breaker.permits(now) {
            Permit::All => "all".to_owned(),
            Permit::Probe => "probe".to_owned(),
            Permit::Wait => "wait".to_owned(),
            Permit::After(end) => format!("{}", end.duration_since(now).as_secs()),
        };
        assert_eq!(permit, expected, "{calls}");
        // The stored breaker permits the same.
        let read: Breaker = serde_json::from_str(&serde_json::to_string(&breaker).unwrap()).unwrap();
        assert_eq!(read.permits(now), breaker.permits(now));
    }

    #[test]
    fn it_opens_when_half_of_at_least_ten_calls_failed() {
        check("", "all");
        check("---------", "all");
        check("----------", "60");
        check("?---------?", "all");
        check("+++++-----", "60");
        check("++++++-----", "all");
        check("++++++------", "60");
        check("+++++++++++----------", "all");
        check("+++++++++++-----------", "60");
        check("----------..", "40");
        // Calls that were in flight when it opened change nothing.
        check("----------++", "60");
        check("----------.--", "50");
    }

    #[test]
    fn a_success_never_opens_it() {
        check("-----++++", "all");
        check("------+++++", "all");
        check("------+++++-", "60");
    }

    #[test]
    fn it_counts_calls_of_five_minutes() {
        check("-----.....-----", "60");
        check(&format!("-----{}-----", ".".repeat(30)), "all");
        check(&format!("-----{}-----", ".".repeat(29)), "60");
        check(&format!("{}{}{}", "+".repeat(100), ".".repeat(30), "-".repeat(10)), "60");
        check(&format!("{}{}{}", "+".repeat(100), ".".repeat(20), "-".repeat(10)), "all");
    }

    #[test]
    fn it_probes_after_a_minute() {
        check("----------......", "probe");
        check("----------......+", "all");
        check("----------......+--------", "all");
        check("----------......-", "60");
        check("----------......-......", "probe");
        check("----------......-......+", "all");
        // A neutral probe, of an event that could not be mapped, leaves the breaker half open.
        check("----------......?", "probe");
    }
}
