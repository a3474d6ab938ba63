//! Tables for steps that need none.

use kernel::store::{Condition, Item, Query, Store, StoreError, Table, Written};

/// Refuses every call: a step that makes one fails.
#[derive(Clone)]
pub(crate) struct NoTables;

fn none<T>() -> Result<T, StoreError> {
    Err(StoreError::Refused("this step needs no tables".into()))
}

impl Store for NoTables {
    async fn get(&self, _: Table, _: &str, _: &str) -> Result<Option<Item>, StoreError> {
        none()
    }

    async fn get_all(&self, _: Table, _: Vec<(String, String)>) -> Result<Vec<Option<Item>>, StoreError> {
        none()
    }

    async fn query(&self, _: Table, _: Query) -> Result<Vec<Item>, StoreError> {
        none()
    }

    async fn put(&self, _: Table, _: Item, _: Condition) -> Result<Written, StoreError> {
        none()
    }

    async fn put_all(&self, _: Table, _: Vec<(Item, Condition)>) -> Result<Vec<Written>, StoreError> {
        none()
    }

    async fn raise(&self, _: Table, _: &str, _: &str, _: u64) -> Result<u64, StoreError> {
        none()
    }

    async fn delete(&self, _: Table, _: &str, _: &str) -> Result<(), StoreError> {
        none()
    }

    async fn delete_all(&self, _: Table, _: Vec<(String, String)>) -> Result<(), StoreError> {
        none()
    }
}
