//! The store on DynamoDB: a table for each [`Table`], with the keys `partition` and `sort`.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use aws_sdk_dynamodb::{
    Client,
    config::BehaviorVersion,
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    operation::put_item::PutItemError,
    types::{
        AttributeValue, DeleteRequest, KeysAndAttributes, PutRequest, ReturnValuesOnConditionCheckFailure,
        WriteRequest,
    },
};
use functions::store::{Condition, Item, Query, Store, StoreError, Table, Written};
use futures::{StreamExt, TryStreamExt, stream};

use crate::{
    attributes::{self, Attributes},
    client::Aws,
    config::{Config, Missing},
    ranges,
};

/// How many single puts are on their way at once.
const PUTS: usize = 64;
/// How many batch calls are on their way at once.
const BATCHES: usize = 8;
/// What BatchWriteItem takes.
const WRITES: usize = 25;
/// What BatchGetItem takes.
const READS: usize = 100;
/// How often what a batch call left over is sent again.
const ROUNDS: u32 = 8;

/// The store on DynamoDB.
#[derive(Clone, Debug)]
pub struct DynamoStore {
    client: Client,
    names: Arc<HashMap<Table, String>>,
}

impl DynamoStore {
    /// These tables, by the names of the configuration; each must have one.
    pub fn new(config: &Config, tables: &[Table]) -> Result<Self, Missing> {
        let aws = Aws::new(config)?;
        let mut sdk = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(aws.region)
            .credentials_provider(aws.credentials)
            .http_client(aws.http)
            .retry_config(aws.retry)
            .timeout_config(aws.timeouts);
        sdk.set_endpoint_url(aws.endpoint);
        let named = |table: &Table| Ok((*table, config.table(*table).get()?.to_owned()));
        Ok(Self {
            client: Client::from_conf(sdk.build()),
            names: Arc::new(tables.iter().map(named).collect::<Result<_, Missing>>()?),
        })
    }

    /// The client, for what the store does not do.
    pub fn client(&self) -> &Client {
        &self.client
    }

    fn name(&self, table: Table) -> Result<&str, StoreError> {
        let name = self.names.get(&table).map(String::as_str);
        name.ok_or_else(|| StoreError::Refused(format!("this function has no table {}", table.name())))
    }

