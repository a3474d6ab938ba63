//! Storage that fails when a test says.

use std::sync::Arc;

use functions::store::{Condition, Item, Query, Store, StoreError, Table, Written};

use crate::sqlite::SqliteStore;

/// What is asked of storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
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
    /// Others were there before, each time.
    Conflict,
}

type Plan = dyn Fn(Asked, Table) -> Option<Fault> + Send + Sync;

#[derive(Clone)]
pub(super) struct Faulty {
    store: SqliteStore,
    plan: Arc<Plan>,
}

impl Faulty {
    pub(super) fn new(
        store: &SqliteStore,
        plan: impl Fn(Asked, Table) -> Option<Fault> + Send + Sync + 'static,
    ) -> Self {
        Self { store: store.clone(), plan: Arc::new(plan) }
    }

    /// Whether there is a conflict.
    fn ask(&self, asked: Asked, table: Table) -> Result<bool, StoreError> {
        match (self.plan)(asked, table) {
            Some(Fault::Throttled) => Err(StoreError::Unavailable("throttled".to_owned())),
            fault => Ok(fault.is_some()),
        }
    }
}

impl Store for Faulty {
    async fn get(&self, table: Table, partition: &str, sort: &str) -> Result<Option<Item>, StoreError> {
        self.ask(Asked::Get, table)?;
        self.store.get(table, partition, sort).await
    }

    async fn get_all(
        &self,
        table: Table,
        keys: Vec<(String, String)>,
    ) -> Result<Vec<Option<Item>>, StoreError> {
        // Each of them is asked for.
        for _ in &keys {
            self.ask(Asked::Read, table)?;
        }
        self.store.get_all(table, keys).await
    }

    async fn query(&self, table: Table, query: Query) -> Result<Vec<Item>, StoreError> {
        self.ask(Asked::Read, table)?;
        self.store.query(table, query).await
    }

    async fn put(&self, table: Table, item: Item, condition: Condition) -> Result<Written, StoreError> {
        self.ask(Asked::Put, table)?;
        self.store.put(table, item, condition).await
    }

    async fn put_all(&self, table: Table, puts: Vec<(Item, Condition)>) -> Result<Vec<Written>, StoreError> {
        if !self.ask(Asked::PutAll, table)? {
            return self.store.put_all(table, puts).await;
        }
        let mut written = Vec::new();
        for (item, _) in puts {
            written.push(Written::Conflict(self.store.get(table, &item.partition, &item.sort).await?));
        }
        Ok(written)
    }

    async fn delete(&self, table: Table, partition: &str, sort: &str) -> Result<(), StoreError> {
        self.ask(Asked::Delete, table)?;
        self.store.delete(table, partition, sort).await
    }

    async fn delete_all(&self, table: Table, keys: Vec<(String, String)>) -> Result<(), StoreError> {
        self.ask(Asked::Delete, table)?;
        self.store.delete_all(table, keys).await
    }
}
