//! The writer: one thread, one connection. Writes that wait while a commit is being synced go together
//! into the next one (group commit).

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use kernel::store::{Condition, Item, StoreError, Table, Written};
use rusqlite::{Connection, params};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, oneshot},
};

use super::{
    checkpoint::Checkpointer,
    failure, read, schema,
    write_queue::{Job, OnCommit, Priority, WriteQueue},
};

/// How many writes at the front go into one transaction before one in bulk does; twice as many go in at the most.
const MAX_GROUP: usize = 512;
/// For how long a transaction takes in what is in bulk: whoever comes to the front meanwhile waits for its end.
const MAX_BACKGROUND_TIME: Duration = Duration::from_millis(2);
/// The same while nobody comes to the front: fewer commits are less work.
const MAX_QUIET_BACKGROUND_TIME: Duration = Duration::from_millis(20);
/// Nobody does when nobody did for so long.
const QUIET_AFTER: Duration = Duration::from_millis(500);
/// How many may wait before callers are held up.
const MAX_WAITING_WRITES: usize = 4096;

/// The one that writes the file.
pub struct Writer {
    queue: Arc<WriteQueue>,
    /// Who waits for a place in the line holds up no thread.
    room: Arc<Semaphore>,
    /// Until it is waited for.
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

    /// A clean end: writes what waits, leaves nothing in flight, folds the log. Every later write is refused. Not for the
    /// writer's own thread.
    pub fn close(&self) {
        self.queue.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A panic of it has been told.
        let Some(Ok((connection, checkpointer))) = thread.map(JoinHandle::join) else { return };
        if let Err(error) = schema::release_in_flight(&connection) {
            tracing::warn!("what was worked on counts as if the process had died: {}", failure(&error));
        }
        checkpointer.finish(&connection);
    }

    /// Makes a change before anything else runs, on a thread that may wait.
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

    /// Makes a change and waits until it is on the disk. `then` learns what came of it, on the writer's thread, also
    /// where nobody waits any longer.
    pub async fn write_then<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        then: impl FnOnce(&Result<T, StoreError>) + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write_at(Priority::Background, change, then).await
    }

    /// As [`Writer::write_then`], before all that does not come this way: for what is small and waited for outside.
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
                // The receiver lives until `done` ran; a failed send means that nobody waits any more.
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

/// Whether nothing came to the front for a while.
fn is_quiet(interactive: Option<Instant>) -> bool {
    interactive.is_none_or(|interactive| interactive.elapsed() > QUIET_AFTER)
}

/// What goes into one commit.
#[derive(Default)]
struct Group {
    done: Vec<OnCommit>,
    /// Where the first is waited for: at the front, if anything came there.
    runtime: Option<Handle>,
}

impl Group {
    /// Writes what waits. `interactive` is when something was at the front last.
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
        // One in bulk has its turn at least, however many come to the front.
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
            // The commit's error is the one to tell; a rollback that fails too leaves nothing committed either.
            let _ = connection.execute_batch("ROLLBACK");
        }
        committed
    }

    fn add(&mut self, job: Job, has_begun: bool, connection: &Connection) {
        // An error of the disk may have rolled the transaction back: outside of it a change would be kept by itself,
        // and its caller be told that it failed.
        if has_begun && !connection.is_autocommit() {
            (job.change)(connection);
        }
        if self.done.is_empty() {
            self.runtime = job.runtime;
        }
        self.done.push(job.done);
    }

    /// Tells everyone. Told by the writer, each one would be a thread of the runtime woken.
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

/// Puts an item if its condition holds.
pub(super) fn put(
    connection: &Connection,
    table: Table,
    item: &Item,
    condition: Condition,
) -> rusqlite::Result<Written> {
    let Item { partition, sort, version, body } = item;
    // SQLite's integers are signed; the bits are what counts.
    let version = version.cast_signed();
    let done = match condition {
        Condition::None => connection
            .prepare_cached(&format!("INSERT OR REPLACE INTO {} VALUES (?1, ?2, ?3, ?4)", table.name()))?
            .execute(params![partition, sort, version, body])?,
        Condition::Absent => connection
            .prepare_cached(&format!("INSERT OR IGNORE INTO {} VALUES (?1, ?2, ?3, ?4)", table.name()))?
            .execute(params![partition, sort, version, body])?,
        Condition::Version(expected) => connection
            .prepare_cached(&format!(
                "UPDATE {} SET version = ?3, body = ?4 WHERE partition = ?1 AND sort = ?2 AND version = ?5",
                table.name()
            ))?
            .execute(params![partition, sort, version, body, expected.cast_signed()])?,
    };
    if done == 1 {
        return Ok(Written::Done);
    }
    Ok(Written::Conflict(read::get(connection, table, partition, sort)?))
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

    /// Where an error of the disk undoes what was being written, nothing of it is kept, and all are told so.
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
