//! Executions of STANDARD machines, as they are kept: what they started from, where they stand, how they
//! went.

use functions::store::StoreError;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::sqlite::{Readers, SqliteStore};

/// An execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Execution {
    pub(crate) arn: String,
    /// The machine's name: its logical id in the template.
    pub(crate) machine: String,
    pub(crate) name: String,
    /// `RUNNING`, `SUCCEEDED`, `FAILED`, `TIMED_OUT` or `ABORTED`.
    pub(crate) status: String,
    pub(crate) input: String,
    pub(crate) output: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) cause: Option<String>,
    pub(crate) started_at: Timestamp,
    pub(crate) stopped_at: Option<Timestamp>,
    /// Its events, a JSON list in the form of GetExecutionHistory.
    pub(crate) history: String,
}

/// An execution that has not ended.
pub(crate) const RUNNING: &str = "RUNNING";

const COLUMNS: &str =
    "arn, machine, name, status, input, output, error, cause, started_at, stopped_at, history";

/// Keeps a new execution; gives back the one that has its name already, if there is one.
pub(crate) async fn create(
    store: &SqliteStore,
    execution: Execution,
) -> Result<Option<Execution>, StoreError> {
    store
        .writer
        .write(move |connection| {
            let found = one(connection, &execution.arn)?;
            if found.is_none() {
                insert(connection, &execution)?;
            }
            Ok(found)
        })
        .await
}

/// Keeps how an execution ended.
pub(crate) async fn finish(store: &SqliteStore, execution: Execution) -> Result<(), StoreError> {
    store.writer.write(move |connection| insert(connection, &execution)).await
}

/// The execution with this ARN.
pub(crate) fn find(readers: &Readers, arn: &str) -> Result<Option<Execution>, StoreError> {
    readers.with(|connection| one(connection, arn))
}

/// The latest executions, newest first.
pub(crate) fn list(readers: &Readers, limit: u32) -> Result<Vec<Execution>, StoreError> {
    readers.with(|connection| {
        let sql = format!("SELECT {COLUMNS} FROM executions ORDER BY started_at DESC LIMIT ?1");
        connection.prepare_cached(&sql)?.query_map([limit], read)?.collect()
    })
}

/// Which executions are listed.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    /// The machine's name.
    pub(crate) machine: String,
    pub(crate) status: Option<String>,
    /// Behind the one with this key.
    pub(crate) after: Option<String>,
    pub(crate) limit: usize,
}

/// Executions of a machine, newest first.
pub(crate) fn select(readers: &Readers, filter: &Filter) -> Result<Vec<Execution>, StoreError> {
    readers.with(|connection| {
        let sql = format!(
            "SELECT {COLUMNS} FROM executions WHERE machine = ?1 AND (?2 IS NULL OR status = ?2) \
             AND (?3 IS NULL OR started_at || '/' || arn < ?3) ORDER BY started_at || '/' || arn DESC LIMIT ?4"
        );
        let Filter { machine, status, after, limit } = filter;
        connection.prepare_cached(&sql)?.query_map(params![machine, status, after, limit], read)?.collect()
    })
}

impl Execution {
    /// Where it stands in a listing.
    pub(crate) fn key(&self) -> String {
        format!("{}/{}", self.started_at, self.arn)
    }
}

/// The executions that have not ended, oldest first.
pub(crate) fn running(readers: &Readers) -> Result<Vec<Execution>, StoreError> {
    readers.with(|connection| {
        let sql = format!("SELECT {COLUMNS} FROM executions WHERE status = 'RUNNING' ORDER BY started_at");
        connection.prepare_cached(&sql)?.query_map([], read)?.collect()
    })
}

fn one(connection: &Connection, arn: &str) -> rusqlite::Result<Option<Execution>> {
    let sql = format!("SELECT {COLUMNS} FROM executions WHERE arn = ?1");
    connection.prepare_cached(&sql)?.query_row([arn], read).optional()
}

fn insert(connection: &Connection, it: &Execution) -> rusqlite::Result<()> {
    let sql =
        format!("INSERT OR REPLACE INTO executions ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    connection.prepare_cached(&sql)?.execute(params![
        it.arn,
        it.machine,
        it.name,
        it.status,
        it.input,
        it.output,
        it.error,
        it.cause,
        it.started_at.to_string(),
        it.stopped_at.map(|at| at.to_string()),
        it.history,
    ])?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<Execution> {
    let time = |column: usize| -> rusqlite::Result<Option<Timestamp>> {
        let text: Option<String> = row.get(column)?;
        Ok(text.and_then(|text| text.parse().ok()))
    };
    Ok(Execution {
        arn: row.get(0)?,
        machine: row.get(1)?,
        name: row.get(2)?,
        status: row.get(3)?,
        input: row.get(4)?,
        output: row.get(5)?,
        error: row.get(6)?,
        cause: row.get(7)?,
        started_at: time(8)?.unwrap_or(Timestamp::UNIX_EPOCH),
        stopped_at: time(9)?,
        history: row.get(10)?,
    })
}
