//! Checkpoints of the write-ahead log, on a thread beside the writer. SQLite itself would checkpoint inside of a
//! commit, and the callers of that commit would wait for tens of megabytes.

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

/// The log size in pages of 4 KiB that starts a checkpoint while interactive writes wait: 8 MiB. A larger sync would
/// delay their commits.
const CHECKPOINT_PAGES: i32 = 2 * 1024;
/// The same without interactive writes, 64 MiB: a page that changed often is copied once.
const QUIET_CHECKPOINT_PAGES: i32 = 16 * 1024;
/// At this log size the writer waits for the checkpoint: the disk is slower than the writes.
const MAX_LOG_PAGES: i32 = 64 * 1024;
/// How many pages the writer checkpoints itself: the log restarts only after a complete checkpoint.
const MAX_PAGES_FOR_WRITER: i64 = 256;
/// How many passes a checkpoint makes beside the writer, which adds pages meanwhile.
const MAX_ROUNDS: usize = 4;
/// How long the last checkpoint waits for active readers.
const LAST_CHECKPOINT_TIMEOUT: Duration = Duration::from_secs(5);

thread_local! {
    /// The log size in pages after the last commit of this thread.
    static WRITTEN: Cell<i32> = const { Cell::new(0) };
}

/// Checkpoints the log of one file.
pub(super) struct Checkpointer {
    begin: SyncSender<()>,
    ended: Receiver<()>,
    is_under_way: bool,
}

impl Checkpointer {
    /// Starts a checkpointer for a file and the connection that writes it.
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
                    // The send fails if the writer has ended.
                    let _ = end.send(());
                }
            })
            .map_err(|error| StoreError::Refused(error.to_string()))?;
        Ok(Self { begin, ended, is_under_way: false })
    }

    /// Starts or completes a checkpoint after a commit of the writer. `is_quiet`: no interactive write arrived for a
    /// while.
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

    /// Checkpoints the whole log after the last commit, so that the file is complete without it. If a reader of another
    /// process prevents that, the log remains, and nothing is lost.
    pub(super) fn finish(self, writer: &Connection) {
        drop(self.begin);
        // The thread ends when its channel closes; until then a checkpoint may be under way.
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

/// Checkpoints the pages that no reader needs any more; gives how many remain. On a full disk all of them remain.
fn checkpoint(connection: &Connection) -> i64 {
    let folded = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?)
    });
    folded.unwrap_or(0)
}
