//! The tables: one file, and one writer that commits the writes of many callers together.

mod checkpoint;
mod read;
mod schema;
mod write;
mod write_queue;

use std::{path::Path, sync::Arc};

use checkpoint::Checkpointer;
use futures::future::try_join_all;
use kernel::store::{Condition, Item, Query, Store, StoreError, Table, Written};
use rusqlite::Connection;

pub use read::Readers;
pub use write::Writer;

/// How many items one job writes: well under a millisecond's work, so that other jobs do not wait for long.
const MAX_ITEMS_PER_JOB: usize = 64;

/// The tables in `crmflow.db`. Cheap to clone; all clones share the writer.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    /// The one writer.
    pub writer: Arc<Writer>,
    /// The connections that read.
    pub readers: Arc<Readers>,
}

impl SqliteStore {
    /// Opens the file for reads and writes, and creates it if there is none.
    pub fn open(file: &Path) -> Result<Self, StoreError> {
        let mut connection = schema::open(file).map_err(|error| failure(&error))?;
        let checkpointer = Checkpointer::start(file, &mut connection)?;
        Ok(Self {
            writer: Arc::new(Writer::start(connection, checkpointer)?),
            readers: Arc::new(Readers::new(file)),
        })
    }

    /// A store with readers alone: every write is refused.
    pub fn read_only(readers: Readers) -> Self {
        Self { writer: Arc::new(Writer::none()), readers: Arc::new(readers) }
    }

    /// Opens a file for reads alone; another process may write it.
    pub fn open_read_only(file: &Path) -> Result<Readers, StoreError> {
        let readers = Readers::new(file);
        let layout = readers.with(schema::layout)?;
        if layout < schema::VERSION {
            return Err(StoreError::Refused(
                "an earlier version of crmflow wrote it; `crmflow serve` and `crmflow process` bring it up to date".into(),
            ));
        }
        Ok(readers)
    }
}

/// Maps an error of SQLite. Busy and interrupted are transient, and so is a full or silent disk. All others are
/// permanent.
pub fn failure(error: &rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode as Code;
    let text = error.sqlite_error().map_or_else(|| error.to_string(), |inner| inner.to_string());
    match error.sqlite_error_code() {
        Some(
            Code::DatabaseBusy
            | Code::DatabaseLocked
            | Code::OperationInterrupted
            | Code::OutOfMemory
            | Code::DiskFull
            | Code::SystemIoFailure,
        ) => StoreError::Unavailable(text),
        _ => StoreError::Refused(text),
    }
}

impl Store for SqliteStore {
    async fn get(&self, table: Table, partition: &str, sort: &str) -> Result<Option<Item>, StoreError> {
        self.readers.with(|connection| read::get(connection, table, partition, sort))
    }

    async fn get_all(
        &self,
        table: Table,
        keys: Vec<(String, String)>,
    ) -> Result<Vec<Option<Item>>, StoreError> {
        self.readers.with(|connection| {
            keys.iter().map(|(partition, sort)| read::get(connection, table, partition, sort)).collect()
        })
    }

    async fn query(&self, table: Table, query: Query) -> Result<Vec<Item>, StoreError> {
        self.readers.with(|connection| read::query(connection, table, &query))
    }

    async fn count(&self, table: Table, query: Query) -> Result<usize, StoreError> {
        self.readers.with(|connection| read::count(connection, table, &query))
    }

    async fn put(&self, table: Table, item: Item, condition: Condition) -> Result<Written, StoreError> {
        let mut written = self.put_all(table, vec![(item, condition)]).await?;
        written.pop().ok_or_else(|| StoreError::Refused("the writer gave no answer".into()))
    }

    async fn put_all(&self, table: Table, puts: Vec<(Item, Condition)>) -> Result<Vec<Written>, StoreError> {
        let mut puts = puts.into_iter().peekable();
        let mut written = Vec::new();
        // All jobs are queued before the first is awaited.
        while puts.peek().is_some() {
            let some: Vec<_> = puts.by_ref().take(MAX_ITEMS_PER_JOB).collect();
            written.push(self.writer.write(move |connection| write::put_all(connection, table, &some)));
        }
        Ok(try_join_all(written).await?.into_iter().flatten().collect())
    }

    async fn raise(&self, table: Table, partition: &str, sort: &str, least: u64) -> Result<u64, StoreError> {
        let (partition, sort) = (partition.to_owned(), sort.to_owned());
        let raise = move |connection: &Connection| write::raise(connection, table, &partition, &sort, least);
        // A client waits for it.
        self.writer.write_first(raise, |_| {}).await
    }

    async fn delete(&self, table: Table, partition: &str, sort: &str) -> Result<(), StoreError> {
        self.delete_all(table, vec![(partition.to_owned(), sort.to_owned())]).await
    }

    async fn delete_all(&self, table: Table, keys: Vec<(String, String)>) -> Result<(), StoreError> {
        let mut keys = keys.into_iter().peekable();
        let mut deleted = Vec::new();
        while keys.peek().is_some() {
            let some: Vec<_> = keys.by_ref().take(MAX_ITEMS_PER_JOB).collect();
            deleted.push(self.writer.write(move |connection| {
                some.iter()
                    .try_for_each(|(partition, sort)| write::delete(connection, table, partition, sort))
            }));
        }
        try_join_all(deleted).await.map(|_| ())
    }
}

/// A change of the file, inside a transaction that it shares with others.
type Change = Box<dyn FnOnce(&Connection) + Send>;

#[cfg(test)]
mod tests {
    use kernel::store_contract::store_contract;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn sqlite_keeps_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        store_contract(SqliteStore::open(&folder.path().join("crmflow.db")).unwrap()).await;
    }

    /// Older ones can lose what was committed when two connections fold the log: <https://sqlite.org/wal.html#walresetbug>.
    #[test]
    fn sqlite_is_a_release_without_the_wal_reset_bug() {
        assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
    }

    #[test]
    fn views_for_people_can_be_queried() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("crmflow.db");
        drop(SqliteStore::open(&file).unwrap());
        let connection = Connection::open(&file).unwrap();
        for view in ["contacts", "consent_history", "batch_list", "executions"] {
            let count: u32 =
                connection.query_row(&format!("SELECT count(*) FROM {view}"), [], |row| row.get(0)).unwrap();
            assert_eq!(count, 0, "{view}");
        }
    }
}
