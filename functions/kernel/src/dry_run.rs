//! A store for dry runs: it reads, answers each write as if it happened, and writes nothing.

use std::collections::HashMap;

use crate::store::{Condition, Item, Query, Store, StoreError, Table, Written};

/// A store that answers writes by what is stored now. A write has no effect on later reads, so it answers right for
/// steps that write each item at most once.
#[derive(Clone, Debug)]
pub struct DryRunStore<S>(S);

impl<S: Store> DryRunStore<S> {
    /// A dry run against `store`.
    pub fn new(store: S) -> Self {
        Self(store)
    }
}

fn written(condition: Condition, stored: Option<Item>) -> Written {
    let is_true = match (condition, &stored) {
        (Condition::None, _) | (Condition::Absent, None) => true,
        (Condition::Version(version), Some(item)) => item.version == version,
        (Condition::Absent, Some(_)) | (Condition::Version(_), None) => false,
    };
    if is_true { Written::Done } else { Written::Conflict(stored) }
}

impl<S: Store> Store for DryRunStore<S> {
    fn block(&self) -> usize {
        self.0.block()
    }

    async fn get(&self, table: Table, partition: &str, sort: &str) -> Result<Option<Item>, StoreError> {
        self.0.get(table, partition, sort).await
    }

    async fn get_all(
        &self,
        table: Table,
        keys: Vec<(String, String)>,
    ) -> Result<Vec<Option<Item>>, StoreError> {
        self.0.get_all(table, keys).await
    }

    async fn query(&self, table: Table, query: Query) -> Result<Vec<Item>, StoreError> {
        self.0.query(table, query).await
    }

    async fn count(&self, table: Table, query: Query) -> Result<usize, StoreError> {
        self.0.count(table, query).await
    }

    async fn put(&self, table: Table, item: Item, condition: Condition) -> Result<Written, StoreError> {
        let stored = match condition {
            Condition::None => None,
            Condition::Absent | Condition::Version(_) => {
                self.0.get(table, &item.partition, &item.sort).await?
            }
        };
        Ok(written(condition, stored))
    }

    async fn put_all(&self, table: Table, puts: Vec<(Item, Condition)>) -> Result<Vec<Written>, StoreError> {
        let keys: Vec<_> = puts
            .iter()
            .filter(|(_, condition)| *condition != Condition::None)
            .map(|(item, _)| (item.partition.clone(), item.sort.clone()))
            .collect();
        let found = if keys.is_empty() { Vec::new() } else { self.0.get_all(table, keys).await? };
        let mut stored: HashMap<_, _> = found
            .into_iter()
            .flatten()
            .map(|item| ((item.partition.clone(), item.sort.clone()), item))
            .collect();
        let answer =
            |(Item { partition, sort, .. }, condition)| written(condition, stored.remove(&(partition, sort)));
        Ok(puts.into_iter().map(answer).collect())
    }

    async fn raise(&self, table: Table, partition: &str, sort: &str, least: u64) -> Result<u64, StoreError> {
        let stored = self.0.get(table, partition, sort).await?;
        Ok(stored.map_or(least, |item| least.max(item.version + 1)))
    }

    async fn delete(&self, _: Table, _: &str, _: &str) -> Result<(), StoreError> {
        Ok(())
    }

    async fn delete_all(&self, _: Table, _: Vec<(String, String)>) -> Result<(), StoreError> {
        Ok(())
    }
}
