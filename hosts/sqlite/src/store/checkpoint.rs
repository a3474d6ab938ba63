//! The write-ahead log, folded into the file beside the writer: SQLite itself would do it inside of a commit, and
//! whoever waits for that commit would wait for tens of megabytes.

use std::{
    cell::Cell,
    path::Path,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use kernel::store::StoreError;
use rusqlite::{Connection, hooks::Wal};

use super::failure;

/// The log is folded when it has so many pages of 4 KiB, 8 MiB, while somebody waits at the front: what is synced at
/// once holds up their commits.
const CHECKPOINT_PAGES: i32 = 2 * 1024;
/// The same while nobody does, 64 MiB: a page that changed often is folded once.
const QUIET_CHECKPOINT_PAGES: i32 = 16 * 1024;
/// With so many the writer waits until it is: the disk is slower than what is written.
const MAX_LOG_PAGES: i32 = 64 * 1024;
/// What the writer folds itself, since the log begins anew only when all of it is folded.
const MAX_PAGES_FOR_WRITER: i64 = 256;
/// How often the rest is folded beside the writer, which adds to it meanwhile.
const MAX_ROUNDS: usize = 4;
/// How long the last fold waits for readers that are at work.
const LAST_CHECKPOINT_TIMEOUT: Duration = Duration::from_secs(5);

thread_local! {
    /// How many pages the log has, after the last commit of this thread.
    static WRITTEN: Cell<i32> = const { Cell::new(0) };
}

/// Folds the log of one file.
pub(super) struct Checkpointer {
    begin: SyncSender<()>,
    ended: Receiver<()>,
    is_under_way: bool,
}

impl Checkpointer {
    /// For a file, and the connection that writes it.
    pub(super) fn start(file: &Path, writer: &mut Connection) -> Result<Self, StoreError> {
        let hook = |_: &mut Wal, pages| {
            WRITTEN.set(pages);
            Ok(())
        };
        writer.wal_hook(Some(hook)).map_err(|error| failure(&error))?;
        let connection = Connection::open(file).map_err(|error| failure(&error))?;
        let ((begin, begun), (end, ended)) = (sync_channel(1), sync_channel(1));
        thread::Builder::new()
            .name("sqlite-fold".into())
            .spawn(move || {
                while begun.recv().is_ok() {
                    for _ in 0..MAX_ROUNDS {
                        if checkpoint(&connection) < MAX_PAGES_FOR_WRITER {
                            break;
                        }
                    }
                    // The writer may be gone.
                    let _ = end.send(());
                }
            })
            .map_err(|error| StoreError::Refused(error.to_string()))?;
        Ok(Self { begin, ended, is_under_way: false })
    }

    /// Sees to the log after a commit of the writer. Quiet is it where nobody came to the front.
    pub(super) fn after_commit(&mut self, writer: &Connection, is_quiet: bool) {
        let pages = WRITTEN.get();
        if !self.is_under_way {
            let enough = if is_quiet { QUIET_CHECKPOINT_PAGES } else { CHECKPOINT_PAGES };
            self.is_under_way = pages >= enough && self.begin.try_send(()).is_ok();
            return;
        }
        let has_ended =
            if pages < MAX_LOG_PAGES { self.ended.try_recv().is_ok() } else { self.ended.recv().is_ok() };
        if has_ended {
            checkpoint(writer);
            self.is_under_way = false;
        }
    }

    /// Folds all of the log, behind the last commit: the file is whole without it then. Where a reader of another
    /// process holds it up, the log stays, and nothing is lost.
    pub(super) fn finish(self, writer: &Connection) {
        drop(self.begin);
        // The thread ends once it has nobody to hear from; until then it may be folding.
        while self.ended.recv().is_ok() {}
        let folded = writer.busy_timeout(LAST_CHECKPOINT_TIMEOUT).and_then(|()| {
            writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0))
        });
        match folded {
            Ok(false) => {}
            Ok(true) => tracing::warn!("the log of crmflow.db is being read by another process and stays"),
            Err(error) => tracing::warn!("the log of crmflow.db stays: {}", failure(&error)),
        }
    }
}

/// Folds what no reader needs any more; gives how many pages are left. A disk that is full leaves them all.
fn checkpoint(connection: &Connection) -> i64 {
    let folded = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?)
    });
    folded.unwrap_or(0)
}
