//! The lanes that this process is at. Whoever comes to one of them rings, and goes: who is there looks again before
//! it leaves.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures::FutureExt;
use tokio::sync::Notify;

use crate::model::Wakeup;
use kernel::{batch::Name, destination_name::DestinationName};

type Lanes = HashMap<(Name, DestinationName), Arc<Notify>>;

/// Which lanes are being worked on, each with its bell.
#[derive(Clone, Debug, Default)]
pub(super) struct LocalLocks(Arc<Mutex<Lanes>>);

/// A place at a lane; left when it is dropped.
#[derive(Debug)]
pub(super) struct LocalLock {
    lanes: LocalLocks,
    lane: (Name, DestinationName),
    bell: Arc<Notify>,
}

impl LocalLocks {
    /// A place at a lane; `None`: it is taken, and whoever is there was told.
    pub(super) fn enter(&self, wake: &Wakeup) -> Option<LocalLock> {
        let lane = (wake.tenant.clone(), wake.destination.clone());
        let mut lanes = self.lock();
        if let Some(bell) = lanes.get(&lane) {
            bell.notify_one();
            return None;
        }
        let bell = Arc::<Notify>::default();
        lanes.insert(lane.clone(), Arc::clone(&bell));
        Some(LocalLock { lanes: self.clone(), lane, bell })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Lanes> {
        // Nothing that holds the lock panics between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LocalLock {
    /// What is rung when there may be something new.
    pub(super) fn bell(&self) -> &Notify {
        &self.bell
    }

    /// Leaves, unless somebody has rung meanwhile: then the place is kept.
    pub(super) fn leave(self) -> Option<Self> {
        let lanes = self.lanes.clone();
        let mut lanes = lanes.lock();
        if self.bell.notified().now_or_never().is_some() {
            return Some(self);
        }
        lanes.remove(&self.lane);
        drop(lanes);
        None
    }
}

impl Drop for LocalLock {
    fn drop(&mut self) {
        let mut lanes = self.lanes.lock();
        // Somebody else may be there by now.
        if lanes.get(&self.lane).is_some_and(|bell| Arc::ptr_eq(bell, &self.bell)) {
            lanes.remove(&self.lane);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_at_a_lane_and_hears_of_the_others() {
        let wake = Wakeup { tenant: Name::default_tenant(), destination: "A".parse().unwrap() };
        let other = Wakeup { destination: "B".parse().unwrap(), ..wake.clone() };
        let lanes = LocalLocks::default();
        let place = lanes.enter(&wake).unwrap();
        assert!(lanes.enter(&other).is_some());
        assert!(lanes.enter(&wake).is_none());
        let place = place.leave().expect("somebody rang");
        assert!(place.leave().is_none());
        drop(lanes.enter(&wake).expect("it is free"));
        assert!(lanes.enter(&wake).is_some());
    }
}
