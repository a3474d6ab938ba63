//! `crmflow process`: runs files of records through the flow, and reports their outcomes.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::Ordering,
    time::Duration,
};

use api::Machine;
use batches::{
    Summary,
    intake::{Format, Intake, Settings, Staged, spool},
    stored::{BatchStatus, Status},
};
use jiff::Timestamp;
use kernel::{Batch, BatchId, Kind, Name, Objects, order};
use serde_json::json;
use step_functions::{
    clock,
    executions::{Execution, Status as Stage},
};

use super::{
    dry_run,
    progress::{Progress, Work},
    report::{Ending, Reporter},
    serve::stopped,
};
use crate::{
    cli::Process,
    data_folder::DataFolder,
    exit::Exit,
    flow::LocalFlow,
    import::{Claim, Import},
    interrupted, logs,
};

/// Size of one read of a file, in bytes.
const READ_BYTES: usize = 256 * 1024;

/// A file of records.
pub(super) struct Source {
    /// The file itself, or the spooled standard input.
    file: File,
    pub(super) size: u64,
    /// Finds an interrupted run of the same file; none for the standard input.
    import: Option<Import>,
}

/// Takes the files through the flow, one after the other.
pub(super) fn run(data: &Path, template: Option<&Path>, args: &Process) -> Result<ExitCode, Exit> {
    if args.dry_run {
        return dry_run::run(data, args);
    }
    let template = super::template(template)?;
    let opened = open_all(args)?;
    let folder = DataFolder::open(data, "process")?;
    logs::start(&folder.paths.logs(), args.talk.level());
    let flow = super::flow(&folder, template);
    let mut reporter = Reporter::new(args);
    super::block_on(async {
        for (path, source) in args.files.iter().zip(opened) {
            let began = clock::now();
            let ended = run_file(data, &folder, &flow, args, source, began).await;
            reporter.add(path, ended.map(|ended| Ending::new(&folder, ended, began)))?;
        }
        reporter.finish()
    })
}

async fn run_file(
    data: &Path,
    folder: &DataFolder,
    flow: &LocalFlow,
    args: &Process,
    source: Option<Source>,
    began: Timestamp,
) -> Result<Ended, Exit> {
    let source = match source {
        Some(source) => source,
        None => spool_stdin(folder.paths.root())?,
    };
    let claim = claim(folder, &source, &Name::default_tenant(), began).await?;
    until_interrupted(data, flow, claim.batch_id, take(folder, flow, source, args, claim)).await
}

/// Opens all files; `None`: the standard input. A file that cannot be opened refuses all, before anything is stored.
pub(super) fn open_all(args: &Process) -> Result<Vec<Option<Source>>, Exit> {
    let is_stdin = |path: &&PathBuf| path.as_path() == Path::new("-");
    if args.files.iter().filter(is_stdin).count() > 1 {
        return Err(Exit::usage("the standard input can be read once"));
    }
    let open = |path: &PathBuf| if is_stdin(&path) { Ok(None) } else { open(path, args.format).map(Some) };
    args.files.iter().map(open).collect()
}

/// Runs a batch to its end. A signal interrupts it: then the batch waits for its operator.
pub(super) async fn until_interrupted<T>(
    data: &Path,
    flow: &LocalFlow,
    batch: BatchId,
    work: impl Future<Output = Result<T, Exit>>,
) -> Result<T, Exit> {
    tokio::select! {
        done = work => done,
        () = stopped() => {
            let ways = if interrupted::interrupt(flow, batch).await? {
                format!("{}; the same command resumes it too", interrupted::ways(&super::typed(data), batch))
            } else {
                "run the same command again to resume".to_owned()
            };
            Err(Exit::interrupted(format!("interrupted; nothing is lost or done twice: {ways}")))
        }
    }
}

/// The batch of a source: a new one, or the one of an interrupted run.
async fn claim(folder: &DataFolder, source: &Source, tenant: &Name, now: Timestamp) -> Result<Claim, Exit> {
    let (fresh, store) = (BatchId::new(now, clock::random()), &folder.host.store);
    match &source.import {
        Some(import) => import.claim(tenant, fresh, now, store).await,
        None => {
            Ok(Claim { batch_id: fresh, received_at: now, order: order::next(store, tenant, now).await? })
        }
    }
}

