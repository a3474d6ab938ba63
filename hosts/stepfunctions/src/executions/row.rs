//! The table `executions`: the start, the status and the end of each STANDARD execution.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params, types::FromSql};
use states::{Failure, Outcome};

/// An execution of a STANDARD machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// Its row: later executions have higher ones.
    pub(crate) id: i64,
    /// Its ARN.
    pub arn: String,
    /// Its name.
    pub name: String,
    /// The ARN of its machine.
    pub machine_arn: String,
    /// The name of its definition in the table `definitions`.
    pub(crate) definition: String,
    /// The role that it would have on AWS.
    pub(crate) role: Option<String>,
    /// Its status.
    pub status: Status,
    /// Its input, as JSON.
    pub input: String,
    /// Its output, as JSON, once it has succeeded.
    pub output: Option<String>,
    /// The name of the error that ended it.
    pub error: Option<String>,
    /// The cause of that error, for people.
    pub cause: Option<String>,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub stopped_at: Option<Timestamp>,
    /// How often it was redriven.
    pub redrive_count: u32,
    /// When it was last redriven.
    pub redriven_at: Option<Timestamp>,
    /// The seed of its randomness.
    pub(super) seed: u64,
    /// How its journal is to be read; see [`states::REVISION`].
    pub(super) revision: u32,
    /// The test case that answers in the place of its tasks, while the process lives that it was started in.
    pub(crate) test_case: Option<String>,
}

/// The status of an execution, in Step Functions' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It has not ended.
    Running,
    /// It has ended with an output.
    Succeeded,
    /// It has ended with an error.
    Failed,
    /// It took longer than its machine allows.
    TimedOut,
    /// It was stopped.
    Aborted,
}

/// Which executions to list.
#[derive(Clone, Debug, Default)]
pub struct ListFilter {
    /// Only of this machine.
    pub machine_arn: Option<String>,
    /// Only of this status.
    pub status: Option<Status>,
    /// Only those before this row: the `id` of the last one of the page before.
    pub before: Option<i64>,
    /// The largest number of executions.
    pub limit: u32,
}

impl Status {
    const ALL: [Self; 5] = [Self::Running, Self::Succeeded, Self::Failed, Self::TimedOut, Self::Aborted];

    /// Step Functions' word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
            Self::Aborted => "ABORTED",
        }
    }

    /// The status of this name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

impl ToSql for Status {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(self.name().into())
    }
}

impl FromSql for Status {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        Self::from_name(value.as_str()?).ok_or(rusqlite::types::FromSqlError::InvalidType)
    }
}

/// Status, output, error and cause of an outcome.
pub fn parts(outcome: &Outcome) -> (Status, Option<String>, Option<String>, Option<String>) {
    let (status, Failure { error, cause }) = match outcome {
        Outcome::Succeeded(output) => {
            return (Status::Succeeded, serde_json::to_string(output).ok(), None, None);
        }
        Outcome::Failed(failure) => (Status::Failed, failure),
        Outcome::TimedOut(failure) => (Status::TimedOut, failure),
        Outcome::Aborted(failure) => (Status::Aborted, failure),
    };
    (status, None, error.clone(), cause.clone())
}

impl Execution {
    /// Sets the status after a step: ended with this outcome, or running.
    pub(super) fn set_status(&mut self, outcome: Option<&Outcome>, at: Timestamp) {
        let (status, output, error, cause) = outcome.map_or((Status::Running, None, None, None), parts);
        (self.status, self.output, self.error, self.cause) = (status, output, error, cause);
        self.stopped_at = outcome.map(|_| at);
    }
}

const COLUMNS: &str = "arn, name, machine_arn, definition, role, status, input, output, error, cause, started_at, \
                       stopped_at, redrive_count, redriven_at, seed, revision, test_case";

/// Inserts a new execution and gives its row; `None`: there is one with its ARN.
pub(super) fn insert(connection: &Connection, it: &Execution) -> rusqlite::Result<Option<i64>> {
    let sql = format!(
        "INSERT INTO executions ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (arn) DO NOTHING"
    );
    let done = connection.prepare_cached(&sql)?.execute(params![
        it.arn,
        it.name,
        it.machine_arn,
        it.definition,
        it.role,
        it.status,
        it.input,
        it.output,
        it.error,
        it.cause,
        it.started_at.to_string(),
        it.stopped_at.map(|at| at.to_string()),
        it.redrive_count,
        it.redriven_at.map(|at| at.to_string()),
        it.seed.cast_signed(),
        it.revision,
        it.test_case,
    ])?;
    Ok((done == 1).then(|| connection.last_insert_rowid()))
}

