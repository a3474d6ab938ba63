//! The breaker of a lane: when at least half of its calls fail, it rests, and then tries one.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Calls are counted over so many spans of so many seconds: five minutes.
const MAX_WINDOWS: i64 = 10;
const WINDOW_SECONDS: i64 = 30;
/// It opens when there were at least so many calls, and at least half of them failed.
const MIN_CALLS: u32 = 10;
/// For how long an open one lets nothing through.
const OPEN_DURATION: SignedDuration = SignedDuration::from_secs(60);

/// How the calls of a lane went lately.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Breaker {
    #[serde(rename = "spans", skip_serializing_if = "Vec::is_empty")]
    windows: Vec<Window>,
    #[serde(skip_serializing_if = "Option::is_none")]
    open_since: Option<Timestamp>,
    /// Whether the one call is on its way that is to show how the destination is.
    #[serde(skip)]
    is_probing: bool,
}

/// The calls that ended in one span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Window {
    /// Which one: the seconds since 1970 over [`WINDOW_SECONDS`].
    number: i64,
    failed: u32,
    all: u32,
}

/// What a breaker lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permit {
    /// Any call.
    All,
    /// One call, which shows how the destination is.
    Probe,
    /// None while the probe is on its way.
    Wait,
    /// None before this time.
    After(Timestamp),
}

impl Permit {
    /// What is let through where one lets this through and another that.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::After(one), Self::After(other)) => Self::After(one.max(other)),
            (after @ Self::After(_), _) | (_, after @ Self::After(_)) => after,
            (Self::Wait, _) | (_, Self::Wait) => Self::Wait,
            (Self::Probe, _) | (_, Self::Probe) => Self::Probe,
            (Self::All, Self::All) => Self::All,
        }
    }

    /// What is let through by something that is closed until a time, if it is, and then lets one call through that
    /// shows how the destination is.
    pub(super) fn until(end: Option<Timestamp>, is_probing: bool, now: Timestamp) -> Self {
        match end {
            None => Self::All,
            Some(end) if now < end => Self::After(end),
            Some(_) if is_probing => Self::Wait,
            Some(_) => Self::Probe,
        }
    }
}

/// What a call showed of its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// It works.
    Success,
    /// It answers, and does not want what it was sent: to the breaker it works.
    Refused,
    /// It does not.
    Failure,
    /// Nothing.
    Neutral,
}

impl Breaker {
    /// Since when it is open.
    pub(super) fn open_since(&self) -> Option<Timestamp> {
        self.open_since
    }

    /// What it lets through now.
    pub(super) fn permits(&self, now: Timestamp) -> Permit {
        Permit::until(self.open_since.map(|since| since + OPEN_DURATION), self.is_probing, now)
    }

    /// The probe is on its way.
    pub(super) fn start_probe(&mut self) {
        self.is_probing = self.open_since.is_some();
    }

    /// A call ended; gives whether it opened the breaker. What was on its way when it opened shows nothing new.
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

    /// `+` is a call that went well, `-` one that failed, `.` ten seconds.
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
        // It is the same when it was written down and read.
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
        // What was on its way when it opened changes nothing.
        check("----------++", "60");
        check("----------.--", "50");
    }

    #[test]
    fn no_success_opens_it() {
        check("-----++++", "all");
        check("------+++++", "all");
        check("------+++++-", "60");
    }

    #[test]
    fn it_looks_back_five_minutes() {
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
        // A probe that shows nothing, an event that could not be mapped, leaves the question open.
        check("----------......?", "probe");
    }
}
