//! The lease on a lane: an item that names who works on it and until when. Every change of it is conditional on its
//! version, so there is one holder. Whoever finds it held rings, which changes the version: the holder, when it wants to
//! let go, sees that, writes that it was heard, and looks again. Who finds that another has rung since has nothing to
//! write, so that a crowd that comes at once is through after a write or two of each.

use jiff::{SignedDuration, Timestamp};

use super::lane_state::{LaneState, read_versioned};
use crate::model::{self, LANE_SORT, TABLE};
use kernel::{
    error::Error,
    store::{Condition, Store, Written},
};

/// How long a lease lasts that is not renewed.
pub(super) const LEASE_DURATION: SignedDuration = SignedDuration::from_secs(60);

/// So long before its end a lease is held no more: what is begun takes a while, and clocks differ.
const CLOCK_SKEW_MARGIN: SignedDuration = SignedDuration::from_secs(20);

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
            let (version, mut lane) = read_versioned(found.as_ref())?;
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
                let (version, other) = read_versioned(other.as_ref())?;
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
