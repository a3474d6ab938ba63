//! The writer: one thread, one connection. Writes that wait while a commit is being synced go together
//! into the next one (group commit).

use std::{
    mem::discriminant,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use kernel::store::{Condition, Item, StoreError, Table, Written};
use rusqlite::{Connection, Statement, params};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, oneshot},
};

use super::{
    checkpoint::Checkpointer,
    failure, read, schema,
    write_queue::{Job, OnCommit, Priority, WriteQueue},
};

/// How many interactive writes are in a transaction before a background write is added. A transaction has at most twice
/// as many writes.
const MAX_GROUP: usize = 512;
/// How long a transaction adds background writes: an interactive write that arrives meanwhile waits for its end.
const MAX_BACKGROUND_TIME: Duration = Duration::from_millis(2);
/// The same while no interactive write arrives: fewer commits are less work.
const MAX_QUIET_BACKGROUND_TIME: Duration = Duration::from_millis(20);
/// After so long without an interactive write none is expected.
const QUIET_AFTER: Duration = Duration::from_millis(500);
/// How many writes may wait before callers are blocked.
const MAX_WAITING_WRITES: usize = 4096;

/// The writer of the file.
pub struct Writer {
    queue: Arc<WriteQueue>,
    /// Limits the queue; a caller that waits for space blocks no thread.
    room: Arc<Semaphore>,
    /// `None` once it was joined.
    thread: Mutex<Option<JoinHandle<(Connection, Checkpointer)>>>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Writer {
    pub(super) fn start(connection: Connection, checkpointer: Checkpointer) -> Result<Self, StoreError> {
        let queue = Arc::<WriteQueue>::default();
        let jobs = Arc::clone(&queue);
        let thread = thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || run(connection, &jobs, checkpointer))
            .map_err(|error| StoreError::Refused(error.to_string()))?;
        Ok(Self {
            queue,
            room: Arc::new(Semaphore::new(MAX_WAITING_WRITES)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// No writer: every write is refused.
    pub(super) fn none() -> Self {
        let queue = Arc::<WriteQueue>::default();
        queue.close();
        Self { queue, room: Arc::new(Semaphore::new(1)), thread: Mutex::default() }
    }

    /// Ends cleanly: writes the queued changes, releases the messages in flight, and checkpoints the log. Every later
    /// write is refused. The writer's own thread must not call this.
    pub fn close(&self) {
        self.queue.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A panic of the thread was logged.
        let Some(Ok((connection, checkpointer))) = thread.map(JoinHandle::join) else { return };
        if let Err(error) = schema::release_in_flight(&connection) {
            tracing::warn!("what was worked on counts as if the process had died: {}", failure(&error));
        }
        checkpointer.finish(&connection);
    }

    /// Makes a change and blocks until it is on the disk: for the start, when no other task runs.
    pub fn write_blocking<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let ((made, result), (tell, told)) = (mpsc::sync_channel(1), mpsc::sync_channel(1));
        let job = Job {
            runtime: None,
            // Both receivers live until this returns.
            change: Box::new(move |connection| _ = made.send(change(connection))),
            done: Box::new(move |committed| _ = tell.send(committed)),
        };
        if !self.queue.push(job, Priority::Interactive) {
            return Err(gone());
        }
        told.recv().map_err(|_| gone())??;
        result.try_recv().map_err(|_| gone())?.map_err(|error| failure(&error))
    }

    /// Makes a change and waits until it is on the disk.
    pub async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write_then(change, |_| {}).await
    }

    /// Makes a change and waits until it is on the disk. The writer's thread calls `then` with the result, even if the
    /// caller has gone.
    pub async fn write_then<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        then: impl FnOnce(&Result<T, StoreError>) + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write_at(Priority::Background, change, then).await
    }

    /// As [`Writer::write_then`], with the interactive priority: for small changes that a client waits for.
    pub async fn write_first<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        then: impl FnOnce(&Result<T, StoreError>) + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write_at(Priority::Interactive, change, then).await
    }

