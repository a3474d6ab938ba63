//! How a queue stands, known without asking the file: how many messages it holds, which of them are being worked on,
//! and a bell for whoever waits for more.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

/// Every queue that was named so far.
#[derive(Clone, Debug)]
pub(super) struct Standings(Arc<RwLock<HashMap<String, Arc<Standing>>>>);

/// One queue.
#[derive(Debug)]
pub(super) struct Standing {
    messages: AtomicU64,
    limit: AtomicU64,
    bell: Notify,
    in_flight: Mutex<HashSet<i64>>,
}

/// Places in a queue that are taken before its messages are on the disk; those that are not kept are given back.
pub(super) struct Reserved {
    standing: Arc<Standing>,
    open: u64,
}

impl Standings {
    /// Queues that hold so many messages; any other holds none.
    pub(super) fn new(counts: Vec<(String, u64)>) -> Self {
        let standing = |(name, messages)| (name, Arc::new(Standing::new(messages)));
        Self(Arc::new(RwLock::new(counts.into_iter().map(standing).collect())))
    }

    pub(super) fn of(&self, queue: &str) -> Arc<Standing> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(queue).cloned();
        known.unwrap_or_else(|| {
            let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(queue.to_owned()).or_insert_with(|| Arc::new(Standing::new(0))))
        })
    }
}

impl Standing {
    fn new(messages: u64) -> Self {
        Self {
            messages: AtomicU64::new(messages),
            limit: AtomicU64::new(u64::MAX),
            bell: Notify::new(),
            in_flight: Mutex::default(),
        }
    }

    pub(super) fn limit(&self, messages: u64) {
        self.limit.store(messages, Ordering::Relaxed);
    }

    /// Takes places for so many messages; `None`: there are not as many.
    pub(super) fn reserve(self: Arc<Self>, count: u64) -> Option<Reserved> {
        let limit = self.limit.load(Ordering::Relaxed);
        let add = |messages: u64| messages.checked_add(count).filter(|sum| *sum <= limit);
        self.messages.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
        Some(Reserved { standing: self, open: count })
    }

    /// Takes places for so many messages, whatever the limit says.
    pub(super) fn add(self: Arc<Self>, count: u64) -> Reserved {
        self.messages.fetch_add(count, Ordering::Relaxed);
        Reserved { standing: self, open: count }
    }

    /// So many messages are not in the queue any longer.
    pub(super) fn remove(&self, count: u64) {
        let less = |messages: u64| Some(messages.saturating_sub(count));
        let _ = self.messages.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
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
    /// So many of the messages are in the queue.
    pub(super) fn keep(mut self, count: u64) {
        self.open = self.open.saturating_sub(count);
        if count > 0 {
            self.standing.ring();
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.standing.remove(self.open);
    }
}
