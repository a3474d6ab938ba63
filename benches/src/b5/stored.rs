//! The stored events and requests of the server, read from its database: the oracle of a run.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::servers::until;
use crate::error::Error;

/// The database of a data folder, opened read-only.
pub(super) struct StoredEvents(Connection);

fn broken(error: rusqlite::Error) -> Error {
    Error::wrong("crmflow", format!("its database cannot be read: {error}"))
}

impl StoredEvents {
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
        until("the queue of events is empty", || {
            Ok(self.count("SELECT count(*) FROM queue_messages WHERE queue = 'EventsQueue'")? == 0)
        })
    }

    /// Checks that the queue has at least as many requests as were answered. It may have more: the run can end before an
    /// answer arrives.
    pub(super) fn waits(&self, answered: u64) -> Result<(), Error> {
        let kept = self.count("SELECT count(*) FROM queue_messages WHERE queue = 'EventsQueue'")?;
        if kept >= answered {
            return Ok(());
        }
        Err(Error::wrong(
            "crmflow",
            format!("the server answered {answered} requests, and its queue has {kept}"),
        ))
    }

    /// Checks that each of these events is stored once, and no other.
    pub(super) fn check(&self, ids: &[String]) -> Result<(), Error> {
        let stored = self.count("SELECT count(*) FROM events")?;
        self.has(ids)?;
        if stored == ids.len() as u64 {
            return Ok(());
        }
        Err(Error::wrong(
            "crmflow",
            format!("{stored} events are stored, and {} were acknowledged", ids.len()),
        ))
    }

    /// Checks that each of these events is stored.
    pub(super) fn has(&self, ids: &[String]) -> Result<(), Error> {
        let sql = "SELECT count(*) FROM events WHERE partition = 'default/' || ?1";
        let mut find = self.0.prepare(sql).map_err(broken)?;
        for id in ids {
            let found: i64 = find.query_row([id], |row| row.get(0)).map_err(broken)?;
            if found != 1 {
                return Err(Error::wrong(
                    "crmflow",
                    format!("the event {id} was acknowledged and is not stored"),
                ));
            }
        }
        Ok(())
    }
}
