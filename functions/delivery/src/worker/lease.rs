//! The lease on a lane: an item that names who works on it and until when. Every change of it is conditional on its
//! version, so there is one holder. Whoever finds it held rings, which changes the version: the holder, when it wants to
//! let go, sees that, writes that it was heard, and looks again. Who finds that another has rung since has nothing to
//! write, so that a crowd that comes at once is through after a write or two of each.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    breaker::{Breaker, Permit},
    refusals::Refusals,
    throttle::Throttle,
};
use crate::model::{self, LANE_SORT, TABLE};
use destinations::destination::{Destination, State, Stored};
use kernel::{
    error::Error,
    store::{Condition, Item, Store, Written},
};

/// How long a lease lasts that is not renewed.
pub(super) const LEASE_DURATION: SignedDuration = SignedDuration::from_secs(60);

/// So long before its end a lease is held no more: what is begun takes a while, and clocks differ.
const CLOCK_SKEW_MARGIN: SignedDuration = SignedDuration::from_secs(20);

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
        read(item).map(|(_, lane)| lane)
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

    fn is_held_by_another(&self, holder: &str, now: Timestamp) -> bool {
        let other = self.holder.as_deref().is_some_and(|other| other != holder);
        other && self.expires_at.is_some_and(|expires| now < expires)
    }
}

/// A lease that is held.
#[derive(Debug)]
pub(super) struct Lease<S> {
    store: S,
    partition: String,
    holder: String,
    version: u64,
    /// The lane, as it is written with the next renewal.
    pub(super) lane: LaneState,
    /// When it ends, as it was written last.
    expires_at: Timestamp,
    /// Whether another has it.
    is_lost: bool,
    /// Whether somebody came by since this was last asked.
    was_flagged: bool,
}

/// A lane that another holds.
#[derive(Debug)]
pub(super) struct HeldLane {
    pub(super) lane: LaneState,
    version: u64,
}

impl<S: Store> Lease<S> {
    /// Takes the lease, if it is free, over, or the holder's own.
    pub(super) async fn acquire(
        store: &S,
        partition: &str,
        holder: &str,
        now: Timestamp,
    ) -> Result<Result<Self, HeldLane>, Error> {
        let mut found = store.get(TABLE, partition, LANE_SORT).await?;
        loop {
            let (version, mut lane) = read(found.as_ref())?;
            if lane.is_held_by_another(holder, now) {
                return Ok(Err(HeldLane { lane, version }));
            }
            lane.needs_recovery |= lane.holder.is_some();
            lane.wakeup_pending = false;
            lane.holder = Some(holder.to_owned());
            lane.expires_at = Some(now + LEASE_DURATION);
            let condition = found.map_or(Condition::Absent, |item| Condition::Version(item.version));
            let item = model::item(partition, LANE_SORT.to_owned(), version + 1, &lane)?;
            match store.put(TABLE, item, condition).await? {
                Written::Done => {
                    let (store, partition) = (store.clone(), partition.to_owned());
                    let holder = holder.to_owned();
                    return Ok(Ok(Self {
                        store,
                        partition,
                        holder,
                        version: version + 1,
                        lane,
                        expires_at: now + LEASE_DURATION,
                        is_lost: false,
                        was_flagged: false,
                    }));
                }
                Written::Conflict(other) => found = other,
            }
        }
    }

    /// Whether somebody came by since this was last asked.
    pub(super) fn take_flag(&mut self) -> bool {
        std::mem::take(&mut self.was_flagged)
    }

    /// Whether it is to be renewed before anything else is done by it.
    pub(super) fn must_renew(&self, now: Timestamp) -> bool {
        now + CLOCK_SKEW_MARGIN >= self.expires_at
    }

    /// Whether another has it: then nothing may be written.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Holds it for longer, and writes the lane down.
    pub(super) async fn renew(&mut self, now: Timestamp) -> Result<(), Error> {
        let expires_at = now + LEASE_DURATION;
        while !self.write(LaneState { expires_at: Some(expires_at), ..self.lane.clone() }).await? {}
        self.expires_at = expires_at;
        Ok(())
    }

    /// Lets it go, unless somebody came by: then it is kept, and there may be something new.
    pub(super) async fn release_or_renew(&mut self, now: Timestamp) -> Result<bool, Error> {
        if self.try_release().await? {
            return Ok(true);
        }
        // Before the look that is to find what they came for: whoever comes after this rings again.
        self.renew(now).await?;
        Ok(false)
    }

    /// Lets it go, unless somebody came by since it was written last; once more, and it is let go all the same. Somebody
    /// is to look at the lane after that.
    pub(super) async fn try_release(&mut self) -> Result<bool, Error> {
        let released = LaneState { holder: None, expires_at: None, ..self.lane.clone() };
        self.write(released).await
    }

    async fn write(&mut self, lane: LaneState) -> Result<bool, Error> {
        let item = model::item(&self.partition, LANE_SORT.to_owned(), self.version + 1, &lane)?;
        match self.store.put(TABLE, item, Condition::Version(self.version)).await? {
            Written::Done => {
                self.version += 1;
                Ok(true)
            }
            Written::Conflict(other) => {
                let (version, other) = read(other.as_ref())?;
                if other.holder.as_ref() != Some(&self.holder) {
                    self.is_lost = true;
                    return Err(Error::StorageUnavailable("another has taken the lane".into()));
                }
                self.version = version;
                (self.lane.wake_at, self.lane.wakeup_by) = (other.wake_at, other.wakeup_by);
                self.was_flagged = true;
                Ok(false)
            }
        }
    }
}

impl HeldLane {
    /// Writes the lane down, for its holder to see. `false`: it changed meanwhile, so look again.
    pub(super) async fn write(&mut self, store: &impl Store, partition: &str) -> Result<bool, Error> {
        let item = model::item(partition, LANE_SORT.to_owned(), self.version + 1, &self.lane)?;
        let written = store.put(TABLE, item, Condition::Version(self.version)).await?;
        self.version += 1;
        Ok(written == Written::Done)
    }
}

fn read(item: Option<&Item>) -> Result<(u64, LaneState), Error> {
    match item {
        None => Ok((0, LaneState::default())),
        Some(item) => Ok((item.version, model::body(item)?)),
    }
}
