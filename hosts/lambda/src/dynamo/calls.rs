//! Calls that write and read many items: each goes on until all is done, at the pace that the table takes.

use std::{collections::HashMap, sync::atomic::Ordering};

use aws_sdk_dynamodb::{
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    operation::put_item::PutItemError,
    types::{
        AttributeValue, DeleteRequest, KeysAndAttributes, PutRequest, ReturnValuesOnConditionCheckFailure,
        WriteRequest,
    },
};
use functions::store::{Condition, Item, StoreError, Written};
use futures::{StreamExt, TryStreamExt, stream};

use super::{BATCHES, DynamoStore, Place, READS, Round, WRITES, batches};
use crate::{
    attributes::{self, Attributes},
    pace::{Fault, Rest, fault, paced},
};

/// How many single puts wait for their turn at once.
const PUTS: usize = 64;
/// Fewer new items are put without a look at what is stored.
const MIN_LOOKED_AT: usize = 25;

impl DynamoStore {
    pub(super) async fn put_one(
        &self,
        place: &Place,
        item: Attributes,
        condition: Condition,
    ) -> Result<Written, StoreError> {
        let mut put = self
            .client
            .put_item()
            .table_name(&place.name)
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
        match paced(&place.writes, self.patience, || put.clone().send()).await {
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

    /// Puts at most [`WRITES`] items, none twice, without a condition.
    async fn write_batch(&self, place: &Place, items: Vec<Attributes>) -> Result<(), StoreError> {
        let write = |item| {
            let put = PutRequest::builder().set_item(Some(item)).build().map_err(refused)?;
            Ok(WriteRequest::builder().put_request(put).build())
        };
        self.write(place, items.into_iter().map(write).collect::<Result<_, StoreError>>()?).await
    }

    /// Deletes at most [`WRITES`] items, none twice.
    pub(super) async fn delete_batch(&self, place: &Place, keys: Vec<Attributes>) -> Result<(), StoreError> {
        let write = |key| {
            let delete = DeleteRequest::builder().set_key(Some(key)).build().map_err(refused)?;
            Ok(WriteRequest::builder().delete_request(delete).build())
        };
        self.write(place, keys.into_iter().map(write).collect::<Result<_, StoreError>>()?).await
    }

    async fn write(&self, place: &Place, writes: Vec<WriteRequest>) -> Result<(), StoreError> {
        let mut open = HashMap::from([(place.name.clone(), writes)]);
        let mut rest = Rest::new(&place.writes, self.patience);
        loop {
            let size: usize = open.values().map(Vec::len).sum();
            let write = self.client.batch_write_item().set_request_items(Some(open));
            let sent = paced(&place.writes, self.patience, || write.clone().send()).await;
            let sent = sent.map_err(|error| failure("BatchWriteItem", &error))?;
            open = sent.unprocessed_items.unwrap_or_default();
            let left: usize = open.values().map(Vec::len).sum();
            if left == 0 {
                return Ok(());
            }
            if !rest.wait(left < size).await {
                return Err(busy("BatchWriteItem"));
            }
        }
    }

    /// The items that there are among at most [`READS`] keys, none twice.
    pub(super) async fn read_batch(
        &self,
        place: &Place,
        keys: Vec<Attributes>,
    ) -> Result<Vec<Item>, StoreError> {
        let keys = KeysAndAttributes::builder().consistent_read(true).set_keys(Some(keys));
        let mut open = HashMap::from([(place.name.clone(), keys.build().map_err(refused)?)]);
        let mut items = Vec::new();
        let mut rest = Rest::new(&place.reads, self.patience);
        loop {
            let before = items.len();
            let read = self.client.batch_get_item().set_request_items(Some(open));
            let got = paced(&place.reads, self.patience, || read.clone().send()).await;
            let got = got.map_err(|error| failure("BatchGetItem", &error))?;
            for found in got.responses.into_iter().flat_map(HashMap::into_values).flatten() {
                items.push(attributes::to_item(found)?);
            }
            open = got.unprocessed_keys.unwrap_or_default();
            if open.values().all(|keys| keys.keys.is_empty()) {
                return Ok(items);
            }
            if !rest.wait(items.len() > before).await {
                return Err(busy("BatchGetItem"));
            }
        }
    }

    /// Does puts whose keys all differ.
    pub(super) async fn put_round(
        &self,
        place: &Place,
        round: Round,
        written: &mut [Written],
    ) -> Result<(), StoreError> {
        let Round { plain, mut new, changed } = round;
        let batches = batches(plain, WRITES).into_iter().map(|items| self.write_batch(place, items));
        let mut batches = stream::iter(batches).buffer_unordered(BATCHES);
        while batches.try_next().await?.is_some() {}
        let changed = changed.into_iter().map(|(at, item, over)| (at, item, Condition::Version(over)));
        self.put_each(place, changed, written).await?;
        while !new.is_empty() {
            let behind = new.split_off(new.len().min(READS));
            self.put_new(place, std::mem::replace(&mut new, behind), written).await?;
        }
        Ok(())
    }

    /// Puts at most [`READS`] new items. A put that meets a stored item costs a write all the same: where most did
    /// before, as when a step is run again, what is stored is read first, and only the others are put.
    async fn put_new(
        &self,
        place: &Place,
        mut new: Vec<(usize, Attributes)>,
        written: &mut [Written],
    ) -> Result<(), StoreError> {
        let (count, places): (usize, Vec<usize>) = (new.len(), new.iter().map(|(at, _)| *at).collect());
        let is_looked_at = count >= MIN_LOOKED_AT;
        if is_looked_at && place.is_mostly_known.load(Ordering::Relaxed) {
            let keys = new.iter().map(|(_, item)| attributes::key_of(item)).collect();
            let found = self.read_batch(place, keys).await?.into_iter();
            let mut found: HashMap<(String, String), Item> =
                found.map(|item| ((item.partition.clone(), item.sort.clone()), item)).collect();
            new.retain(|(at, item)| {
                let stored = attributes::names(item).and_then(|names| found.remove(&names));
                let is_new = stored.is_none();
                stored.into_iter().for_each(|stored| written[*at] = Written::Conflict(Some(stored)));
                is_new
            });
        }
        let puts = new.into_iter().map(|(at, item)| (at, item, Condition::Absent));
        self.put_each(place, puts, written).await?;
        if is_looked_at {
            let known = places.into_iter().filter(|at| written[*at] != Written::Done).count();
            place.is_mostly_known.store(known * 2 >= count, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Puts items one by one, as many at once as the table takes.
    async fn put_each(
        &self,
        place: &Place,
        puts: impl Iterator<Item = (usize, Attributes, Condition)> + Send,
        written: &mut [Written],
    ) -> Result<(), StoreError> {
        let puts = puts.map(async |(at, item, condition)| {
            Ok::<_, StoreError>((at, self.put_one(place, item, condition).await?))
        });
        let mut puts = stream::iter(puts).buffer_unordered(PUTS);
        while let Some((at, done)) = puts.try_next().await? {
            written[at] = done;
        }
        Ok(())
    }
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