    async fn put_one(
        &self,
        table: &str,
        item: Attributes,
        condition: Condition,
    ) -> Result<Written, StoreError> {
        let mut put = self
            .client
            .put_item()
            .table_name(table)
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
        match put.send().await {
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
    async fn write_batch(&self, table: &str, items: Vec<Attributes>) -> Result<(), StoreError> {
        let write = |item| {
            let put = PutRequest::builder().set_item(Some(item)).build().map_err(refused)?;
            Ok(WriteRequest::builder().put_request(put).build())
        };
        self.write(table, items.into_iter().map(write).collect::<Result<_, StoreError>>()?).await
    }

    /// Deletes at most [`WRITES`] items, none twice.
    async fn delete_batch(&self, table: &str, keys: Vec<Attributes>) -> Result<(), StoreError> {
        let write = |key| {
            let delete = DeleteRequest::builder().set_key(Some(key)).build().map_err(refused)?;
            Ok(WriteRequest::builder().delete_request(delete).build())
        };
        self.write(table, keys.into_iter().map(write).collect::<Result<_, StoreError>>()?).await
    }

    async fn write(&self, table: &str, writes: Vec<WriteRequest>) -> Result<(), StoreError> {
        let mut open = HashMap::from([(table.to_owned(), writes)]);
        for round in 0..ROUNDS {
            let sent = self.client.batch_write_item().set_request_items(Some(open)).send().await;
            let sent = sent.map_err(|error| failure("BatchWriteItem", &error))?;
            open = sent.unprocessed_items.unwrap_or_default();
            if open.values().all(Vec::is_empty) {
                return Ok(());
            }
            tokio::time::sleep(pause(round)).await;
        }
        Err(busy("BatchWriteItem"))
    }

    /// The items that there are among at most [`READS`] keys, none twice.
    async fn read_batch(&self, table: &str, keys: Vec<Attributes>) -> Result<Vec<Item>, StoreError> {
        let keys = KeysAndAttributes::builder().consistent_read(true).set_keys(Some(keys));
        let mut open = HashMap::from([(table.to_owned(), keys.build().map_err(refused)?)]);
        let mut items = Vec::new();
        for round in 0..ROUNDS {
            let got = self.client.batch_get_item().set_request_items(Some(open)).send().await;
            let got = got.map_err(|error| failure("BatchGetItem", &error))?;
            for found in got.responses.into_iter().flat_map(HashMap::into_values).flatten() {
                items.push(attributes::to_item(found)?);
            }
            open = got.unprocessed_keys.unwrap_or_default();
            if open.values().all(|keys| keys.keys.is_empty()) {
                return Ok(items);
            }
            tokio::time::sleep(pause(round)).await;
        }
        Err(busy("BatchGetItem"))
    }

    /// Does puts whose keys all differ.
    async fn put_round(&self, table: &str, round: Round, written: &mut [Written]) -> Result<(), StoreError> {
        let batches = batches(round.plain, WRITES).into_iter().map(|items| self.write_batch(table, items));
        let mut batches = stream::iter(batches).buffer_unordered(BATCHES);
        while batches.try_next().await?.is_some() {}
        let puts = round.checked.into_iter().map(async |(at, item, condition)| {
            Ok::<_, StoreError>((at, self.put_one(table, item, condition).await?))
        });
        let mut puts = stream::iter(puts).buffer_unordered(PUTS);
        while let Some((at, done)) = puts.try_next().await? {
            written[at] = done;
        }
        Ok(())
    }
}

impl Store for DynamoStore {
    async fn get(&self, table: Table, partition: &str, sort: &str) -> Result<Option<Item>, StoreError> {
        let got = self
            .client
            .get_item()
            .table_name(self.name(table)?)
            .set_key(Some(attributes::key(partition, sort)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failure("GetItem", &error))?;
        got.item.map(attributes::to_item).transpose()
    }

    async fn get_all(
        &self,
        table: Table,
        keys: Vec<(String, String)>,
    ) -> Result<Vec<Option<Item>>, StoreError> {
        let name = self.name(table)?;
        let distinct: HashSet<&(String, String)> = keys.iter().collect();
        let wanted = distinct.into_iter().map(|(partition, sort)| attributes::key(partition, sort)).collect();
        let reads = batches(wanted, READS).into_iter().map(|keys| self.read_batch(name, keys));
        let found: Vec<Vec<Item>> = stream::iter(reads).buffer_unordered(BATCHES).try_collect().await?;
        let items = found.into_iter().flatten();
        let found: HashMap<(String, String), Item> =
            items.map(|item| ((item.partition.clone(), item.sort.clone()), item)).collect();
        Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
    }

    async fn query(&self, table: Table, query: Query) -> Result<Vec<Item>, StoreError> {
        ranges::query(&self.client, self.name(table)?, query).await
    }

    async fn count(&self, table: Table, query: Query) -> Result<usize, StoreError> {
        ranges::count(&self.client, self.name(table)?, query).await
    }

    async fn put(&self, table: Table, item: Item, condition: Condition) -> Result<Written, StoreError> {
        self.put_one(self.name(table)?, attributes::from_item(&item)?, condition).await
    }

    async fn put_all(&self, table: Table, puts: Vec<(Item, Condition)>) -> Result<Vec<Written>, StoreError> {
        let name = self.name(table)?;
        let mut written = vec![Written::Done; puts.len()];
        for round in rounds(&puts)? {
            self.put_round(name, round, &mut written).await?;
        }
        Ok(written)
    }

    async fn delete(&self, table: Table, partition: &str, sort: &str) -> Result<(), StoreError> {
        let delete = self.client.delete_item().table_name(self.name(table)?);
        let deleted = delete.set_key(Some(attributes::key(partition, sort))).send().await;
        deleted.map(|_| ()).map_err(|error| failure("DeleteItem", &error))
    }

    async fn delete_all(&self, table: Table, keys: Vec<(String, String)>) -> Result<(), StoreError> {
        let name = self.name(table)?;
        let distinct: HashSet<(String, String)> = keys.into_iter().collect();
        let keys = distinct.into_iter().map(|(partition, sort)| attributes::key(&partition, &sort)).collect();
        let batches = batches(keys, WRITES).into_iter().map(|keys| self.delete_batch(name, keys));
        let mut batches = stream::iter(batches).buffer_unordered(BATCHES);
        while batches.try_next().await?.is_some() {}
        Ok(())
    }
}

/// Puts whose keys all differ.
#[derive(Default)]
struct Round {
    plain: Vec<Attributes>,
    checked: Vec<(usize, Attributes, Condition)>,
}

/// The puts in rounds that hold no key twice: puts of one key happen in order.
fn rounds(puts: &[(Item, Condition)]) -> Result<Vec<Round>, StoreError> {
    let mut seen: HashMap<(&str, &str), usize> = HashMap::new();
    let mut rounds: Vec<Round> = Vec::new();
    for (at, (item, condition)) in puts.iter().enumerate() {
        let nth = seen.entry((&item.partition, &item.sort)).or_default();
        if rounds.len() == *nth {
            rounds.push(Round::default());
        }
        let attributes = attributes::from_item(item)?;
        match condition {
            Condition::None => rounds[*nth].plain.push(attributes),
            condition => rounds[*nth].checked.push((at, attributes, *condition)),
        }
        *nth += 1;
    }
    Ok(rounds)
}

/// Cuts a list into lists of at most `size`.
fn batches(mut all: Vec<Attributes>, size: usize) -> Vec<Vec<Attributes>> {
    let mut batches = Vec::with_capacity(all.len().div_ceil(size));
    while !all.is_empty() {
        batches.push(all.split_off(all.len().saturating_sub(size)));
    }
    batches
}

/// How long to wait before the rest of a batch is sent again.
fn pause(round: u32) -> Duration {
    Duration::from_millis(50 << round.min(5))
}

fn busy(operation: &str) -> StoreError {
    StoreError::Unavailable(format!("{operation} is throttled"))
}

fn refused(error: aws_sdk_dynamodb::error::BuildError) -> StoreError {
    StoreError::Refused(error.to_string())
}

/// Only the code: the text of a refusal may quote a key.
pub(crate) fn failure<E>(operation: &str, error: &SdkError<E>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    const PASSING: [&str; 6] = [
        "InternalServerError",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingException",
        "TransactionConflictException",
    ];
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    match error.code() {
        Some(code) if status < 500 && !PASSING.contains(&code) => {
            StoreError::Refused(format!("{operation}: {code}"))
        }
        Some(code) => StoreError::Unavailable(format!("{operation}: {code}")),
        None if error.as_service_error().is_some() && status < 500 => {
            StoreError::Refused(format!("{operation}: status {status}"))
        }
        None => StoreError::Unavailable(format!("{operation}: {}", DisplayErrorContext(error))),
    }
}
