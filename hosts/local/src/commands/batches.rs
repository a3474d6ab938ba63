//! `crmflow batches`: lists the latest batches; resumes or cancels one whose command was interrupted.

use std::{fmt::Write, path::Path, process::ExitCode};

use batches::stored::BatchStatus;
use kernel::{BatchId, Name, Outcome};
use sqlite_store::SqliteStore;
use step_functions::clock;
use tracing::Level;

use super::{process, report, rows};
use crate::{
    cli::{BatchList, Batches, BatchesAction},
    data_folder::{DataFolder, Paths, ReadOnlyFolder},
    exit::Exit,
    interrupted, logs,
    requests::{self, Request},
};

/// Lists the latest batches, or runs a command on one.
pub(super) fn run(data: &Path, template: Option<&Path>, args: &Batches) -> Result<ExitCode, Exit> {
    match &args.action {
        None => list(data, &args.list),
        Some(BatchesAction::List(list_args)) => list(data, list_args),
        Some(BatchesAction::Show(show)) => rows::show(data, show),
        Some(BatchesAction::Records(records)) => rows::records(data, records),
        Some(BatchesAction::Export(export)) => rows::export(data, export),
        Some(BatchesAction::Resume { batch }) => resume(data, template, *batch),
        Some(BatchesAction::Cancel { batch }) => cancel(data, template, *batch),
    }
}

fn list(data: &Path, args: &BatchList) -> Result<ExitCode, Exit> {
    let store = SqliteStore::read_only(ReadOnlyFolder::open(data)?.readers);
    let found = super::block_on(async {
        Ok(BatchStatus::list(&Name::default_tenant(), None, args.limit, &store).await?)
    })?;
    if args.json {
        super::print_json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for BatchStatus { batch_id, provider, status, received_at, received, outcomes, .. } in &found {
        let received = received.map_or_else(|| "?".to_owned(), super::grouped);
        // Writing to a string cannot fail.
        let _ =
            write!(text, "{batch_id}  {:<11}  {received_at:.3}  {received:>9} by {provider}", status.name());
        for outcome in Outcome::ALL.into_iter().filter(|outcome| outcomes.of(*outcome) > 0) {
            let _ = write!(text, "  {} {outcome}", super::grouped(outcomes.of(outcome)));
        }
        text.push('\n');
    }
    super::print(&text);
    Ok(ExitCode::SUCCESS)
}

/// Resumes a batch and waits for its end, or requests that from the server.
fn resume(data: &Path, template: Option<&Path>, batch: BatchId) -> Result<ExitCode, Exit> {
    let began = clock::now();
    let template = super::template(template)?;
    let Some(folder) = DataFolder::open_unless_served(data, "batches resume")? else {
        return ask(data, &Request::Resume { batch });
    };
    logs::start(&folder.paths.logs(), Level::WARN);
    let flow = super::flow(&folder, template);
    super::block_on(process::until_interrupted(data, &flow, batch, async {
        let (known, arn) = interrupted::resume(&flow, batch).await?;
        let ended = process::follow(&folder, &flow, &known, &arn).await?;
        report::print(&folder, ended, false, began)
    }))
}

fn cancel(data: &Path, template: Option<&Path>, batch: BatchId) -> Result<ExitCode, Exit> {
    let template = super::template(template)?;
    let Some(folder) = DataFolder::open_unless_served(data, "batches cancel")? else {
        return ask(data, &Request::Cancel { batch });
    };
    logs::start(&folder.paths.logs(), Level::WARN);
    let flow = super::flow(&folder, template);
    let said = super::block_on(interrupted::cancel(&flow, batch))?;
    super::print(&format!("{said}\n"));
    Ok(ExitCode::SUCCESS)
}

fn ask(data: &Path, request: &Request) -> Result<ExitCode, Exit> {
    let said = requests::ask(&Paths::new(data), request)?;
    super::print(&format!("{said}\n"));
    Ok(ExitCode::SUCCESS)
}
