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
pub(super) struct Standings(Arc<RwLock<HashMap<String, Arc<Standing>>>>);

/// Some messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// How many messages.
    pub messages: u64,
    /// Of their bodies.
    pub bytes: u64,
}

/// One queue.
#[derive(Debug)]
pub(super) struct Standing {
    /// What it holds, and what it takes.
    load: Mutex<(Load, Load)>,
    bell: Notify,
    in_flight: Mutex<HashSet<i64>>,
}

/// Places in a queue that are taken before its messages are on the disk; those that are not kept are given back.
pub(super) struct Reserved {
    standing: Arc<Standing>,
    open: Load,
}

impl Load {
    const ALL: Self = Self { messages: u64::MAX, bytes: u64::MAX };

    /// One message with a body of so many bytes.
    pub(super) fn one(bytes: usize) -> Self {
        Self { messages: 1, bytes: bytes as u64 }
    }

    fn is_within(self, limit: Self) -> bool {
        self.messages <= limit.messages && self.bytes <= limit.bytes
    }
}

impl Add for Load {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_add(other.messages),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

impl Sub for Load {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_sub(other.messages),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

impl Sum for Load {
    fn sum<I: Iterator<Item = Self>>(loads: I) -> Self {
        loads.fold(Self::default(), Add::add)
    }
}

impl Standings {
    /// Queues that hold so much; any other holds nothing.
    pub(super) fn new(loads: Vec<(String, Load)>) -> Self {
        let standing = |(name, load)| (name, Arc::new(Standing::new(load)));
        Self(Arc::new(RwLock::new(loads.into_iter().map(standing).collect())))
    }

    pub(super) fn of(&self, queue: &str) -> Arc<Standing> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(queue).cloned();
        known.unwrap_or_else(|| {
            let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(
                all.entry(queue.to_owned()).or_insert_with(|| Arc::new(Standing::new(Load::default()))),
            )
        })
    }
}

impl Standing {
    fn new(load: Load) -> Self {
        Self { load: Mutex::new((load, Load::ALL)), bell: Notify::new(), in_flight: Mutex::default() }
    }

    fn load(&self) -> MutexGuard<'_, (Load, Load)> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn limit(&self, limit: Load) {
        self.load().1 = limit;
    }

    /// Takes places for messages; `None`: there is no room for them.
    pub(super) fn reserve(self: Arc<Self>, more: Load) -> Option<Reserved> {
        let mut load = self.load();
        let (holds, takes) = *load;
        if !(holds + more).is_within(takes) {
            return None;
        }
        load.0 = holds + more;
        drop(load);
        Some(Reserved { standing: self, open: more })
    }

    /// Takes places for messages, whatever the limit says.
    pub(super) fn add(self: Arc<Self>, more: Load) -> Reserved {
        let mut load = self.load();
        load.0 = load.0 + more;
        drop(load);
        Reserved { standing: self, open: more }
    }

    /// So much is not in the queue any longer.
    pub(super) fn remove(&self, less: Load) {
        let mut load = self.load();
        load.0 = load.0 - less;
    }

    /// What is being worked on.
    pub(super) fn in_flight(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whoever waits that there may be something to do.
    pub(super) fn ring(&self) {
        self.bell.notify_one();
    }

    pub(super) async fn changed(&self) {
        self.bell.notified().await;
    }
}

impl Reserved {
    /// The messages are in the queue.
    pub(super) fn keep(mut self) {
        self.open = Load::default();
        self.standing.ring();
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.standing.remove(self.open);
    }
}
