//! The state of a lane: the item that is stored beside its queue rows.
//!
//! The JSON names are older than the names of the fields, and must stay.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    breaker::{Breaker, Permit},
    refusals::Refusals,
    throttle::Throttle,
};
use crate::model;
use destinations::destination::{Destination, State, Stored};
use kernel::{error::Error, store::Item};

/// The state of a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct LaneState {
    /// The holder of the lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) holder: Option<String>,
    /// When the lease ends, unless it is renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<Timestamp>,
    /// Whether an earlier holder ended without storing all dispositions.
    #[serde(rename = "unsettled", skip_serializing_if = "kernel::json::is_default")]
    pub(super) needs_recovery: bool,
    /// The last worker that set the flag. It has a name because a worker that reads the item twice must
    /// recognize its own flag.
    #[serde(rename = "ring", skip_serializing_if = "Option::is_none")]
    pub(super) wakeup_by: Option<String>,
    /// The flag: the holder must read the lane once more before it releases the lease.
    #[serde(rename = "rung", skip_serializing_if = "kernel::json::is_default")]
    pub(super) wakeup_pending: bool,
    /// When the last delayed wake-up arrives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) wake_at: Option<Timestamp>,
    /// The version of the destination at its last calls. What they showed is true only of that version.
    #[serde(rename = "seen", skip_serializing_if = "Option::is_none")]
    pub(super) observed: Option<DestinationVersion>,
    /// The circuit breaker.
    pub(super) breaker: Breaker,
    /// The back-off after the destination asked for time (429).
    #[serde(skip_serializing_if = "kernel::json::is_default")]
    pub(super) throttle: Throttle,
    /// Refusals in a row.
    #[serde(skip_serializing_if = "kernel::json::is_default")]
    pub(super) refusals: Refusals,
    /// Since when all calls have failed, reset by a change of the destination.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failing_since: Option<Timestamp>,
    /// Since when all calls have failed, whatever was changed since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outage_since: Option<Timestamp>,
    /// When the last outage ended, while deliveries that failed before it wait for their next attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) recovered_at: Option<Timestamp>,
    /// When the rate limit permits the next call.
    #[serde(rename = "freeAt", skip_serializing_if = "Option::is_none")]
    pub(super) next_allowed_at: Option<Timestamp>,
    /// The last notification about the destination, until it is sent to again.
    #[serde(rename = "notice", skip_serializing_if = "Option::is_none")]
    pub(super) notified: Option<Notified>,
}

/// A destination and its version. Another destination may be created under the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DestinationVersion {
    created_at: Timestamp,
    version: u64,
}

/// A notification that crmflow no longer sends to the destination, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Notified {
    pub(super) state: State,
    pub(super) reason: String,
}

impl LaneState {
    /// The state in the lane's item.
    pub(crate) fn read(item: Option<&Item>) -> Result<Self, Error> {
        read_versioned(item).map(|(_, lane)| lane)
    }

    /// The state for this destination: what an earlier destination of the same name left is not returned.
    pub(crate) fn for_destination(self, destination: &Destination) -> Self {
        let is_own = self.observed.is_none_or(|version| version.created_at == destination.created_at);
        if is_own { self } else { Self::default() }
    }

    /// Since when the circuit breaker is open.
    pub(crate) fn open_since(&self) -> Option<Timestamp> {
        self.breaker.open_since()
    }

    /// Since when all calls have failed.
    pub(crate) fn failing_since(&self) -> Option<Timestamp> {
        self.failing_since
    }

    /// Until when the lane backs off because the destination asked for time.
    pub(crate) fn backoff_until(&self) -> Option<Timestamp> {
        self.throttle.until()
    }

    /// The calls that are permitted now.
    pub(super) fn permits(&self, now: Timestamp) -> Permit {
        let Self { breaker, throttle, refusals, .. } = self;
        breaker.permits(now).and(throttle.permits(now)).and(refusals.permits(now))
    }

    /// The call in flight is the probe.
    pub(super) fn start_probe(&mut self) {
        self.breaker.start_probe();
        self.throttle.start_probe();
        self.refusals.start_probe();
    }

    /// Resets the state for a destination that was changed or recreated since its last calls. Such a change
    /// may have solved the problem.
    pub(super) fn observe(&mut self, stored: &Stored) {
        self.notified = None;
        let version =
            DestinationVersion { created_at: stored.destination.created_at, version: stored.version };
        let before = self.observed.replace(version);
        if before == Some(version) {
            return;
        }
        (self.breaker, self.throttle, self.refusals) = Default::default();
        self.failing_since = None;
        if before.is_some_and(|before| before.created_at != version.created_at) {
            (self.outage_since, self.recovered_at) = (None, None);
        }
    }

    pub(super) fn is_held_by_another(&self, holder: &str, now: Timestamp) -> bool {
        let other = self.holder.as_deref().is_some_and(|other| other != holder);
        other && self.expires_at.is_some_and(|expires| now < expires)
    }
}

/// The state and the version of its item.
pub(super) fn read_versioned(item: Option<&Item>) -> Result<(u64, LaneState), Error> {
    match item {
        None => Ok((0, LaneState::default())),
        Some(item) => Ok((item.version, model::body(item)?)),
    }
}