    async fn write_at<T: Send + 'static>(
        &self,
        priority: Priority,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        then: impl FnOnce(&Result<T, StoreError>) + Send + 'static,
    ) -> Result<T, StoreError> {
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(|_| gone())?;
        let (answer, answered) = oneshot::channel();
        let (made, result) = mpsc::sync_channel(1);
        let job = Job {
            runtime: Handle::try_current().ok(),
            change: Box::new(move |connection| {
                // The receiver lives until `done` ran; a failed send means that the caller has gone.
                let _ = made.send(change(connection));
            }),
            done: Box::new(move |committed| {
                drop(room);
                let came = match (committed, result.try_recv()) {
                    (Ok(()), Ok(made)) => made.map_err(|error| failure(&error)),
                    (Err(error), _) => Err(error),
                    (Ok(()), Err(_)) => Err(gone()),
                };
                then(&came);
                let _ = answer.send(came);
            }),
        };
        if !self.queue.push(job, priority) {
            return Err(gone());
        }
        answered.await.map_err(|_| gone())?
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("the writer has stopped".into())
}

fn run(
    connection: Connection,
    queue: &WriteQueue,
    mut checkpointer: Checkpointer,
) -> (Connection, Checkpointer) {
    let mut interactive = None;
    while queue.wait() {
        let mut group = Group::default();
        let committed = group.commit(&connection, queue, &mut interactive);
        group.tell(&committed);
        checkpointer.after_commit(&connection, is_quiet(interactive));
    }
    (connection, checkpointer)
}

/// Whether no interactive write arrived for a while.
fn is_quiet(interactive: Option<Instant>) -> bool {
    interactive.is_none_or(|interactive| interactive.elapsed() > QUIET_AFTER)
}

/// The writes of one commit.
#[derive(Default)]
struct Group {
    done: Vec<OnCommit>,
    /// The runtime of the first caller, an interactive one if there is any.
    runtime: Option<Handle>,
}

impl Group {
    /// Writes the queued changes. `interactive` is the time of the last interactive write.
    fn commit(
        &mut self,
        connection: &Connection,
        queue: &WriteQueue,
        interactive: &mut Option<Instant>,
    ) -> Result<(), StoreError> {
        let begun = connection.execute_batch("BEGIN IMMEDIATE").map_err(|error| failure(&error));
        let began = Instant::now();
        while self.done.len() < MAX_GROUP
            && let Some(job) = queue.next(Priority::Interactive)
        {
            self.add(job, begun.is_ok(), connection);
            *interactive = Some(began);
        }
        // At least one background write is added, however many interactive ones arrive.
        let mut next = queue.next(Priority::Background);
        let slice = if is_quiet(*interactive) { MAX_QUIET_BACKGROUND_TIME } else { MAX_BACKGROUND_TIME };
        while let Some(job) = next {
            self.add(job, begun.is_ok(), connection);
            let has_room = self.done.len() < 2 * MAX_GROUP && began.elapsed() < slice;
            next = if has_room { queue.next_of_any() } else { None };
        }
        begun?;
        if connection.is_autocommit() {
            return Err(StoreError::Unavailable("an error of the disk undid what was being written".into()));
        }
        let committed = connection.execute_batch("COMMIT").map_err(|error| failure(&error));
        if committed.is_err() && !connection.is_autocommit() {
            // The commit's error is reported; nothing is committed if the rollback fails too.
            let _ = connection.execute_batch("ROLLBACK");
        }
        committed
    }

    fn add(&mut self, job: Job, has_begun: bool, connection: &Connection) {
        // A disk error may have rolled the transaction back. Outside of it the change would be committed alone,
        // although its caller gets an error.
        if has_begun && !connection.is_autocommit() {
            (job.change)(connection);
        }
        if self.done.is_empty() {
            self.runtime = job.runtime;
        }
        self.done.push(job.done);
    }

