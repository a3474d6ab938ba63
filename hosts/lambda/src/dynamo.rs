//! The store on DynamoDB: a table for each [`Table`], with the keys `partition` and `sort`.

mod calls;
mod counter;
mod ranges;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, HttpClient, SharedHttpClient, retry::RetryConfig, timeout::TimeoutConfig},
};
use futures::{StreamExt, TryStreamExt, stream};
use kernel::store::{Condition, Item, Query, Store, StoreError, Table, Written};

use crate::{
    attributes::{self, Attributes},
    back_pressure::{ConcurrencyLimit, RetryTime, with_permit},
    client::Aws,
    config::{Config, Missing},
};
use calls::failure;

/// Maximum number of concurrent batch calls.
const MAX_CONCURRENT_BATCHES: usize = 8;
/// Maximum number of items in a BatchWriteItem call.
const MAX_WRITES: usize = 25;
/// Maximum number of keys in a BatchGetItem call.
const MAX_READS: usize = 100;
/// Number of dependent writes in one block. An aborted call has completed all blocks but its last one. At less than
/// twelve writes a second, three for each item of a block, a call of one minute would make no progress.
const BLOCK_WRITES: usize = 200;
/// Maximum time for an answer of DynamoDB, which needs milliseconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The store on DynamoDB.
#[derive(Clone, Debug)]
pub struct DynamoStore {
    client: Client,
    tables: Arc<HashMap<Table, TableState>>,
    retry_time: RetryTime,
}

/// A table with its bounds of concurrent calls. Clones of the store share it.
#[derive(Debug)]
struct TableState {
    name: String,
    reads: ConcurrencyLimit,
    writes: ConcurrencyLimit,
    /// Whether most of the last new items were stored already: then the store reads before it writes.
    is_mostly_known: AtomicBool,
}

impl TableState {
    fn new(name: &str) -> Self {
        let (reads, writes) = (ConcurrencyLimit::new(), ConcurrencyLimit::new());
        Self { name: name.to_owned(), reads, writes, is_mostly_known: AtomicBool::default() }
    }
}

impl DynamoStore {
    /// These tables, by the names of the configuration; each must have one.
    pub fn new(config: &Config, tables: &[Table]) -> Result<Self, Missing> {
        let aws = Aws::new(config)?;
        let http = aws.http.clone();
        Self::over(http, aws, config, tables)
    }

    /// The same, with a client of the caller.
    pub fn with_client(
        http: impl HttpClient + 'static,
        config: &Config,
        tables: &[Table],
    ) -> Result<Self, Missing> {
        Self::over(SharedHttpClient::new(http), Aws::new(config)?, config, tables)
    }

    fn over(http: SharedHttpClient, aws: Aws, config: &Config, tables: &[Table]) -> Result<Self, Missing> {
        let mut sdk = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(aws.region)
            .credentials_provider(aws.credentials)
            .http_client(http)
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(ANSWER_TIMEOUT).build());
        sdk.set_endpoint_url(aws.endpoint);
        let table = |table: &Table| Ok((*table, TableState::new(config.table(*table).get()?)));
        Ok(Self {
            client: Client::from_conf(sdk.build()),
            tables: Arc::new(tables.iter().map(table).collect::<Result<_, Missing>>()?),
            retry_time: RetryTime::UntilDropped,
        })
    }

    /// The store for callers that need an answer before their deadline.
    #[must_use]
    pub fn with_retry_time(self, retry_time: RetryTime) -> Self {
        Self { retry_time, ..self }
    }

    /// The client, for calls outside of the store.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Runs work of several calls that share the maximum time: a lease that protects them ends soon.
    async fn together<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        match self.retry_time {
            RetryTime::UntilDropped => work.await,
            RetryTime::For(retry_time) => {
                let late = |_| Err(StoreError::Unavailable("the table is throttled".to_owned()));
                tokio::time::timeout(retry_time, work).await.unwrap_or_else(late)
            }
        }
    }

    fn table(&self, table: Table) -> Result<&TableState, StoreError> {
        let none = || StoreError::Refused(format!("this function has no table {}", table.name()));
        self.tables.get(&table).ok_or_else(none)
    }
}

impl Store for DynamoStore {
    fn block(&self) -> usize {
        BLOCK_WRITES
    }

