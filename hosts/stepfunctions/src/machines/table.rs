//! The tables of machines, their revisions and their tags.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::text;

/// A stored machine in one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMachine {
    pub arn: String,
    pub name: String,
    pub(crate) express: bool,
    pub(crate) of_template: bool,
    /// It is being deleted.
    pub(crate) is_deleting: bool,
    pub(crate) created_at: Timestamp,
    /// The revision's id.
    pub(crate) revision: String,
    pub(crate) definition: String,
    pub(crate) role: String,
    /// Logging, tracing and encryption, as JSON.
    pub(crate) settings: String,
    /// When this revision was made.
    pub(crate) updated_at: Timestamp,
}

/// Tags by key.
pub(crate) type Tags = Vec<(String, String)>;

/// The result of the creation of a machine.
#[derive(Debug)]
pub(crate) enum Created {
    Now,
    /// There is one of that name.
    Before(Box<StoredMachine>),
}

const COLUMNS: &str = "machines.arn, machines.name, machines.express, machines.of_template, machines.is_closed, \
     machines.created_at, revisions.id, revisions.definition, revisions.role, revisions.settings, \
     revisions.updated_at";

pub(super) fn find(connection: &Connection, arn: &str) -> rusqlite::Result<Option<StoredMachine>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM machines JOIN revisions ON revisions.id = machines.revision WHERE arn = ?1"
    );
    connection.prepare_cached(&sql)?.query_row([arn], read).optional()
}

pub(super) fn revision(
    connection: &Connection,
    arn: &str,
    time: Timestamp,
) -> rusqlite::Result<Option<StoredMachine>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM machines JOIN revisions ON revisions.machine = machines.arn \
         WHERE arn = ?1 AND updated_at <= ?2 ORDER BY updated_at DESC LIMIT 1"
    );
    connection.prepare_cached(&sql)?.query_row([arn, &text(time)], read).optional()
}

pub(super) fn deleting(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare("SELECT arn FROM machines WHERE is_closed = 1")?
        .query_map([], |row| row.get(0))?
        .collect()
}

pub(super) fn list(
    connection: &Connection,
    after: Option<&str>,
    limit: usize,
) -> rusqlite::Result<Vec<StoredMachine>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM machines JOIN revisions ON revisions.id = machines.revision \
         WHERE ?1 IS NULL OR machines.created_at || '/' || arn < ?1 \
         ORDER BY machines.created_at || '/' || arn DESC LIMIT ?2"
    );
    connection.prepare_cached(&sql)?.query_map(params![after, limit], read)?.collect()
}

pub(super) fn create(
    connection: &Connection,
    machine: &StoredMachine,
    tags: &Tags,
) -> rusqlite::Result<Created> {
    if let Some(before) = find(connection, &machine.arn)? {
        return Ok(Created::Before(Box::new(before)));
    }
    insert(connection, machine)?;
    put_tags(connection, &machine.arn, tags)?;
    Ok(Created::Now)
}

/// Gives a machine or an activity tags, over those of the same keys.
pub(crate) fn put_tags(connection: &Connection, arn: &str, tags: &Tags) -> rusqlite::Result<()> {
    let mut put =
        connection.prepare_cached("INSERT OR REPLACE INTO tags (arn, key, value) VALUES (?, ?, ?)")?;
    for (key, value) in tags {
        put.execute(params![arn, key, value])?;
    }
    Ok(())
}

pub(super) fn update(connection: &Connection, machine: &StoredMachine) -> rusqlite::Result<bool> {
    let known = connection
        .prepare_cached("UPDATE machines SET revision = ?2, express = ?3 WHERE arn = ?1 AND is_closed = 0")?
        .execute(params![machine.arn, machine.revision, machine.express])?;
    if known == 1 {
        insert_revision(connection, machine)?;
    }
    Ok(known == 1)
}

pub(super) fn mark_deleting(connection: &Connection, arn: &str) -> rusqlite::Result<()> {
    connection.execute("UPDATE machines SET is_closed = 1 WHERE arn = ?1", [arn])?;
    Ok(())
}

/// The ids of the revisions that are gone.
pub(super) fn delete(connection: &Connection, arn: &str) -> rusqlite::Result<Vec<String>> {
    let mut revisions = connection.prepare_cached("DELETE FROM revisions WHERE machine = ?1 RETURNING id")?;
    let gone = revisions.query_map([arn], |row| row.get(0))?.collect();
    connection.execute("DELETE FROM machines WHERE arn = ?1", [arn])?;
    connection.execute("DELETE FROM tags WHERE arn = ?1", [arn])?;
    gone
}

/// Stores the template's machines and deletes those that it no longer has. Gives the name of a machine that a client
/// created, if the template has one of that name.
pub(super) fn sync_template(
    connection: &Connection,
    machines: &[StoredMachine],
) -> rusqlite::Result<Option<String>> {
    let stored = machines.iter().map(|machine| find(connection, &machine.arn));
    let stored: Vec<_> = stored.collect::<Result<_, _>>()?;
    if let Some(clash) = stored.iter().flatten().find(|stored| !stored.of_template) {
        return Ok(Some(clash.name.clone()));
    }
    for (machine, before) in machines.iter().zip(stored) {
        match before {
            None => insert(connection, machine)?,
            Some(before) if before.definition == machine.definition && before.express == machine.express => {}
            Some(_) => _ = update(connection, machine)?,
        }
    }
    let mut of_template = connection.prepare("SELECT arn FROM machines WHERE of_template = 1")?;
    let arns: Vec<String> = of_template.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for arn in arns.iter().filter(|arn| machines.iter().all(|machine| machine.arn != **arn)) {
        delete(connection, arn)?;
    }
    Ok(None)
}

fn insert(connection: &Connection, machine: &StoredMachine) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO machines (arn, name, express, of_template, is_closed, created_at, revision) \
             VALUES (?, ?, ?, ?, 0, ?, ?)",
        )?
        .execute(params![
            machine.arn,
            machine.name,
            machine.express,
            machine.of_template,
            text(machine.created_at),
            machine.revision,
        ])?;
    insert_revision(connection, machine)
}

fn insert_revision(connection: &Connection, machine: &StoredMachine) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO revisions (id, machine, definition, role, settings, updated_at) \
             VALUES (?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            machine.revision,
            machine.arn,
            machine.definition,
            machine.role,
            machine.settings,
            text(machine.updated_at),
        ])?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<StoredMachine> {
    let time = |column: usize| -> rusqlite::Result<Timestamp> {
        let text: String = row.get(column)?;
        Ok(text.parse().unwrap_or_default())
    };
    Ok(StoredMachine {
        arn: row.get(0)?,
        name: row.get(1)?,
        express: row.get(2)?,
        of_template: row.get(3)?,
        is_deleting: row.get(4)?,
        created_at: time(5)?,
        revision: row.get(6)?,
        definition: row.get(7)?,
        role: row.get(8)?,
        settings: row.get(9)?,
        updated_at: time(10)?,
    })
}
