//! The machines that can be started: those of the template, and those that clients created. All are stored with every
//! revision of their definitions, since an execution continues with the revision of its start.

mod table;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use jiff::Timestamp;
use kernel::store::StoreError;
use rusqlite::Connection;
use sqlite_store::SqliteStore;
use states::{Problems, StateMachine};
use template::{Machine, Template};

pub(crate) use table::{Created, StoredMachine, Tags, put_tags};

use crate::clock;

/// Why the template's machines were not stored.
#[derive(Debug)]
pub enum SyncError {
    /// A client created a machine of this name.
    Clash(String),
    /// The store failed.
    Store(StoreError),
}

impl From<StoreError> for SyncError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The machines of a data folder. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Machines {
    store: SqliteStore,
    /// Definitions that were parsed, by revision.
    parsed: Arc<Mutex<HashMap<String, Arc<Machine>>>>,
}

impl Machines {
    /// The machines in a store.
    pub fn new(store: SqliteStore) -> Self {
        Self { store, parsed: Arc::default() }
    }

    /// Stores the machines of the template, and deletes those that the template no longer has.
    pub async fn sync_template(&self, template: &Template) -> Result<(), SyncError> {
        let machines: Vec<_> = template.machines.iter().map(|machine| of_template(machine)).collect();
        let clash =
            self.store.writer.write(move |connection| table::sync_template(connection, &machines)).await?;
        match clash {
            None => Ok(()),
            Some(name) => Err(SyncError::Clash(name)),
        }
    }

    /// Stores a new machine, unless there is one of its name.
    pub(crate) async fn create(&self, machine: StoredMachine, tags: Tags) -> Result<Created, StoreError> {
        self.store.writer.write(move |connection| table::create(connection, &machine, &tags)).await
    }

    /// Stores a new revision of a machine; `false`: the machine was deleted.
    pub(crate) async fn update(&self, machine: StoredMachine) -> Result<bool, StoreError> {
        self.store.writer.write(move |connection| table::update(connection, &machine)).await
    }

    /// Marks a machine as being deleted: no execution of it can start any more.
    pub async fn mark_deleting(&self, arn: &str) -> Result<(), StoreError> {
        let arn = arn.to_owned();
        self.store.writer.write(move |connection| table::mark_deleting(connection, &arn)).await
    }

    /// Deletes a machine with all its revisions and tags; `others` deletes its executions in the same commit.
    pub(crate) async fn delete(
        &self,
        arn: &str,
        others: fn(&Connection, &str) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let arn = arn.to_owned();
        let forgotten = self.store.writer.write(move |connection| {
            others(connection, &arn)?;
            table::delete(connection, &arn)
        });
        let revisions = forgotten.await?;
        if let Ok(mut parsed) = self.parsed.lock() {
            parsed.retain(|revision, _| !revisions.contains(revision));
        }
        Ok(())
    }

    /// The machine with this ARN, in its latest revision.
    pub fn find(&self, arn: &str) -> Result<Option<StoredMachine>, StoreError> {
        self.store.readers.with(|connection| table::find(connection, arn))
    }

    /// A machine as it was at a time.
    pub(crate) fn revision(&self, arn: &str, time: Timestamp) -> Result<Option<StoredMachine>, StoreError> {
        self.store.readers.with(|connection| table::revision(connection, arn, time))
    }

    /// The ARNs of machines that were being deleted when the program ended.
    pub(crate) fn deleting(&self) -> Result<Vec<String>, StoreError> {
        self.store.readers.with(table::deleting)
    }

    /// Machines, the latest first, behind the one with this key.
    pub(crate) fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<StoredMachine>, StoreError> {
        self.store.readers.with(|connection| table::list(connection, after, limit))
    }

    /// A stored machine, ready to run; `check` gives the reason why this host cannot run a resource.
    pub(crate) fn ready(
        &self,
        stored: &StoredMachine,
        check: &dyn Fn(&str) -> Result<(), String>,
    ) -> Result<Arc<Machine>, Problems> {
        let found = self.parsed.lock().ok().and_then(|parsed| parsed.get(&stored.revision).cloned());
        if let Some(machine) = found {
            return Ok(machine);
        }
        let StoredMachine { arn, express, definition, role, .. } = stored;
        let parsed = StateMachine::parse_as(template::machine_type(*express), definition, &check)?;
        let machine = Machine::new(arn, *express, definition, role, parsed);
        let machine = Arc::new(machine);
        if let Ok(mut parsed) = self.parsed.lock() {
            parsed.insert(stored.revision.clone(), Arc::clone(&machine));
        }
        Ok(machine)
    }
}

fn of_template(machine: &Machine) -> StoredMachine {
    let now = clock::now();
    StoredMachine {
        arn: machine.arn.clone(),
        name: machine.name.clone(),
        express: machine.express,
        of_template: true,
        is_deleting: false,
        created_at: now,
        revision: clock::uuid(),
        definition: machine.text.to_string(),
        role: machine.role.to_string(),
        settings: "{}".to_owned(),
        updated_at: now,
    }
}

impl StoredMachine {
    /// The position of a machine in a listing.
    pub(crate) fn key(&self) -> String {
        format!("{:.9}/{}", self.created_at, self.arn)
    }

    /// Whether it is as it was made.
    pub(crate) fn is_first_revision(&self) -> bool {
        self.updated_at == self.created_at
    }
}

/// A time as it is stored: all texts have one length, so that they sort as times do.
fn text(at: Timestamp) -> String {
    format!("{at:.9}")
}
