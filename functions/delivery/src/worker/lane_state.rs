//! What is stored of a lane beside its queue.

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

/// The lane itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct LaneState {
    /// Who works on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) holder: Option<String>,
    /// Until when, if the lease is not renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<Timestamp>,
    /// Whether somebody left it without having written all down.
    #[serde(rename = "unsettled", skip_serializing_if = "kernel::door::is_default")]
    pub(super) needs_recovery: bool,
    /// The ring of whoever came by last while it was held. It is named, since who asks twice must know its own.
    #[serde(rename = "ring", skip_serializing_if = "Option::is_none")]
    pub(super) wakeup_by: Option<String>,
    /// Whether the holder is to hear of it still.
    #[serde(rename = "rung", skip_serializing_if = "kernel::door::is_default")]
    pub(super) wakeup_pending: bool,
    /// When the delayed message comes that was sent last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) wake_at: Option<Timestamp>,
    /// The destination as its calls saw it last: what was found out of it counts for no other.
    #[serde(rename = "seen", skip_serializing_if = "Option::is_none")]
    pub(super) observed: Option<DestinationVersion>,
    /// The breaker.
    pub(super) breaker: Breaker,
    /// Whether it rests, since the destination asked for time.
    #[serde(skip_serializing_if = "kernel::door::is_default")]
    pub(super) throttle: Throttle,
    /// What the destination refused in a row.
    #[serde(skip_serializing_if = "kernel::door::is_default")]
    pub(super) refusals: Refusals,
    /// Since when there was nothing but failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failing_since: Option<Timestamp>,
    /// The same, whatever was changed since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outage_since: Option<Timestamp>,
    /// When the last outage ended, while deliveries that failed before wait for their next try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) recovered_at: Option<Timestamp>,
    /// When the rate limit lets the next call through.
    #[serde(rename = "freeAt", skip_serializing_if = "Option::is_none")]
    pub(super) next_allowed_at: Option<Timestamp>,
    /// What was told of the destination since it was sent to last.
    #[serde(rename = "notice", skip_serializing_if = "Option::is_none")]
    pub(super) notified: Option<Notified>,
}

/// Which destination it was, and after which change: one of the same name may be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DestinationVersion {
    created_at: Timestamp,
    version: u64,
}

/// That a destination is not sent to any more, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Notified {
    pub(super) state: State,
    pub(super) reason: String,
}

impl LaneState {
    /// The lane as its item has it.
    pub(crate) fn read(item: Option<&Item>) -> Result<Self, Error> {
        read_versioned(item).map(|(_, lane)| lane)
    }

    /// The lane as it concerns this destination: what was found out of one that had its name before is not its own.
    pub(crate) fn for_destination(self, destination: &Destination) -> Self {
        let is_own = self.observed.is_none_or(|version| version.created_at == destination.created_at);
        if is_own { self } else { Self::default() }
    }

    /// Since when the breaker lets nothing through but a probe.
    pub(crate) fn open_since(&self) -> Option<Timestamp> {
        self.breaker.open_since()
    }

    /// Since when there was nothing but failure.
    pub(crate) fn failing_since(&self) -> Option<Timestamp> {
        self.failing_since
    }

    /// Until when the lane rests, since the destination asked for time.
    pub(crate) fn resting_until(&self) -> Option<Timestamp> {
        self.throttle.until()
    }

    /// What may be sent now.
    pub(super) fn permits(&self, now: Timestamp) -> Permit {
        let Self { breaker, throttle, refusals, .. } = self;
        breaker.permits(now).and(throttle.permits(now)).and(refusals.permits(now))
    }

    /// The one call is on its way that is to show how the destination is.
    pub(super) fn start_probe(&mut self) {
        self.breaker.start_probe();
        self.throttle.start_probe();
        self.refusals.start_probe();
    }

    /// Begins anew with a destination that is sent to and was changed, or made again, since calls saw it last: somebody
    /// has seen to it.
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