    async fn get(&self, table: Table, partition: &str, sort: &str) -> Result<Option<Item>, StoreError> {
        let table = self.table(table)?;
        let ask = self
            .client
            .get_item()
            .table_name(&table.name)
            .set_key(Some(attributes::key(partition, sort)))
            .consistent_read(true);
        let got = with_permit(&table.reads, self.retry_time, || ask.clone().send()).await;
        got.map_err(|error| failure("GetItem", &error))?.item.map(attributes::to_item).transpose()
    }

    async fn get_all(
        &self,
        table: Table,
        keys: Vec<(String, String)>,
    ) -> Result<Vec<Option<Item>>, StoreError> {
        let table = self.table(table)?;
        let distinct: HashSet<&(String, String)> = keys.iter().collect();
        let wanted = distinct.into_iter().map(|(partition, sort)| attributes::key(partition, sort)).collect();
        let reads = batches(wanted, MAX_READS).into_iter().map(|keys| self.read_batch(table, keys));
        let found = stream::iter(reads).buffer_unordered(MAX_CONCURRENT_BATCHES).try_collect::<Vec<_>>();
        let found: Vec<Vec<Item>> = self.together(found).await?;
        let items = found.into_iter().flatten();
        let found: HashMap<(String, String), Item> =
            items.map(|item| ((item.partition.clone(), item.sort.clone()), item)).collect();
        Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
    }

    async fn query(&self, table: Table, query: Query) -> Result<Vec<Item>, StoreError> {
        self.query_range(self.table(table)?, query).await
    }

    async fn count(&self, table: Table, query: Query) -> Result<usize, StoreError> {
        self.count_range(self.table(table)?, query).await
    }

    async fn put(&self, table: Table, item: Item, condition: Condition) -> Result<Written, StoreError> {
        self.put_one(self.table(table)?, attributes::from_item(&item)?, condition).await
    }

    async fn put_all(&self, table: Table, puts: Vec<(Item, Condition)>) -> Result<Vec<Written>, StoreError> {
        let table = self.table(table)?;
        let mut written = vec![Written::Done; puts.len()];
        let rounds = rounds(&puts)?;
        self.together(async {
            for round in rounds {
                self.put_round(table, round, &mut written).await?;
            }
            Ok(())
        })
        .await?;
        Ok(written)
    }

    async fn raise(&self, table: Table, partition: &str, sort: &str, least: u64) -> Result<u64, StoreError> {
        self.raise_version(self.table(table)?, attributes::key(partition, sort), least).await
    }

    async fn delete(&self, table: Table, partition: &str, sort: &str) -> Result<(), StoreError> {
        let table = self.table(table)?;
        let delete = self.client.delete_item().table_name(&table.name);
        let delete = delete.set_key(Some(attributes::key(partition, sort)));
        let deleted = with_permit(&table.writes, self.retry_time, || delete.clone().send()).await;
        deleted.map(|_| ()).map_err(|error| failure("DeleteItem", &error))
    }

    async fn delete_all(&self, table: Table, keys: Vec<(String, String)>) -> Result<(), StoreError> {
        let table = self.table(table)?;
        let distinct: HashSet<(String, String)> = keys.into_iter().collect();
        let keys = distinct.into_iter().map(|(partition, sort)| attributes::key(&partition, &sort)).collect();
        let batches = batches(keys, MAX_WRITES).into_iter().map(|keys| self.delete_batch(table, keys));
        let mut batches = stream::iter(batches).buffer_unordered(MAX_CONCURRENT_BATCHES);
        self.together(async {
            while batches.try_next().await?.is_some() {}
            Ok(())
        })
        .await
    }
}

/// Puts with different keys.
#[derive(Default)]
struct Round {
    plain: Vec<Attributes>,
    /// New items, each with its position.
    new: Vec<(usize, Attributes)>,
    /// Changes: position, item, and the version that it replaces.
    changed: Vec<(usize, Attributes, u64)>,
}

/// The puts in rounds without a repeated key, so that puts of one key are in order.
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
            Condition::Absent => rounds[*nth].new.push((at, attributes)),
            Condition::Version(version) => rounds[*nth].changed.push((at, attributes, *version)),
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
