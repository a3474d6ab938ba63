//! The rest of a lane whose destination asked for time (429): nothing goes until it is over, and then one call, which
//! shows whether more may follow.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::breaker::{Permit, Signal};

/// Whether a lane rests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Throttle {
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    /// How many rests there were since a call went well.
    #[serde(rename = "inRow")]
    consecutive: u32,
    /// Whether the one call is on its way that is to show how the destination is.
    #[serde(skip)]
    is_probing: bool,
}

impl Throttle {
    /// Until when the lane rests.
    pub(super) fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// How many rests there were in a row before one that is asked for now. Calls that were on their way together ask for
    /// one rest.
    pub(super) fn consecutive_before(&self, is_probe: bool) -> u32 {
        let is_new = self.until.is_none() || is_probe;
        if is_new { self.consecutive } else { self.consecutive.saturating_sub(1) }
    }

    /// What it lets through now.
    pub(super) fn permits(&self, now: Timestamp) -> Permit {
        Permit::until(self.until, self.is_probing, now)
    }

    /// The probe is on its way.
    pub(super) fn start_probe(&mut self) {
        self.is_probing = self.until.is_some();
    }

    /// The destination asked for time until then.
    pub(super) fn rest_until(&mut self, until: Timestamp, is_probe: bool) {
        self.consecutive = self.consecutive_before(is_probe) + 1;
        self.until = self.until.filter(|_| !is_probe).max(Some(until));
        self.is_probing &= !is_probe;
    }

    /// A call ended, and the destination did not ask for time. What was on its way when the rest began shows nothing.
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
    fn a_rest_ends_with_one_call_that_shows_the_way() {
        let mut throttle = Throttle::default();
        assert_eq!(throttle.permits(at(0)), Permit::All);
        throttle.rest_until(at(5), false);
        throttle.rest_until(at(4), false);
        assert_eq!((throttle.permits(at(4)), throttle.consecutive), (Permit::After(at(5)), 1));
        // It was on its way before.
        throttle.record(Signal::Success, false);
        assert_eq!(throttle.permits(at(5)), Permit::Probe);
        throttle.start_probe();
        assert_eq!(throttle.permits(at(5)), Permit::Wait);
        throttle.rest_until(at(9), true);
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
