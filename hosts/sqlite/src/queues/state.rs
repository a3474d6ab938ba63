//! How a queue stands, known without asking the file: how much it holds, which of its messages are being worked on, and
//! a bell for whoever waits for more.

use std::{
    collections::{HashMap, HashSet},
    iter::Sum,
    ops::{Add, Sub},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use tokio::sync::Notify;

/// Every queue that was named so far.
#[derive(Clone, Debug)]
pub(super) struct QueueStates(Arc<RwLock<HashMap<String, Arc<QueueState>>>>);

/// Some messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// How many messages.
    pub messages: u64,
    /// Of their bodies.
    pub bytes: u64,
}

/// One queue.
#[derive(Debug)]
pub(super) struct QueueState {
    /// What it holds, and what it takes.
    size: Mutex<(Size, Size)>,
    changes: Notify,
    in_flight: Mutex<HashSet<i64>>,
}

/// Places in a queue that are taken before its messages are on the disk; those that are not kept are given back.
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
    /// Queues that hold so much; any other holds nothing.
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

    /// Takes places for messages; `None`: there is no room for them.
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

    /// Takes places for messages, whatever the limit says.
    pub(super) fn add(self: Arc<Self>, more: Size) -> Reservation {
        let mut size = self.size();
        size.0 = size.0 + more;
        drop(size);
        Reservation { state: self, open: more }
    }

    /// So much is not in the queue any longer.
    pub(super) fn remove(&self, less: Size) {
        let mut size = self.size();
        size.0 = size.0 - less;
    }

    /// What is being worked on.
    pub(super) fn in_flight(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whoever waits that there may be something to do.
    pub(super) fn notify(&self) {
        self.changes.notify_one();
    }

    pub(super) async fn changed(&self) {
        self.changes.notified().await;
    }
}

impl Reservation {
    /// The messages are in the queue.
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