/// The end of a batch.
pub(super) struct Ended {
    pub(super) batch: BatchStatus,
    /// Its summary, if the execution returned one.
    pub(super) summary: Option<Summary>,
    /// The reason why the execution failed, if it did.
    pub(super) failure: Option<String>,
}

async fn take(
    folder: &DataFolder,
    flow: &LocalFlow,
    source: Source,
    args: &Process,
    Claim { batch_id, received_at, order }: Claim,
) -> Result<Ended, Exit> {
    let tenant = Name::default_tenant();
    let import = source.import.clone();
    let batch = Batch {
        batch_id,
        tenant: tenant.clone(),
        provider: "file".parse()?,
        kind: Kind::Contact,
        received_at,
        order,
        replay: 0,
        chunk: None,
        rules: args.rules(),
    };
    let spool = Some(spool::empty(folder.paths.spool().join(batch_id.to_string()))?);
    let settings = Settings { spool, ..settings(args, source.size) };
    let quiet = args.talk.quiet;
    let staged = match cut(source, &batch, settings, &folder.host.objects, quiet).await {
        Ok(staged) => staged,
        Err(refused) => {
            forget(import.as_ref(), &tenant, folder).await?;
            return Err(refused);
        }
    };
    let execution = run_batch(flow, &batch, staged, quiet).await?;
    let ended = ended(folder, batch.batch_id, execution).await?;
    if ended.batch.status.has_ended() {
        forget(import.as_ref(), &tenant, folder).await?;
    }
    Ok(ended)
}

/// How to read a file of so many bytes.
pub(super) fn settings(args: &Process, size: u64) -> Settings {
    Settings { format: args.format, size: Some(size), inline: true, ..Settings::default() }
}

/// Runs a staged batch through the flow.
pub(super) async fn to_its_end(
    folder: &DataFolder,
    flow: &LocalFlow,
    batch: &Batch,
    staged: Staged,
) -> Result<Ended, Exit> {
    let execution = run_batch(flow, batch, staged, false).await?;
    ended(folder, batch.batch_id, execution).await
}

/// Waits for the end of a resumed batch.
pub(super) async fn follow(
    folder: &DataFolder,
    flow: &LocalFlow,
    batch: &BatchStatus,
    arn: &str,
) -> Result<Ended, Exit> {
    let execution = wait(flow, arn, batch.chunks, false).await?;
    let ended = ended(folder, batch.batch_id, execution).await?;
    if ended.batch.status.has_ended() {
        Import::forget_batch(&Name::default_tenant(), batch.batch_id, &folder.host.store).await?;
    }
    Ok(ended)
}

async fn ended(folder: &DataFolder, batch: BatchId, execution: Execution) -> Result<Ended, Exit> {
    let known = BatchStatus::find(&Name::default_tenant(), batch, &folder.host.store).await?;
    let batch = known.ok_or_else(|| Exit::failed("the batch is not in the store"))?;
    let summary = execution.output.and_then(|output| serde_json::from_str(&output).ok());
    let failure = (execution.status != Stage::Succeeded).then(|| {
        let name = execution.error.unwrap_or_else(|| execution.status.name().to_owned());
        execution.cause.map_or(name.clone(), |cause| format!("{name}: {cause}"))
    });
    Ok(Ended { batch, summary, failure })
}

async fn forget(import: Option<&Import>, tenant: &Name, folder: &DataFolder) -> Result<(), Exit> {
    match import {
        Some(import) => import.forget(tenant, &folder.host.store).await,
        None => Ok(()),
    }
}

