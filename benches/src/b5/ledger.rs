//! What the server has kept, read out of its file: the oracle of a run.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::servers::until;
use crate::error::Error;

/// The file of a data folder, to look only.
pub(super) struct Ledger(Connection);

fn broken(error: rusqlite::Error) -> Error {
    Error::wrong("crmflow", format!("its file cannot be read: {error}"))
}

impl Ledger {
    pub(super) fn open(data: &Path) -> Result<Self, Error> {
        let opened = Connection::open_with_flags(data.join("crmflow.db"), OpenFlags::SQLITE_OPEN_READ_ONLY);
        Ok(Self(opened.map_err(broken)?))
    }

    fn count(&self, sql: &str) -> Result<u64, Error> {
        let count = self.0.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(broken)?;
        Ok(count.cast_unsigned())
    }

    /// Waits until the queue of events is empty.
    pub(super) fn wait_until_routed(&mut self) -> Result<(), Error> {
        until("that the queue is empty", || {
            Ok(self.count("SELECT count(*) FROM queue_messages WHERE queue = 'EventsQueue'")? == 0)
        })
    }

    /// So many requests wait in the queue of events, or more: answers may have been on their way at the end.
    pub(super) fn waits(&self, answered: u64) -> Result<(), Error> {
        let kept = self.count("SELECT count(*) FROM queue_messages WHERE queue = 'EventsQueue'")?;
        if kept >= answered {
            return Ok(());
        }
        Err(Error::wrong("crmflow", format!("{answered} requests were answered, and {kept} are kept")))
    }

    /// Every one of these events is stored, once, and nothing else is.
    pub(super) fn check(&self, ids: &[String]) -> Result<(), Error> {
        let stored = self.count("SELECT count(*) FROM events")?;
        self.has(ids)?;
        if stored == ids.len() as u64 {
            return Ok(());
        }
        Err(Error::wrong("crmflow", format!("{stored} events are stored; {} is right", ids.len())))
    }

    /// Every one of these events is stored.
    pub(super) fn has(&self, ids: &[String]) -> Result<(), Error> {
        let sql = "SELECT count(*) FROM events WHERE partition = 'default/' || ?1";
        let mut find = self.0.prepare(sql).map_err(broken)?;
        for id in ids {
            let found: i64 = find.query_row([id], |row| row.get(0)).map_err(broken)?;
            if found != 1 {
                return Err(Error::wrong(
                    "crmflow",
                    format!("the event {id} was acknowledged and is not there"),
                ));
            }
        }
        Ok(())
    }
}
