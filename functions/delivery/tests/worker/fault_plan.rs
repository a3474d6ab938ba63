//! Storage that fails when a test says, or under which the process dies.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use kernel::store::{Condition, Item, Query, Store, StoreError, Table, Written};
use sqlite_store::SqliteStore;
use tokio::{sync::Notify, time::sleep};

/// A call to storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Get,
    Read,
    Put,
    PutAll,
    Delete,
}

/// How it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Throttled,
    /// Others were there before, each time; of one item, it was oneself, whose first answer was lost.
    Conflict,
    /// It takes half a second.
    Slow,
}

type FaultPlan = dyn Fn(Operation, Table) -> Option<Fault> + Send + Sync;

#[derive(Clone)]
pub(super) struct FaultyStore {
    store: SqliteStore,
    plan: Arc<FaultPlan>,
    lifetime: Arc<Lifetime>,
    /// The writes of one call happen from its end.
    is_backward: bool,
}

/// How many items are still written or deleted before the process dies, between any two of one call too.
struct Lifetime {
    left: AtomicUsize,
    crash: Notify,
}

impl Lifetime {
    fn new(writes: usize) -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(writes), crash: Notify::new() })
    }

    /// How many of these it lives for.
    fn spend(&self, writes: usize) -> usize {
        let spend = |left: usize| Some(left.saturating_sub(writes));
        self.left.fetch_update(Relaxed, Relaxed, spend).unwrap().min(writes)
    }

    /// Says that it is over; nothing comes after that.
    async fn crash<T>(&self) -> T {
        self.crash.notify_one();
        std::future::pending().await
    }
}

impl FaultyStore {
    pub(super) fn new(
        store: &SqliteStore,
        plan: impl Fn(Operation, Table) -> Option<Fault> + Send + Sync + 'static,
    ) -> Self {
        Self {
            store: store.clone(),
            plan: Arc::new(plan),
            lifetime: Lifetime::new(usize::MAX),
            is_backward: false,
        }
    }

    /// Storage that works until the process dies, after so many items. DynamoDB writes those of one call in any order.
    pub(super) fn crashing_after(store: &SqliteStore, writes: usize, is_backward: bool) -> Self {
        Self { lifetime: Lifetime::new(writes), is_backward, ..Self::new(store, |_, _| None) }
    }

    /// When it dies.
    pub(super) async fn crashed(&self) {
        self.lifetime.crash.notified().await;
    }

    /// Whether there is a conflict.
    async fn check(&self, operation: Operation, table: Table) -> Result<bool, StoreError> {
        match (self.plan)(operation, table) {
            Some(Fault::Throttled) => return Err(StoreError::Unavailable("throttled".to_owned())),
            Some(Fault::Conflict) => return Ok(true),
            Some(Fault::Slow) => sleep(Duration::from_millis(500)).await,
            None => {}
        }
        Ok(false)
    }
}

impl Store for FaultyStore {
    async fn get(&self, table: Table, partition: &str, sort: &str) -> Result<Option<Item>, StoreError> {
        self.check(Operation::Get, table).await?;
        self.store.get(table, partition, sort).await
    }

    async fn get_all(
        &self,
        table: Table,
        keys: Vec<(String, String)>,
    ) -> Result<Vec<Option<Item>>, StoreError> {
        // Each of them is asked for.
        for _ in &keys {
            self.check(Operation::Read, table).await?;
        }
        self.store.get_all(table, keys).await
    }

    async fn query(&self, table: Table, query: Query) -> Result<Vec<Item>, StoreError> {
        self.check(Operation::Read, table).await?;
        self.store.query(table, query).await
    }

    async fn put(&self, table: Table, item: Item, condition: Condition) -> Result<Written, StoreError> {
        let is_answer_lost = self.check(Operation::Put, table).await?;
        if self.lifetime.spend(1) == 0 {
            return self.lifetime.crash().await;
        }
        let (partition, sort) = (item.partition.clone(), item.sort.clone());
        let written = self.store.put(table, item, condition).await?;
        if is_answer_lost {
            return Ok(Written::Conflict(self.store.get(table, &partition, &sort).await?));
        }
        Ok(written)
    }

    async fn put_all(
        &self,
        table: Table,
        mut puts: Vec<(Item, Condition)>,
    ) -> Result<Vec<Written>, StoreError> {
        if !self.check(Operation::PutAll, table).await? {
            let written_count = self.lifetime.spend(puts.len());
            let crashes = written_count < puts.len();
            if self.is_backward {
                puts.reverse();
            }
            puts.truncate(written_count);
            let mut written = self.store.put_all(table, puts).await;
            if self.is_backward {
                let _ = written.as_mut().map(|written| written.reverse());
            }
            return if crashes { self.lifetime.crash().await } else { written };
        }
        let mut written = Vec::new();
        for (item, _) in puts {
            written.push(Written::Conflict(self.store.get(table, &item.partition, &item.sort).await?));
        }
        Ok(written)
    }

    async fn raise(&self, table: Table, partition: &str, sort: &str, least: u64) -> Result<u64, StoreError> {
        self.check(Operation::Put, table).await?;
        if self.lifetime.spend(1) == 0 {
            return self.lifetime.crash().await;
        }
        self.store.raise(table, partition, sort, least).await
    }

    async fn delete(&self, table: Table, partition: &str, sort: &str) -> Result<(), StoreError> {
        self.check(Operation::Delete, table).await?;
        if self.lifetime.spend(1) == 0 {
            return self.lifetime.crash().await;
        }
        self.store.delete(table, partition, sort).await
    }

    async fn delete_all(&self, table: Table, mut keys: Vec<(String, String)>) -> Result<(), StoreError> {
        self.check(Operation::Delete, table).await?;
        let written_count = self.lifetime.spend(keys.len());
        let crashes = written_count < keys.len();
        if self.is_backward {
            keys.reverse();
        }
        keys.truncate(written_count);
        let deleted = self.store.delete_all(table, keys).await;
        if crashes { self.lifetime.crash().await } else { deleted }
    }
}
