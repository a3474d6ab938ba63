//! The lease on a lane: an item with its holder and its end. Every write is conditional on the version of the
//! item, so a lane has one holder.
//!
//! A worker that finds the lane held sets a flag. That changes the version, so the holder's release fails;
//! the holder clears the flag and reads the lane once more. A worker that sees a newer flag writes nothing.
//! When many workers start at once, each therefore writes once or twice.

use jiff::{SignedDuration, Timestamp};

use super::lane_state::{LaneState, read_versioned};
use crate::model::{self, LANE_SORT, TABLE};
use kernel::{
    error::Error,
    store::{Condition, Store, Written},
};

/// How long a lease lasts without a renewal.
pub(super) const LEASE_DURATION: SignedDuration = SignedDuration::from_secs(60);

/// How long before its end a lease must be renewed: a write takes a while, and clocks differ.
const CLOCK_SKEW_MARGIN: SignedDuration = SignedDuration::from_secs(20);

/// A lease of this worker.
#[derive(Debug)]
pub(super) struct Lease<S> {
    store: S,
    partition: String,
    holder: String,
    version: u64,
    /// The state of the lane, which the next write stores.
    pub(super) lane: LaneState,
    /// The end of the lease, as it was stored last.
    expires_at: Timestamp,
    /// Whether another worker has the lease now.
    is_lost: bool,
    /// Whether another worker set the flag since the last call of `take_flag`.
    was_flagged: bool,
}

/// The state of a lane whose lease another worker has.
#[derive(Debug)]
pub(super) struct HeldLane {
    pub(super) lane: LaneState,
    version: u64,
}

impl<S: Store> Lease<S> {
    /// Acquires the lease if no worker has it, if it has expired, or if it is the holder's own.
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

    /// Whether another worker set the flag since the last call; clears the answer.
    pub(super) fn take_flag(&mut self) -> bool {
        std::mem::take(&mut self.was_flagged)
    }

    /// Whether the lease must be renewed before any other write.
    pub(super) fn must_renew(&self, now: Timestamp) -> bool {
        now + CLOCK_SKEW_MARGIN >= self.expires_at
    }

    /// Whether another worker has the lease now: then this one must write nothing.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Extends the lease, and stores the state of the lane.
    pub(super) async fn renew(&mut self, now: Timestamp) -> Result<(), Error> {
        let expires_at = now + LEASE_DURATION;
        while !self.write(LaneState { expires_at: Some(expires_at), ..self.lane.clone() }).await? {}
        self.expires_at = expires_at;
        Ok(())
    }

    /// Releases the lease, unless another worker set the flag: then the lease is renewed, and the lane may
    /// have new rows.
    pub(super) async fn release_or_renew(&mut self, now: Timestamp) -> Result<bool, Error> {
        if self.try_release().await? {
            return Ok(true);
        }
        // Before the holder reads the lane once more: a worker that comes later must set the flag again.
        self.renew(now).await?;
        Ok(false)
    }

    /// Releases the lease, unless another worker set the flag since the last write. A second call releases it
    /// anyway; then some worker must read the lane afterwards.
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
                    return Err(Error::StorageUnavailable("another worker has the lease of the lane".into()));
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
    /// Stores the state for the holder. `false`: the lane changed meanwhile and must be read again.
    pub(super) async fn write(&mut self, store: &impl Store, partition: &str) -> Result<bool, Error> {
        let item = model::item(partition, LANE_SORT.to_owned(), self.version + 1, &self.lane)?;
        let written = store.put(TABLE, item, Condition::Version(self.version)).await?;
        self.version += 1;
        Ok(written == Written::Done)
    }
}
