//! The data folder: one SQLite file, the objects, the logs, and the lock of the process that uses it.

use std::{
    fs::{self, File, Permissions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use destinations::outbound::{Allowed, Guard, Outbound};
use kernel::Objects;
use object_store::local::LocalFileSystem;
use registry::Host;
use rustix::{
    fs::{Mode, OFlags},
    process::umask,
};
use sqlite_store::{Readers, SqliteStore, queues::LocalQueue};
use step_functions::clock;

use crate::{exit::Exit, os_limits};

/// Number of open files that a process requests: the usual hard limit on Linux.
const WANTED_OPEN_FILES: u64 = 65_536;
/// The permissions of the group and of all others.
const GROUP_AND_OTHERS: u32 = 0o077;

/// The data folder, locked by this process until it is dropped.
#[derive(Debug)]
pub(crate) struct DataFolder {
    /// Tables and objects.
    pub(crate) host: Host<SqliteStore, LocalQueue>,
    /// The paths in the folder.
    pub(crate) paths: Paths,
    _lock: File,
}

/// The paths in a data folder.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    root: PathBuf,
}

impl Paths {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// One file of JSON lines for each function and day.
    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    fn database(&self) -> PathBuf {
        self.root.join("crmflow.db")
    }

    fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }

    /// Creates the folder if necessary, and locks it unless another process has the lock.
    fn acquire(&self, command: &str) -> Result<FolderLock, Exit> {
        keep_private(self).map_err(|error| unusable(&self.root, &error))?;
        lock(self, command)
    }

    fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// One file for each paused queue.
    pub(crate) fn paused(&self, queue: &str) -> PathBuf {
        self.root.join("paused").join(queue)
    }

    /// Requests of commands to the server that uses the folder.
    pub(crate) fn requests(&self) -> PathBuf {
        self.root.join("requests")
    }

    /// Chunks that a process is cutting.
    pub(crate) fn spool(&self) -> PathBuf {
        self.root.join("spool")
    }
}

/// The owner of the folder's lock.
enum FolderLock {
    /// This process, as long as it has this file open.
    Acquired(File),
    /// Another process, with its description.
    HeldBy(String),
}

impl Drop for DataFolder {
    /// Checkpoints the log, so that the database file alone is complete.
    fn drop(&mut self) {
        self.host.store.writer.close();
    }
}

impl DataFolder {
    /// Locks the folder for this process, and creates it if necessary. Another process that finds the lock names
    /// `command` in its error.
    pub(crate) fn open(root: &Path, command: &str) -> Result<Self, Exit> {
        Self::open_to(root, command, Vec::new())
    }

    /// Locks the folder for this process; `None`: a server uses it, and answers requests ([`crate::requests`]).
    pub(crate) fn open_unless_served(root: &Path, command: &str) -> Result<Option<Self>, Exit> {
        let paths = Paths::new(root);
        match paths.acquire(command)? {
            FolderLock::Acquired(lock) => Self::with(paths, lock, Vec::new()).map(Some),
            FolderLock::HeldBy(holder) if holder.starts_with("crmflow serve") => Ok(None),
            FolderLock::HeldBy(holder) => Err(in_use(root, &holder)),
        }
    }

    /// Opens the folder for a process that calls destinations: public ones, and these.
    pub(crate) fn open_to(root: &Path, command: &str, allowed: Vec<Allowed>) -> Result<Self, Exit> {
        let paths = Paths::new(root);
        match paths.acquire(command)? {
            FolderLock::Acquired(lock) => Self::with(paths, lock, allowed),
            FolderLock::HeldBy(holder) => Err(in_use(root, &holder)),
        }
    }

    fn with(paths: Paths, lock: File, allowed: Vec<Allowed>) -> Result<Self, Exit> {
        let store = SqliteStore::open(&paths.database())
            .map_err(|error| Exit::failed(format!("{}: {error}", paths.database().display())))?;
        let queue = LocalQueue::open(store.clone(), clock::now)?;
        let outbound = Outbound::new(Guard::new(allowed)).map_err(|error| Exit::failed(error.to_string()))?;
        // The other half of the open files is for clients of this process and for its own files.
        let outbound = outbound.with_max_calls(
            usize::try_from(os_limits::open_files(WANTED_OPEN_FILES) / 2).unwrap_or(usize::MAX),
        );
        let objects = objects(&paths)?;
        let routes = Arc::default();
        let host = Host { store, objects, queue, outbound, routes, spool: paths.spool() };
        Ok(Self { host, paths, _lock: lock })
    }
}

