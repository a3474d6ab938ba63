//! One worker for each lane inside one process. A second worker only notifies the first one, which reads the
//! lane once more before it releases the lock.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures::FutureExt;
use tokio::sync::Notify;

use crate::model::Wakeup;
use kernel::{batch::Name, destination_name::DestinationName};

type Lanes = HashMap<(Name, DestinationName), Arc<Notify>>;

/// The locked lanes of this process, each with its notification.
#[derive(Clone, Debug, Default)]
pub(super) struct LocalLocks(Arc<Mutex<Lanes>>);

/// The lock of one lane; dropping it releases it.
#[derive(Debug)]
pub(super) struct LocalLock {
    locks: LocalLocks,
    lane: (Name, DestinationName),
    notify: Arc<Notify>,
}

impl LocalLocks {
    /// Locks a lane; `None`: another worker has the lock, and was notified.
    pub(super) fn try_acquire(&self, wakeup: &Wakeup) -> Option<LocalLock> {
        let lane = (wakeup.tenant.clone(), wakeup.destination.clone());
        let mut lanes = self.lock();
        if let Some(notify) = lanes.get(&lane) {
            notify.notify_one();
            return None;
        }
        let notify = Arc::<Notify>::default();
        lanes.insert(lane.clone(), Arc::clone(&notify));
        Some(LocalLock { locks: self.clone(), lane, notify })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Lanes> {
        // No holder of the mutex panics between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LocalLock {
    /// Notified when the lane may have new rows.
    pub(super) fn notify(&self) -> &Notify {
        &self.notify
    }

    /// Releases the lock, unless it was notified meanwhile: then the lock is returned.
    pub(super) fn release_unless_notified(self) -> Option<Self> {
        let locks = self.locks.clone();
        let mut lanes = locks.lock();
        if self.notify.notified().now_or_never().is_some() {
            return Some(self);
        }
        lanes.remove(&self.lane);
        drop(lanes);
        None
    }
}

impl Drop for LocalLock {
    fn drop(&mut self) {
        let mut lanes = self.locks.lock();
        // Another worker may have locked the lane by now.
        if lanes.get(&self.lane).is_some_and(|notify| Arc::ptr_eq(notify, &self.notify)) {
            lanes.remove(&self.lane);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_worker_only_notifies_the_first() {
        let wakeup = Wakeup { tenant: Name::default_tenant(), destination: "A".parse().unwrap() };
        let other = Wakeup { destination: "B".parse().unwrap(), ..wakeup.clone() };
        let lanes = LocalLocks::default();
        let local_lock = lanes.try_acquire(&wakeup).unwrap();
        assert!(lanes.try_acquire(&other).is_some());
        assert!(lanes.try_acquire(&wakeup).is_none());
        let local_lock = local_lock.release_unless_notified().expect("somebody rang");
        assert!(local_lock.release_unless_notified().is_none());
        drop(lanes.try_acquire(&wakeup).expect("it is free"));
        assert!(lanes.try_acquire(&wakeup).is_some());
    }
}
