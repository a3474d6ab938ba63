//! The table `definitions`: each text that an execution was started with, once. A run continues with its own definition
//! after any change of the machine.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use rusqlite::{Connection, OptionalExtension};
use sqlite_store::Readers;
use states::StateMachine;

/// Definitions by their names in the table.
#[derive(Debug, Default)]
pub struct Definitions {
    known: Mutex<HashMap<String, Arc<StateMachine>>>,
}

impl Definitions {
    /// Whether the table is known to have it.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.known.lock().is_ok_and(|known| known.contains_key(name))
    }

    /// Notes that the table has it.
    pub(super) fn note(&self, name: &str, machine: &Arc<StateMachine>) {
        if let Ok(mut known) = self.known.lock() {
            known.insert(name.to_owned(), Arc::clone(machine));
        }
    }

    /// The machine of a stored definition.
    pub(super) fn machine(&self, name: &str, readers: &Readers) -> Result<Arc<StateMachine>, String> {
        let known = self.known.lock().ok().and_then(|known| known.get(name).cloned());
        if let Some(machine) = known {
            return Ok(machine);
        }
        let text = readers.with(|connection| find(connection, name)).map_err(|error| error.to_string())?;
        let text = text.ok_or("its definition was not kept")?;
        // The resources were checked when the execution started, with the mocks of that time.
        let machine = StateMachine::parse(&text, &|_| Ok(())).map_err(|problems| problems.to_string())?;
        self.note(name, &machine);
        Ok(machine)
    }
}

/// Stores a text.
pub(super) fn keep(connection: &Connection, name: &str, text: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO definitions (name, text) VALUES (?1, ?2)")?
        .execute([name, text])?;
    Ok(())
}

/// A stored text.
pub(super) fn find(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT text FROM definitions WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}
