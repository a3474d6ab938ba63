//! Readers: each read sees the commits before its begin, and never waits for the writer.

use std::{
    path::{Path, PathBuf},
    sync::Mutex,
};

use kernel::store::{Item, Query, StoreError, Table};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Rows, params};

use super::{failure, schema};

/// Read connections, opened as they are needed.
#[derive(Debug)]
pub struct Readers {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), idle: Mutex::new(Vec::new()) }
    }

    /// Reads on a connection of its own.
    pub fn with<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let idle = self.idle.lock().ok().and_then(|mut idle| idle.pop());
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect().map_err(|error| failure(&error))?,
        };
        let result = read(&connection).map_err(|error| failure(&error));
        if let Ok(mut idle) = self.idle.lock() {
            idle.push(connection);
        }
        result
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(&self.file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        schema::plan_once(&connection)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        Ok(connection)
    }
}

pub(super) fn get(
    connection: &Connection,
    table: Table,
    partition: &str,
    sort: &str,
) -> rusqlite::Result<Option<Item>> {
    let sql = format!(
        "SELECT partition, sort, version, body FROM {} WHERE partition = ?1 AND sort = ?2",
        table.name()
    );
    connection.prepare_cached(&sql)?.query_row(params![partition, sort], item).optional()
}

pub(super) fn query(connection: &Connection, table: Table, query: &Query) -> rusqlite::Result<Vec<Item>> {
    in_range(
        connection,
        table,
        query,
        |range| format!("SELECT partition, sort, version, body {range}"),
        |rows| rows.mapped(item).collect(),
    )
}

/// How many items a range has, up to its limit.
pub(super) fn count(connection: &Connection, table: Table, query: &Query) -> rusqlite::Result<usize> {
    let counted = in_range(
        connection,
        table,
        query,
        |range| format!("SELECT count(*) FROM (SELECT 1 {range})"),
        |rows| rows.mapped(|row| row.get::<_, i64>(0)).collect::<rusqlite::Result<Vec<_>>>(),
    )?;
    Ok(counted.first().and_then(|count| usize::try_from(*count).ok()).unwrap_or_default())
}

/// Runs a query on the rows of a range.
fn in_range<T>(
    connection: &Connection,
    table: Table,
    query: &Query,
    select: impl FnOnce(&str) -> String,
    read: impl FnOnce(Rows<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    // Both ends are bounds of the index: a lane has very many rows outside of the range.
    let end = format!("{}\u{10ffff}", query.prefix);
    let after = query.after.as_deref();
    let (order, from, to) = if query.descending {
        ("DESC", (">=", query.prefix.as_str()), after.map_or(("<=", end.as_str()), |after| ("<", after)))
    } else {
        ("ASC", after.map_or((">=", query.prefix.as_str()), |after| (">", after)), ("<=", end.as_str()))
    };
    let range = format!(
        "FROM {} WHERE partition = ?1 AND sort {} ?2 AND sort {} ?3 \
         AND substr(sort, 1, length(?4)) = ?4 ORDER BY sort {order} LIMIT ?5",
        table.name(),
        from.0,
        to.0
    );
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(&select(&range))?;
    read(statement.query(params![query.partition, from.1, to.1, query.prefix, limit])?)
}

fn item(row: &Row<'_>) -> rusqlite::Result<Item> {
    let version = row.get::<_, i64>(2)?.cast_unsigned();
    Ok(Item { partition: row.get(0)?, sort: row.get(1)?, version, body: row.get(3)? })
}
