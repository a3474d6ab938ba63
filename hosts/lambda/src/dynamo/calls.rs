//! Calls that write and read many items: each continues until all items are done, at the rate that the table accepts.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
};

use aws_sdk_dynamodb::{
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    operation::put_item::PutItemError,
    types::{
        AttributeValue, DeleteRequest, KeysAndAttributes, PutRequest, ReturnValuesOnConditionCheckFailure,
        WriteRequest,
    },
};
use futures::{StreamExt, TryStreamExt, stream};
use kernel::store::{Condition, Item, StoreError, Written};

use super::{DynamoStore, MAX_CONCURRENT_BATCHES, MAX_READS, MAX_WRITES, Round, TableState, batches};
use crate::{
    attributes::{self, Attributes},
    back_pressure::{Fault, UnprocessedRetry, fault, with_permit},
};

/// Maximum number of single puts that wait for a permit.
const MAX_WAITING_PUTS: usize = 64;
/// Minimum number of new items for a read before the puts.
const MIN_READ_ITEMS: usize = 25;

impl DynamoStore {
    pub(super) async fn put_one(
        &self,
        table: &TableState,
        item: Attributes,
        condition: Condition,
    ) -> Result<Written, StoreError> {
        let mut put = self
            .client
            .put_item()
            .table_name(&table.name)
            .set_item(Some(item))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        put = match condition {
            Condition::None => put,
            Condition::Absent => put
                .condition_expression("attribute_not_exists(#p)")
                .expression_attribute_names("#p", attributes::PARTITION),
            Condition::Version(version) => put
                .condition_expression("#v = :v")
                .expression_attribute_names("#v", attributes::VERSION)
                .expression_attribute_values(":v", AttributeValue::N(version.to_string())),
        };
        match with_permit(&table.writes, self.retry_time, || put.clone().send()).await {
            Ok(_) => Ok(Written::Done),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(conflict)) => {
                    let stored = conflict.item.clone().map(attributes::to_item).transpose()?;
                    Ok(Written::Conflict(stored))
                }
                _ => Err(failure("PutItem", &error)),
            },
        }
    }

    /// Puts at most [`MAX_WRITES`] different items, without a condition.
    async fn write_batch(&self, table: &TableState, items: Vec<Attributes>) -> Result<(), StoreError> {
        let write = |item| {
            let put = PutRequest::builder().set_item(Some(item)).build().map_err(refused)?;
            Ok(WriteRequest::builder().put_request(put).build())
        };
        self.write(table, items.into_iter().map(write).collect::<Result<_, StoreError>>()?).await
    }

    /// Deletes at most [`MAX_WRITES`] different items.
    pub(super) async fn delete_batch(
        &self,
        table: &TableState,
        keys: Vec<Attributes>,
    ) -> Result<(), StoreError> {
        let write = |key| {
            let delete = DeleteRequest::builder().set_key(Some(key)).build().map_err(refused)?;
            Ok(WriteRequest::builder().delete_request(delete).build())
        };
        self.write(table, keys.into_iter().map(write).collect::<Result<_, StoreError>>()?).await
    }

    async fn write(&self, table: &TableState, writes: Vec<WriteRequest>) -> Result<(), StoreError> {
        let mut open = HashMap::from([(table.name.clone(), writes)]);
        let mut rest = UnprocessedRetry::new(&table.writes, self.retry_time);
        loop {
            let before: usize = open.values().map(Vec::len).sum();
            let write = self.client.batch_write_item().set_request_items(Some(open));
            let sent = with_permit(&table.writes, self.retry_time, || write.clone().send()).await;
            let sent = sent.map_err(|error| failure("BatchWriteItem", &error))?;
            open = sent.unprocessed_items.unwrap_or_default();
            let left: usize = open.values().map(Vec::len).sum();
            if left == 0 {
                return Ok(());
            }
            if !rest.wait(left < before).await {
                return Err(busy("BatchWriteItem"));
            }
        }
    }

    /// The existing items of at most [`MAX_READS`] different keys.
    pub(super) async fn read_batch(
        &self,
        table: &TableState,
        keys: Vec<Attributes>,
    ) -> Result<Vec<Item>, StoreError> {
        let keys = KeysAndAttributes::builder().consistent_read(true).set_keys(Some(keys));
        let mut open = HashMap::from([(table.name.clone(), keys.build().map_err(refused)?)]);
        let mut items = Vec::new();
        let mut rest = UnprocessedRetry::new(&table.reads, self.retry_time);
        loop {
            let before = asked(&open);
            let read = self.client.batch_get_item().set_request_items(Some(open));
            let got = with_permit(&table.reads, self.retry_time, || read.clone().send()).await;
            let got = got.map_err(|error| failure("BatchGetItem", &error))?;
            for found in got.responses.into_iter().flat_map(HashMap::into_values).flatten() {
                items.push(attributes::to_item(found)?);
            }
            open = got.unprocessed_keys.unwrap_or_default();
            let left = asked(&open);
            if left == 0 {
                return Ok(items);
            }
            if !rest.wait(left < before).await {
                return Err(busy("BatchGetItem"));
            }
        }
    }

    /// Runs puts with different keys.
    pub(super) async fn put_round(
        &self,
        table: &TableState,
        round: Round,
        written: &mut [Written],
    ) -> Result<(), StoreError> {
        let Round { plain, new, changed } = round;
        let batches = batches(plain, MAX_WRITES).into_iter().map(|items| self.write_batch(table, items));
        let mut batches = stream::iter(batches).buffer_unordered(MAX_CONCURRENT_BATCHES);
        while batches.try_next().await?.is_some() {}
        let changed = changed.into_iter().map(|(at, item, over)| (at, item, Condition::Version(over)));
        self.put_each(table, changed, |at, done| written[at] = done).await?;
        self.put_new(table, new, written).await
    }

    /// Puts new items. A put that meets a stored item also costs a write. If most puts do so, as in a repeated step, the
    /// store reads first and puts only the others.
    async fn put_new(
        &self,
        table: &TableState,
        mut new: Vec<(usize, Attributes)>,
        written: &mut [Written],
    ) -> Result<(), StoreError> {
        let count = new.len();
        let (mut done, mut known) = (0, 0);
        if count >= MIN_READ_ITEMS && table.is_mostly_known.load(Ordering::Relaxed) {
            new = self.unknown(table, new, written).await?;
            known = count - new.len();
        }
        let is_looked_at = AtomicBool::new(false);
        let mut left = new.into_iter();
        let next = || if is_looked_at.load(Ordering::Relaxed) { None } else { left.next() };
        let puts = std::iter::from_fn(next).map(|(at, item)| (at, item, Condition::Absent));
        self.put_each(table, puts, |at, put| {
            done += 1;
            known += usize::from(put != Written::Done);
            written[at] = put;
            is_looked_at.store(known >= MIN_READ_ITEMS && known * 2 >= done, Ordering::Relaxed);
        })
        .await?;
        let left: Vec<_> = left.collect();
        if !left.is_empty() {
            let all = left.len();
            let unknown = self.unknown(table, left, written).await?;
            known += all - unknown.len();
            let puts = unknown.into_iter().map(|(at, item)| (at, item, Condition::Absent));
            self.put_each(table, puts, |at, put| written[at] = put).await?;
        }
        if count >= MIN_READ_ITEMS {
            table.is_mostly_known.store(known * 2 >= count, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Those of some new items that are not stored.
    async fn unknown(
        &self,
        table: &TableState,
        mut new: Vec<(usize, Attributes)>,
        written: &mut [Written],
    ) -> Result<Vec<(usize, Attributes)>, StoreError> {
        let keys = new.iter().map(|(_, item)| attributes::key_of(item)).collect();
        let reads = batches(keys, MAX_READS).into_iter().map(|keys| self.read_batch(table, keys));
        let found: Vec<Vec<Item>> =
            stream::iter(reads).buffer_unordered(MAX_CONCURRENT_BATCHES).try_collect().await?;
        let items = found.into_iter().flatten();
        let mut found: HashMap<(String, String), Item> =
            items.map(|item| ((item.partition.clone(), item.sort.clone()), item)).collect();
        new.retain(|(at, item)| {
            let stored = attributes::names(item).and_then(|names| found.remove(&names));
            let is_new = stored.is_none();
            stored.into_iter().for_each(|stored| written[*at] = Written::Conflict(Some(stored)));
            is_new
        });
        Ok(new)
    }

    /// Puts items one by one, as many concurrently as the table accepts; `put` is called with each result.
    async fn put_each(
        &self,
        table: &TableState,
        puts: impl Iterator<Item = (usize, Attributes, Condition)> + Send,
        mut put: impl FnMut(usize, Written) + Send,
    ) -> Result<(), StoreError> {
        let puts = puts.map(async |(at, item, condition)| {
            Ok::<_, StoreError>((at, self.put_one(table, item, condition).await?))
        });
        let mut puts = stream::iter(puts).buffer_unordered(MAX_WAITING_PUTS);
        while let Some((at, done)) = puts.try_next().await? {
            put(at, done);
        }
        Ok(())
    }
}

fn asked(of: &HashMap<String, KeysAndAttributes>) -> usize {
    of.values().map(|keys| keys.keys.len()).sum()
}

fn busy(operation: &str) -> StoreError {
    StoreError::Unavailable(format!("{operation} is throttled"))
}

fn refused(error: aws_sdk_dynamodb::error::BuildError) -> StoreError {
    StoreError::Refused(error.to_string())
}

/// Only the code: the text of a refusal may quote a key.
pub(super) fn failure<E>(operation: &str, error: &SdkError<E>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let said = match (error.code(), error.raw_response()) {
        (Some(code), _) => format!("{operation}: {code}"),
        (None, Some(response)) => format!("{operation}: status {}", response.status().as_u16()),
        (None, None) => format!("{operation}: {}", DisplayErrorContext(error)),
    };
    match fault(error) {
        Fault::Throttled | Fault::Passing => StoreError::Unavailable(said),
        Fault::Final => StoreError::Refused(said),
    }
}
