//! The table `journal`: the inputs of each execution with their times, in order. A replay rebuilds the run from it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicI64, Ordering},
};

use kernel::store::StoreError;
use rusqlite::{Connection, params};
use sqlite_store::Writer;
use states::{Entry, NotRecorded, Outcome};

use super::{
    journal_acks::JournalAcks,
    row::{self, Execution},
};

/// The journal of a run that is under way.
#[derive(Debug)]
pub struct Journal {
    writer: Arc<Writer>,
    /// How many lines there are.
    lines: AtomicI64,
    execution: Mutex<Execution>,
    acks: Arc<JournalAcks>,
}

impl Journal {
    pub(super) fn new(writer: Arc<Writer>, lines: i64, execution: Execution, acks: Arc<JournalAcks>) -> Self {
        Self { writer, lines: AtomicI64::new(lines), execution: Mutex::new(execution), acks }
    }

    /// The execution with its present status.
    pub(super) fn execution(&self) -> Option<Execution> {
        self.execution.lock().ok().map(|execution| execution.clone())
    }

    /// Adds a line; with `outcome`, the execution's end in the same commit.
    pub(crate) async fn record(&self, entry: &Entry, outcome: Option<&Outcome>) -> Result<(), NotRecorded> {
        let line = serde_json::to_string(entry).map_err(|error| NotRecorded(error.to_string()))?;
        let number = self.lines.fetch_add(1, Ordering::Relaxed);
        let (id, ended) = {
            let mut execution = self.execution.lock().map_err(|error| NotRecorded(error.to_string()))?;
            if outcome.is_some() {
                execution.set_status(outcome, entry.at);
            }
            (execution.id, outcome.map(|_| execution.clone()))
        };
        let written = self.writer.write(move |connection| {
            append(connection, id, number, &line)?;
            ended.map_or(Ok(()), |ended| row::update(connection, &ended))
        });
        written.await.map_err(|error: StoreError| NotRecorded(error.to_string()))?;
        self.acks.tell(entry);
        Ok(())
    }
}

/// Stores a step before the run continues: its line, and the present status of the execution.
pub(super) async fn keep(
    writer: &Writer,
    execution: &Execution,
    number: i64,
    entry: &Entry,
) -> Result<(), StoreError> {
    let line = serde_json::to_string(entry).map_err(|error| StoreError::Refused(error.to_string()))?;
    let row = execution.clone();
    let written = writer.write(move |connection| {
        append(connection, row.id, number, &line)?;
        row::update(connection, &row)
    });
    written.await
}

/// Adds a line to an execution's journal.
fn append(connection: &Connection, id: i64, number: i64, line: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO journal (execution, number, entry) VALUES (?1, ?2, ?3)")?
        .execute(params![id, number, line])?;
    Ok(())
}

/// Every line of an execution's journal.
pub(super) fn load(connection: &Connection, id: i64) -> rusqlite::Result<Vec<Entry>> {
    let mut statement =
        connection.prepare_cached("SELECT entry FROM journal WHERE execution = ?1 ORDER BY number")?;
    let lines = statement.query_map([id], |row| {
        let line = row.get_ref(0)?.as_str()?;
        serde_json::from_str(line).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into())
        })
    })?;
    lines.collect()
}

/// Deletes an execution's journal.
pub(super) fn clear(connection: &Connection, id: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM journal WHERE execution = ?1")?.execute([id])?;
    Ok(())
}
