//! `crmflow process --dry-run`: the counts and faults that files would have against the stored contacts. Nothing is
//! written to the data folder, so it works while a server uses the folder.

use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use batches::{
    dry_run,
    intake::{Settings, spool},
    stored::{BatchStatus, Status},
};
use jiff::Timestamp;
use kernel::{Batch, BatchId, Kind, Name, Objects, dry_run::DryRunStore, order};
use object_store::local::LocalFileSystem;
use sqlite_store::SqliteStore;
use step_functions::clock;

use super::{
    process::{self, Ended, Source},
    report::{Ending, Reporter},
};
use crate::{cli::Process, data_folder::ReadOnlyFolder, exit::Exit};

/// Reads and checks files without an effect.
pub(super) fn run(data: &Path, args: &Process) -> Result<ExitCode, Exit> {
    let opened = process::open_all(args)?;
    let working = WorkingFiles::new()?;
    let store = working.store(data)?;
    let mut reporter = Reporter::new(args);
    super::block_on(async {
        for (path, source) in args.files.iter().zip(opened) {
            let began = clock::now();
            let checked = tokio::select! {
                checked = check(&store, &working, args, source, began) => checked,
                () = super::serve::stopped() => Err(Exit::interrupted("interrupted; nothing was stored")),
            };
            reporter.add(path, checked.map(|ended| Ending { ended, quarantine: None, began }))?;
        }
        reporter.finish()
    })
}

async fn check(
    store: &SqliteStore,
    working: &WorkingFiles,
    args: &Process,
    source: Option<Source>,
    now: Timestamp,
) -> Result<Ended, Exit> {
    let source = match source {
        Some(source) => source,
        None => process::spool_stdin(&working.folder)?,
    };
    let tenant = Name::default_tenant();
    let batch = Batch {
        batch_id: BatchId::new(now, clock::random()),
        order: order::next(&DryRunStore::new(store.clone()), &tenant, now).await?,
        tenant,
        provider: "file".parse()?,
        kind: Kind::Contact,
        received_at: now,
        replay: 0,
        chunk: None,
        rules: args.rules(),
    };
    let folder = working.folder.join(batch.batch_id.to_string());
    let objects = working.objects(&folder.join("objects"))?;
    let spool = Some(spool::empty(folder.join("spool"))?);
    let settings = Settings { spool, ..process::settings(args, source.size) };
    let staged = process::cut(source, &batch, settings, &objects, args.talk.quiet).await?;
    let summary = dry_run::dry_run(&batch, staged, store, &objects).await?;
    // The next file needs the space.
    let _ = fs::remove_dir_all(&folder);
    let status = BatchStatus {
        status: Status::Succeeded,
        received: Some(summary.received),
        outcomes: summary.outcomes,
        unread_consent: summary.unread_consent,
        late: summary.late,
        ..BatchStatus::running(&batch)
    };
    Ok(Ended { batch: status, summary: Some(summary), failure: None })
}

/// A folder of working files outside the data folder, readable by its owner alone. It is deleted at the end.
struct WorkingFiles {
    folder: PathBuf,
}

impl WorkingFiles {
    fn new() -> Result<Self, Exit> {
        let folder = std::env::temp_dir().join(format!("crmflow-dry-run-{:032x}", clock::random()));
        fs::DirBuilder::new().mode(0o700).create(&folder).map_err(|error| unusable(&folder, &error))?;
        Ok(Self { folder })
    }

    /// The store of the data folder, to read only; an empty one if the folder has no data yet.
    fn store(&self, data: &Path) -> Result<SqliteStore, Exit> {
        if ReadOnlyFolder::has_data(data) {
            return Ok(SqliteStore::read_only(ReadOnlyFolder::open(data)?.readers));
        }
        Ok(SqliteStore::open(&self.folder.join("empty.db"))?)
    }

    fn objects(&self, folder: &Path) -> Result<Objects, Exit> {
        fs::create_dir_all(folder).map_err(|error| unusable(folder, &error))?;
        let files =
            LocalFileSystem::new_with_prefix(folder).map_err(|error| Exit::failed(error.to_string()))?;
        let files: Arc<dyn object_store::ObjectStore> = Arc::new(files.with_automatic_cleanup(true));
        Ok(Objects::new(files.clone(), files))
    }
}

impl Drop for WorkingFiles {
    fn drop(&mut self) {
        // The system clears its folder of temporary files, too.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn unusable(folder: &Path, error: &std::io::Error) -> Exit {
    Exit::failed(format!("the folder of working files {} cannot be used: {error}", folder.display()))
}