/// A data folder for reading only; another process may write to it.
#[derive(Debug)]
pub(crate) struct ReadOnlyFolder {
    /// The tables.
    pub(crate) readers: Readers,
    /// The objects.
    pub(crate) objects: Objects,
}

impl ReadOnlyFolder {
    /// Whether a folder has data of crmflow.
    pub(crate) fn has_data(root: &Path) -> bool {
        Paths::new(root).database().exists()
    }

    /// Opens a folder for reading only.
    pub(crate) fn open(root: &Path) -> Result<Self, Exit> {
        let paths = Paths::new(root);
        if !paths.database().exists() {
            return Err(Exit::usage(format!("{} has no data of crmflow yet", root.display())));
        }
        Ok(Self { readers: SqliteStore::open_read_only(&paths.database())?, objects: objects(&paths)? })
    }
}

fn objects(paths: &Paths) -> Result<Objects, Exit> {
    let open = || LocalFileSystem::new_with_prefix(paths.objects());
    match (open(), open()) {
        (Ok(durable), Ok(scratch)) => {
            let durable = durable.with_fsync(true).with_automatic_cleanup(true);
            Ok(Objects::new(Arc::new(durable), Arc::new(scratch.with_automatic_cleanup(true))))
        }
        (Err(error), _) | (_, Err(error)) => Err(Exit::failed(error.to_string())),
    }
}

/// Makes all entries of the folder readable by their owner alone, also those that an earlier version left readable by
/// others. People may share the folder itself, so its own permissions stay.
fn keep_private(paths: &Paths) -> io::Result<()> {
    umask(Mode::RWXG | Mode::RWXO);
    fs::create_dir_all(paths.objects())?;
    for entry in fs::read_dir(&paths.root)? {
        let entry = entry?;
        let is_ours = entry.file_name().to_str().is_some_and(is_ours);
        let found = entry.metadata()?;
        if is_ours && !found.is_symlink() && found.permissions().mode() & GROUP_AND_OTHERS != 0 {
            let private = Permissions::from_mode(found.permissions().mode() & !GROUP_AND_OTHERS);
            fs::set_permissions(entry.path(), private)?;
        }
    }
    Ok(())
}

/// Whether crmflow creates an entry of this name in its folder.
fn is_ours(name: &str) -> bool {
    ["lock", "logs", "objects", "paused", "requests", "spool"].contains(&name)
        || name.starts_with("crmflow.db")
}

fn lock(paths: &Paths, command: &str) -> Result<FolderLock, Exit> {
    // A link could point to another person's file, which opening would empty.
    let no_links = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let opened = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(no_links)
        .open(paths.lock());
    let mut lock = opened.map_err(|error| unusable(&paths.root, &error))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // The name is only for the message; the lock counts.
            let _ = lock.read_to_string(&mut holder);
            return Ok(FolderLock::HeldBy(holder.trim().to_owned()));
        }
        Err(TryLockError::Error(error)) => return Err(unusable(&paths.root, &error)),
    }
    let written = lock
        .set_len(0)
        .and_then(|()| lock.rewind())
        .and_then(|()| writeln!(lock, "crmflow {command}, process {}", std::process::id()));
    written.map_err(|error| unusable(&paths.root, &error))?;
    Ok(FolderLock::Acquired(lock))
}

fn in_use(root: &Path, holder: &str) -> Exit {
    Exit::failed(format!(
        "{} is in use by another process ({holder}); only one process at a time can use a data folder",
        root.display(),
    ))
}

fn unusable(root: &Path, error: &io::Error) -> Exit {
    Exit::failed(format!("the data folder {} cannot be used: {error}", root.display()))
}

#[cfg(test)]
mod tests {
    use registry::{consent_contract::consent_contract, event_contract::event_contract};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_folder_keeps_the_contract_of_events() {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(root.path(), "test").unwrap();
        let Host { store, objects, queue, .. } = folder.host.clone();
        event_contract(store, objects, queue).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_folder_keeps_the_contract_of_consent() {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(root.path(), "test").unwrap();
        let Host { store, objects, .. } = folder.host.clone();
        consent_contract(store, objects).await;
    }

    /// Batches after a restart rank after those before it, even if the clock moved back.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_order_of_batches_survives_a_restart() {
        let root = tempfile::tempdir().unwrap();
        let tenant = kernel::Name::default_tenant();
        let mut last = 0;
        for day in [30, 0, 0, -30] {
            let folder = DataFolder::open(root.path(), "test").unwrap();
            let at = jiff::Timestamp::from_second(1_800_000_000 + day * 86_400).unwrap();
            let order = kernel::order::next(&folder.host.store, &tenant, at).await.unwrap();
            assert!(order > last, "{order} after {last}");
            last = order;
        }
    }
}
