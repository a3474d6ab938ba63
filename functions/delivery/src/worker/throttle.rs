//! The back-off of a lane whose destination asked for time (429). No call is made during the back-off. Then one
//! probe shows whether more may follow.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::breaker::{Permit, Signal};

/// The back-off of a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Throttle {
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    /// The number of back-offs since the last call without one.
    #[serde(rename = "inRow")]
    consecutive: u32,
    /// Whether the probe is in flight.
    #[serde(skip)]
    is_probing: bool,
}

impl Throttle {
    /// The end of the back-off.
    pub(super) fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// The number of earlier back-offs in a row, for one that begins now. Calls that were in flight together
    /// ask for one back-off.
    pub(super) fn consecutive_before(&self, is_probe: bool) -> u32 {
        let is_new = self.until.is_none() || is_probe;
        if is_new { self.consecutive } else { self.consecutive.saturating_sub(1) }
    }

    /// The calls that are permitted now.
    pub(super) fn permits(&self, now: Timestamp) -> Permit {
        Permit::until(self.until, self.is_probing, now)
    }

    /// The probe is in flight.
    pub(super) fn start_probe(&mut self) {
        self.is_probing = self.until.is_some();
    }

    /// The destination asked for time.
    pub(super) fn back_off(&mut self, until: Timestamp, is_probe: bool) {
        self.consecutive = self.consecutive_before(is_probe) + 1;
        self.until = self.until.filter(|_| !is_probe).max(Some(until));
        self.is_probing &= !is_probe;
    }

    /// Records a call after which the destination did not ask for time. Calls that were in flight when the
    /// back-off began change nothing.
    pub(super) fn record(&mut self, signal: Signal, is_probe: bool) {
        if is_probe {
            self.is_probing = false;
        }
        if signal != Signal::Neutral && (is_probe || self.until.is_none()) {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    #[test]
    fn a_backoff_ends_with_a_probe() {
        let mut throttle = Throttle::default();
        assert_eq!(throttle.permits(at(0)), Permit::All);
        throttle.back_off(at(5), false);
        throttle.back_off(at(4), false);
        assert_eq!((throttle.permits(at(4)), throttle.consecutive), (Permit::After(at(5)), 1));
        // It was in flight when the back-off began.
        throttle.record(Signal::Success, false);
        assert_eq!(throttle.permits(at(5)), Permit::Probe);
        throttle.start_probe();
        assert_eq!(throttle.permits(at(5)), Permit::Wait);
        throttle.back_off(at(9), true);
        assert_eq!((throttle.permits(at(8)), throttle.consecutive), (Permit::After(at(9)), 2));
        let read: Throttle = serde_json::from_str(&serde_json::to_string(&throttle).unwrap()).unwrap();
        assert_eq!(read, throttle);
        throttle.start_probe();
        throttle.record(Signal::Neutral, true);
        assert_eq!(throttle.permits(at(9)), Permit::Probe);
        throttle.record(Signal::Success, true);
        assert_eq!(throttle, Throttle::default());
    }
}
