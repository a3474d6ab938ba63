//! The state of a queue in memory, so that no read of the file is needed: its size, its messages in flight, and a
//! notification of changes.

use std::{
    collections::{HashMap, HashSet},
    iter::Sum,
    ops::{Add, Sub},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use tokio::sync::Notify;

/// The states of the queues that were named so far.
#[derive(Clone, Debug)]
pub(super) struct QueueStates(Arc<RwLock<HashMap<String, Arc<QueueState>>>>);

/// The size of some messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// How many messages.
    pub messages: u64,
    /// The bytes of their bodies.
    pub bytes: u64,
}

/// The state of one queue.
#[derive(Debug)]
pub(super) struct QueueState {
    /// The size of the queue, and its limit.
    size: Mutex<(Size, Size)>,
    changes: Notify,
    in_flight: Mutex<HashSet<i64>>,
}

/// Space in a queue that is reserved before the messages are on the disk. Drop releases the space unless the
/// reservation is committed.
pub(super) struct Reservation {
    state: Arc<QueueState>,
    open: Size,
}

impl Size {
    const ALL: Self = Self { messages: u64::MAX, bytes: u64::MAX };

    /// One message with a body of so many bytes.
    pub(super) fn one(bytes: usize) -> Self {
        Self { messages: 1, bytes: bytes as u64 }
    }

    fn is_within(self, limit: Self) -> bool {
        self.messages <= limit.messages && self.bytes <= limit.bytes
    }
}

impl Add for Size {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_add(other.messages),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

impl Sub for Size {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_sub(other.messages),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

impl Sum for Size {
    fn sum<I: Iterator<Item = Self>>(sizes: I) -> Self {
        sizes.fold(Self::default(), Add::add)
    }
}

impl QueueStates {
    /// The states of queues of these sizes; any other queue is empty.
    pub(super) fn new(sizes: Vec<(String, Size)>) -> Self {
        let state = |(name, size)| (name, Arc::new(QueueState::new(size)));
        Self(Arc::new(RwLock::new(sizes.into_iter().map(state).collect())))
    }

    pub(super) fn of(&self, queue: &str) -> Arc<QueueState> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(queue).cloned();
        known.unwrap_or_else(|| {
            let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(
                all.entry(queue.to_owned()).or_insert_with(|| Arc::new(QueueState::new(Size::default()))),
            )
        })
    }
}

impl QueueState {
    fn new(size: Size) -> Self {
        Self { size: Mutex::new((size, Size::ALL)), changes: Notify::new(), in_flight: Mutex::default() }
    }

    fn size(&self) -> MutexGuard<'_, (Size, Size)> {
        self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn limit(&self, limit: Size) {
        self.size().1 = limit;
    }

    /// Reserves space for messages; `None`: the limit does not allow it.
    pub(super) fn reserve(self: Arc<Self>, more: Size) -> Option<Reservation> {
        let mut size = self.size();
        let (holds, takes) = *size;
        if !(holds + more).is_within(takes) {
            return None;
        }
        size.0 = holds + more;
        drop(size);
        Some(Reservation { state: self, open: more })
    }

    /// Reserves space for messages without regard to the limit.
    pub(super) fn add(self: Arc<Self>, more: Size) -> Reservation {
        let mut size = self.size();
        size.0 = size.0 + more;
        drop(size);
        Reservation { state: self, open: more }
    }

    /// Messages of this size have been deleted.
    pub(super) fn remove(&self, less: Size) {
        let mut size = self.size();
        size.0 = size.0 - less;
    }

    /// The sequence numbers of the messages in flight.
    pub(super) fn in_flight(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the poller of the queue.
    pub(super) fn notify(&self) {
        self.changes.notify_one();
    }

    pub(super) async fn changed(&self) {
        self.changes.notified().await;
    }
}

impl Reservation {
    /// Commits the reservation: the messages are on the disk.
    pub(super) fn keep(mut self) {
        self.open = Size::default();
        self.state.notify();
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.state.remove(self.open);
    }
}