    /// Passes the result to every caller, on a thread of the runtime: the writer would wake one thread for each caller.
    fn tell(self, committed: &Result<(), StoreError>) {
        let (done, committed) = (self.done, committed.clone());
        let is_one = done.len() == 1;
        let tell = move || done.into_iter().for_each(|tell| tell(committed.clone()));
        match self.runtime {
            Some(runtime) if !is_one => _ = runtime.spawn(async { tell() }),
            _ => tell(),
        }
    }
}

/// Puts each item whose condition holds. Neighbours with the same kind of condition share their prepared statement.
pub(super) fn put_all(
    connection: &Connection,
    table: Table,
    puts: &[(Item, Condition)],
) -> rusqlite::Result<Vec<Written>> {
    let mut written = Vec::with_capacity(puts.len());
    for puts in puts.chunk_by(|(_, a), (_, b)| discriminant(a) == discriminant(b)) {
        let mut statement = connection.prepare_cached(&put_statement(table, puts[0].1))?;
        for (item, condition) in puts {
            written.push(match put(&mut statement, item, *condition)? {
                1 => Written::Done,
                _ => Written::Conflict(read::get(connection, table, &item.partition, &item.sort)?),
            });
        }
    }
    Ok(written)
}

fn put_statement(table: Table, condition: Condition) -> String {
    let table = table.name();
    match condition {
        Condition::None => format!("INSERT OR REPLACE INTO {table} VALUES (?1, ?2, ?3, ?4)"),
        Condition::Absent => format!("INSERT OR IGNORE INTO {table} VALUES (?1, ?2, ?3, ?4)"),
        Condition::Version(_) => format!(
            "UPDATE {table} SET version = ?3, body = ?4 WHERE partition = ?1 AND sort = ?2 AND version = ?5"
        ),
    }
}

/// Puts an item; returns how many rows that changed.
fn put(statement: &mut Statement<'_>, item: &Item, condition: Condition) -> rusqlite::Result<usize> {
    let Item { partition, sort, version, body } = item;
    // SQLite's integers are signed; only the bits matter.
    let version = version.cast_signed();
    match condition {
        Condition::None | Condition::Absent => statement.execute(params![partition, sort, version, body]),
        Condition::Version(expected) => {
            statement.execute(params![partition, sort, version, body, expected.cast_signed()])
        }
    }
}

/// Raises an item's version to `least`, or by one; the version then.
pub(super) fn raise(
    connection: &Connection,
    table: Table,
    partition: &str,
    sort: &str,
    least: u64,
) -> rusqlite::Result<u64> {
    let raised: i64 = connection
        .prepare_cached(&format!(
            "INSERT INTO {} VALUES (?1, ?2, ?3, '{{}}') ON CONFLICT (partition, sort) \
             DO UPDATE SET version = max(version + 1, excluded.version) RETURNING version",
            table.name()
        ))?
        .query_row(params![partition, sort, least.cast_signed()], |row| row.get(0))?;
    Ok(raised.cast_unsigned())
}

/// Deletes an item, if there is one.
pub(super) fn delete(
    connection: &Connection,
    table: Table,
    partition: &str,
    sort: &str,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(&format!("DELETE FROM {} WHERE partition = ?1 AND sort = ?2", table.name()))?
        .execute(params![partition, sort])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After a disk error nothing of the transaction is stored, and every caller gets the error.
    #[test]
    fn a_failed_commit_stores_nothing() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE kept (name TEXT)").unwrap();
        let queue = WriteQueue::default();
        let changes = ["INSERT INTO kept VALUES ('a')", "ROLLBACK", "INSERT INTO kept VALUES ('b')"];
        for change in changes {
            let change = move |connection: &Connection| _ = connection.execute_batch(change);
            assert!(queue.push(
                Job { change: Box::new(change), runtime: None, done: Box::new(|_| {}) },
                Priority::Interactive
            ));
        }
        let mut group = Group::default();
        let committed = group.commit(&connection, &queue, &mut None);
        assert_eq!(group.done.len(), changes.len());
        assert!(matches!(committed, Err(StoreError::Unavailable(_))), "{committed:?}");
        let kept = connection.query_row("SELECT count(*) FROM kept", [], |row| row.get(0));
        assert_eq!(kept, Ok(0));
    }
}
