//! Refusals in a row. A destination that refuses everything is paused, so its events wait instead of failing.
//! A destination that refuses some events and accepts others is healthy.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::breaker::{Permit, Signal};

/// A destination refuses everything if it refused this many deliveries, and accepted none,
const MIN_REFUSED: usize = 10;
/// for this time: during a deployment a destination may answer 404 for some seconds.
const MIN_REFUSING_DURATION: SignedDuration = SignedDuration::from_secs(30);
/// The delay between calls meanwhile, so that few events fail.
const PROBE_INTERVAL: SignedDuration = SignedDuration::from_secs(3);

/// The refusals since the last other response.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Refusals {
    /// When the first one arrived.
    #[serde(rename = "since", skip_serializing_if = "Option::is_none")]
    refused_since: Option<Timestamp>,
    /// The sequences of the first [`MIN_REFUSED`] refused deliveries.
    #[serde(rename = "deliveries", skip_serializing_if = "Vec::is_empty")]
    sequences: Vec<String>,
    /// When the next call is permitted, after [`MIN_REFUSED`] refusals.
    #[serde(rename = "until", skip_serializing_if = "Option::is_none")]
    blocked_until: Option<Timestamp>,
    /// Whether the probe is in flight.
    #[serde(skip)]
    is_probing: bool,
}

impl Refusals {
    /// The calls that are permitted now.
    pub(super) fn permits(&self, now: Timestamp) -> Permit {
        Permit::until(self.blocked_until, self.is_probing, now)
    }

    /// The probe is in flight.
    pub(super) fn start_probe(&mut self) {
        self.is_probing = self.blocked_until.is_some();
    }

    /// Records a call; returns whether the destination refuses everything.
    pub(super) fn record(&mut self, signal: Signal, sequence: &str, is_probe: bool, now: Timestamp) -> bool {
        if is_probe {
            self.is_probing = false;
        }
        match signal {
            Signal::Neutral => return false,
            Signal::Success | Signal::Failure => {
                *self = Self::default();
                return false;
            }
            Signal::Refused => {}
        }
        let refused_since = *self.refused_since.get_or_insert(now);
        if self.sequences.len() < MIN_REFUSED && !self.sequences.iter().any(|known| known == sequence) {
            self.sequences.push(sequence.to_owned());
        }
        if self.sequences.len() < MIN_REFUSED {
            return false;
        }
        if is_probe || self.blocked_until.is_none() {
            self.blocked_until = Some(now + PROBE_INTERVAL);
        }
        now.duration_since(refused_since) >= MIN_REFUSING_DURATION
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A letter is a refused delivery, `+` an accepted one, `!` a call without a response, `?` a call without
    /// a meaning, `.` a second.
    fn after(calls: &str) -> (Refusals, bool, Timestamp) {
        let mut refusals = Refusals::default();
        let (mut now, mut is_paused) = (Timestamp::UNIX_EPOCH, false);
        for call in calls.chars() {
            let signal = match call {
                '.' => {
                    now += SignedDuration::from_secs(1);
                    continue;
                }
                '+' => Signal::Success,
                '!' => Signal::Failure,
                '?' => Signal::Neutral,
                _ => Signal::Refused,
            };
            let is_probe = refusals.permits(now) == Permit::Probe;
            if is_probe {
                refusals.start_probe();
                assert_eq!(refusals.permits(now), Permit::Wait);
            }
            is_paused |= refusals.record(signal, &call.to_string(), is_probe, now);
        }
        (refusals, is_paused, now)
    }

    #[track_caller]
    fn check(calls: &str, expected: &str) {
        let (refusals, is_paused, now) = after(calls);
        let found = match refusals.permits(now) {
            _ if is_paused => "pause".to_owned(),
            Permit::After(end) => format!("{}", end.duration_since(now).as_secs()),
            permit => format!("{permit:?}"),
        };
        assert_eq!(found, expected, "{calls}");
        let read: Refusals = serde_json::from_str(&serde_json::to_string(&refusals).unwrap()).unwrap();
        assert_eq!(read.permits(now), refusals.permits(now));
    }

    const SECONDS: &str = "..............................";

    #[test]
    fn ten_refused_deliveries_in_30_seconds_pause() {
        check("abcdefghi", "All");
        check("abcdefghij", "3");
        check("abcdefghij...", "Probe");
        check("abcdefghij...k", "3");
        check(&format!("abcdefghij{SECONDS}k"), "pause");
        check(&format!("a{SECONDS}bcdefghij"), "pause");
        check(&format!("abcdefghij...?{SECONDS}"), "Probe");
    }

    #[test]
    fn an_accepted_delivery_resets_refusals() {
        check(&format!("abcdefghi+{SECONDS}jklmnopqr"), "All");
        check("abcdefghij...+", "All");
        check(&format!("abcdefghij...+{SECONDS}k"), "All");
        check(&format!("abcdefghi!{SECONDS}jklmnopqr"), "All");
    }

    #[test]
    fn one_delivery_alone_never_pauses_a_destination() {
        check(&format!("a{SECONDS}").repeat(30), "All");
        check(&format!("abc{SECONDS}").repeat(30), "All");
    }
}