/// Updates the status of an execution.
pub(super) fn update(connection: &Connection, it: &Execution) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE executions SET status = ?2, output = ?3, error = ?4, cause = ?5, stopped_at = ?6, \
             redrive_count = ?7, redriven_at = ?8, revision = ?9, definition = ?10 WHERE id = ?1",
        )?
        .execute(params![
            it.id,
            it.status,
            it.output,
            it.error,
            it.cause,
            it.stopped_at.map(|at| at.to_string()),
            it.redrive_count,
            it.redriven_at.map(|at| at.to_string()),
            it.revision,
            it.definition,
        ])?;
    Ok(())
}

/// The execution with this ARN.
pub(super) fn one(connection: &Connection, arn: &str) -> rusqlite::Result<Option<Execution>> {
    let sql = format!("SELECT id, {COLUMNS} FROM executions WHERE arn = ?1");
    connection.prepare_cached(&sql)?.query_row([arn], read).optional()
}

/// The latest executions, newest first.
pub(super) fn list(connection: &Connection, filter: &ListFilter) -> rusqlite::Result<Vec<Execution>> {
    let ListFilter { machine_arn, status, before, limit } = filter;
    let of_machine = if machine_arn.is_some() { "machine_arn = ?1" } else { "?1 IS NULL" };
    let sql = format!(
        "SELECT id, {COLUMNS} FROM executions WHERE {of_machine} AND (?2 IS NULL OR status = ?2) \
         AND id < ?3 ORDER BY id DESC LIMIT ?4"
    );
    let before = before.unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map(params![machine_arn, status, before, limit], read)?.collect()
}

/// Deletes every execution of a machine, with their journals.
pub(super) fn delete(connection: &Connection, machine_arn: &str) -> rusqlite::Result<()> {
    let sql = "DELETE FROM journal WHERE execution IN (SELECT id FROM executions WHERE machine_arn = ?1)";
    connection.execute(sql, [machine_arn])?;
    connection.execute("DELETE FROM executions WHERE machine_arn = ?1", [machine_arn])?;
    Ok(())
}

/// The names of a machine's executions that ended without success before this moment.
pub(super) fn failed_before(
    connection: &Connection,
    machine: &str,
    before: Timestamp,
) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare_cached(
            "SELECT name FROM executions WHERE machine_arn = ?1 AND stopped_at < ?2 \
             AND status IN ('FAILED', 'TIMED_OUT', 'ABORTED')",
        )?
        .query_map([machine, &before.to_string()], |row| row.get(0))?
        .collect()
}

/// The executions that have not ended, oldest first.
pub(super) fn running(connection: &Connection) -> rusqlite::Result<Vec<Execution>> {
    let sql = format!("SELECT id, {COLUMNS} FROM executions WHERE status = 'RUNNING' ORDER BY id");
    connection.prepare_cached(&sql)?.query_map([], read)?.collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<Execution> {
    let time = |column: usize| -> rusqlite::Result<Option<Timestamp>> {
        let text: Option<String> = row.get(column)?;
        Ok(text.and_then(|text| text.parse().ok()))
    };
    Ok(Execution {
        id: row.get(0)?,
        arn: row.get(1)?,
        name: row.get(2)?,
        machine_arn: row.get(3)?,
        definition: row.get(4)?,
        role: row.get(5)?,
        status: row.get(6)?,
        input: row.get(7)?,
        output: row.get(8)?,
        error: row.get(9)?,
        cause: row.get(10)?,
        started_at: time(11)?.unwrap_or(Timestamp::UNIX_EPOCH),
        stopped_at: time(12)?,
        redrive_count: row.get(13)?,
        redriven_at: time(14)?,
        seed: row.get::<_, i64>(15)?.cast_unsigned(),
        revision: row.get(16)?,
        test_case: row.get(17)?,
    })
}
