//! The table `definitions`: each text that an execution was started with, once. A run goes on with its own,
//! whatever became of the machine since.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use rusqlite::{Connection, OptionalExtension};
use sqlite_store::Readers;
use states::StateMachine;

/// Definitions by the names they are kept by.
#[derive(Debug, Default)]
pub struct Definitions {
    known: Mutex<HashMap<String, Arc<StateMachine>>>,
}

impl Definitions {
    /// Whether the table is known to hold it.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.known.lock().is_ok_and(|known| known.contains_key(name))
    }

    /// Notes that the table holds it.
    pub(super) fn note(&self, name: &str, machine: &Arc<StateMachine>) {
        if let Ok(mut known) = self.known.lock() {
            known.insert(name.to_owned(), Arc::clone(machine));
        }
    }

    /// The machine of a definition that was kept.
    pub(super) fn machine(&self, name: &str, readers: &Readers) -> Result<Arc<StateMachine>, String> {
        let known = self.known.lock().ok().and_then(|known| known.get(name).cloned());
        if let Some(machine) = known {
            return Ok(machine);
        }
        let text = readers.with(|connection| find(connection, name)).map_err(|error| error.to_string())?;
        let text = text.ok_or("its definition was not kept")?;
        // What this host can run was looked at when the execution started, with the mocks that there were.
        let machine = StateMachine::parse(&text, &|_| Ok(())).map_err(|problems| problems.to_string())?;
        self.note(name, &machine);
        Ok(machine)
    }
}

/// Keeps a text.
pub(super) fn keep(connection: &Connection, name: &str, text: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO definitions (name, text) VALUES (?1, ?2)")?
        .execute([name, text])?;
    Ok(())
}

/// A text that was kept.
pub(super) fn find(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT text FROM definitions WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}