/// Cuts a file, on a thread of its own.
pub(super) async fn cut(
    source: Source,
    batch: &Batch,
    settings: Settings,
    objects: &Objects,
    is_quiet: bool,
) -> Result<Staged, Exit> {
    let Source { mut file, size, .. } = source;
    let progress = Progress::new(Work::Reading, size, is_quiet);
    let mut intake = Intake::new(batch.clone(), settings);
    let shown = progress.clone();
    let read = tokio::task::spawn_blocking(move || {
        let mut piece = vec![0; READ_BYTES];
        loop {
            match file.read(&mut piece) {
                Ok(0) => return Ok(intake),
                Ok(count) => {
                    intake.push(&piece[..count])?;
                    shown.add(count as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Exit::usage(format!("the file could not be read: {error}"))),
            }
        }
    });
    let intake = read.await.map_err(|_| Exit::failed("reading was interrupted"))??;
    let staged = intake.finish(objects).await?;
    progress.finish();
    Ok(staged)
}

/// Starts the batch's execution, or resumes the one of an interrupted run.
async fn run_batch(
    flow: &LocalFlow,
    batch: &Batch,
    staged: Staged,
    is_quiet: bool,
) -> Result<Execution, Exit> {
    let Staged { received, inline, manifest, chunks } = staged;
    let (machine, input) = match (inline, manifest) {
        (Some(records), _) => (Machine::Records, json!({ "batch": batch, "records": records })),
        (None, manifest) => (Machine::Batch, json!({ "batch": batch, "manifest": manifest })),
    };
    let name = batch.batch_id.to_string();
    let (executions, store) = (&flow.executions, &flow.services().host.store);
    let arn = api::Flow::execution_arn(flow, machine, &name);
    let known = BatchStatus::find(&batch.tenant, batch.batch_id, store).await?;
    let is_open = known.as_ref().is_none_or(|batch| !batch.status.has_ended());
    match executions.find(&arn)? {
        Some(ended) if !is_open => return Ok(ended),
        Some(left) => {
            // Earlier versions did not store that a person watches the batch.
            let running = known.map(|known| BatchStatus { status: Status::Running, attended: true, ..known });
            if let Some(running) = running {
                running.save(&batch.tenant, store).await?;
            }
            interrupted::resume_execution(flow, left).await?;
        }
        None => {
            let status = BatchStatus {
                received: Some(received),
                chunks,
                execution_arn: Some(arn.clone()),
                attended: true,
                ..BatchStatus::running(batch)
            };
            status.save(&batch.tenant, store).await?;
            let begun = api::Flow::start(flow, machine, &name, input.to_string()).await;
            begun.map_err(|error| Exit::failed(error.to_string()))?;
        }
    }
    wait(flow, &arn, chunks, is_quiet).await
}

/// Waits for the end of an execution, and shows its progress.
async fn wait(flow: &LocalFlow, arn: &str, chunks: u32, is_quiet: bool) -> Result<Execution, Exit> {
    let executions = &flow.executions;
    let done = || flow.services().chunks_done.load(Ordering::Relaxed);
    let (before, progress) = (done(), Progress::new(Work::Processing, u64::from(chunks), is_quiet));
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let mut running = std::pin::pin!(executions.ended(arn));
    loop {
        tokio::select! {
            ended = &mut running => {
                progress.finish();
                return ended?.ok_or_else(|| Exit::failed("the execution is not in the store"));
            }
            _ = tick.tick() => progress.set(done() - before),
        }
    }
}

fn open(path: &Path, format: Option<Format>) -> Result<Source, Exit> {
    let refused = |error: io::Error| Exit::usage(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(refused)?;
    let meta = file.metadata().map_err(refused)?;
    if meta.is_dir() {
        return Err(Exit::usage(format!("{} is a folder; a file of records is expected", path.display())));
    }
    let path: PathBuf = fs::canonicalize(path).map_err(refused)?;
    Ok(Source { file, size: meta.len(), import: Some(Import::new(&path, &meta, format)) })
}

/// The standard input, spooled to a file: its size decides how many chunks it needs.
pub(super) fn spool_stdin(folder: &Path) -> Result<Source, Exit> {
    let refused =
        |error: io::Error| Exit::failed(format!("the standard input could not be spooled: {error}"));
    let path = folder.join("stdin");
    let mut file =
        File::options().read(true).write(true).create(true).truncate(true).open(&path).map_err(refused)?;
    // The file has no name, so the system deletes it when the process closes it or dies.
    fs::remove_file(&path).map_err(refused)?;
    let size = io::copy(&mut io::stdin().lock(), &mut file).map_err(refused)?;
    file.flush().and_then(|()| io::Seek::rewind(&mut file)).map_err(refused)?;
    Ok(Source { file, size, import: None })
}

/// Whether the flow ran: invalid records are a result, a failed step is not.
pub(super) fn succeeded(ended: &Ended) -> bool {
    ended.failure.is_none() && ended.batch.status == Status::Succeeded
}
