//! `crmflow quarantine`: lists, shows and replays records in quarantine.

use std::{fmt::Write, path::Path, process::ExitCode};

use kernel::{
    BatchId, Name,
    quarantine::{self, Entry, Filter},
};
use registry::Host;
use replay::{self, Pick, Replay};
use serde::Serialize;
use serde_json::value::RawValue;
use sqlite_store::SqliteStore;
use step_functions::clock;
use tracing::Level;

use super::{process, report};
use crate::{
    cli::{Quarantine, Selection},
    data_folder::{DataFolder, ReadOnlyFolder},
    exit::Exit,
    flow::LocalFlow,
    logs,
};

/// Number of entries in one read.
const PAGE_SIZE: usize = 1000;

/// Runs one of these commands.
pub(super) fn run(data: &Path, template: Option<&Path>, command: Quarantine) -> Result<ExitCode, Exit> {
    match command {
        Quarantine::List(selection) => list(data, &selection),
        Quarantine::Show { record } => show(data, record),
        Quarantine::Replay { selection, records, corrected } => {
            let corrected = corrected.as_deref().map(super::read).transpose()?;
            let picks = picks(&records, corrected.as_deref())?;
            replay_all(data, template, &selection, picks)
        }
    }
}

/// An entry as JSON, with the unchanged record.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    #[serde(flatten)]
    entry: Entry,
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed_as: Option<BatchId>,
}

fn filter(selection: &Selection) -> Filter {
    Filter { batches: selection.batch.map(|id| [id].into()), error_type: selection.error_type }
}

fn list(data: &Path, selection: &Selection) -> Result<ExitCode, Exit> {
    let view = ReadOnlyFolder::open(data)?;
    let (tenant, filter) = (Name::default_tenant(), filter(selection));
    let store = SqliteStore::read_only(view.readers);
    super::block_on(async {
        let mut page = None;
        let mut listed = Vec::new();
        loop {
            let found = quarantine::list(&tenant, &filter, page.as_deref(), PAGE_SIZE, &view.objects).await?;
            let replayed = replay::replayed_as(&store, &tenant, &found.entries, clock::now()).await?;
            for (entry, replayed_as) in found.entries.into_iter().zip(replayed) {
                match (selection.json, replayed_as) {
                    (_, Some(_)) if !selection.all => {}
                    (true, replayed_as) => listed.push(Listed { entry, replayed_as }),
                    (false, replayed_as) => super::print(&line(&entry, replayed_as)),
                }
            }
            page = found.next;
            if page.is_none() {
                break;
            }
        }
        if selection.json {
            super::print_json(&listed)?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// One line for each entry, without the record: a screen should not show personal data.
fn line(entry: &Entry, replayed_as: Option<BatchId>) -> String {
    let Entry { batch_id, index, line, received_at, retry_count, error_type, faults, .. } = entry;
    let mut text = format!("{batch_id}/{index}  {received_at:.0}  {:<10}", error_type.name());
    // Writing to a string cannot fail.
    if *line > 0 {
        let _ = write!(text, "  line {line}");
    }
    for fault in faults {
        let _ = write!(text, "  {};", fault.sentence());
    }
    if *retry_count > 0 {
        let _ = write!(text, "  sent again {retry_count} times");
    }
    if let Some(batch) = replayed_as {
        let _ = write!(text, "  replayed as {batch}");
    }
    text.push('\n');
    text
}

fn show(data: &Path, (batch, index): (BatchId, u64)) -> Result<ExitCode, Exit> {
    let view = ReadOnlyFolder::open(data)?;
    let filter = Filter { batches: Some([batch].into()), error_type: None };
    super::block_on(async {
        let mut page = None;
        let mut is_found = false;
        loop {
            let tenant = Name::default_tenant();
            let found = quarantine::list(&tenant, &filter, page.as_deref(), PAGE_SIZE, &view.objects).await?;
            // An event that failed at several destinations has an entry for each of them.
            for entry in found.entries.iter().filter(|entry| entry.index == index) {
                super::print_json(entry)?;
                is_found = true;
            }
            page = found.next;
            if page.is_none() {
                break;
            }
        }
        if is_found {
            return Ok(ExitCode::SUCCESS);
        }
        Err(Exit::usage(format!("record {index} of batch {batch} is not in quarantine")))
    })
}

/// The named records, each with its corrected record if there is one.
fn picks(records: &[(BatchId, u64)], corrected: Option<&[u8]>) -> Result<Vec<Pick>, Exit> {
    let corrected = corrected.map(corrected_records).transpose()?;
    let count = corrected.as_ref().map_or(records.len(), Vec::len);
    if count != records.len() {
        return Err(Exit::usage(format!(
            "{} records are named and {count} corrected ones given",
            records.len()
        )));
    }
    let mut corrected = corrected.into_iter().flatten();
    Ok(records.iter().map(|&(batch_id, index)| Pick { batch_id, index, record: corrected.next() }).collect())
}

fn corrected_records(bytes: &[u8]) -> Result<Vec<Box<RawValue>>, Exit> {
    let refused = |error: serde_json::Error| Exit::usage(kernel::json::describe(&error));
    if bytes.trim_ascii_start().starts_with(b"[") {
        return serde_json::from_slice(bytes).map_err(refused);
    }
    serde_json::Deserializer::from_slice(bytes).into_iter().collect::<Result<_, _>>().map_err(refused)
}

fn replay_all(
    data: &Path,
    template: Option<&Path>,
    selection: &Selection,
    picks: Vec<Pick>,
) -> Result<ExitCode, Exit> {
    let template = super::template(template)?;
    let folder = DataFolder::open(data, "quarantine replay")?;
    logs::start(&folder.paths.logs(), Level::WARN);
    let flow = super::flow(&folder, template);
    let selected = replay::Selection { filter: filter(selection), picks, limit: None };
    super::block_on(async {
        let mut ended = Ok(ExitCode::SUCCESS);
        let (mut sent, mut events, mut deliveries) = (0, 0, 0);
        loop {
            let Replay { batches, requests, deliveries: left_out, more } = stage(&folder, &selected).await?;
            deliveries += left_out;
            for request in requests {
                events += request.events;
                if selection.json {
                    super::print_json(&request)?;
                }
            }
            for resent in batches {
                sent += resent.staged.received;
                // The other batches are claimed already, so their executions start too.
                ended = ended.and(send(&folder, &flow, resent, selection.json).await);
            }
            if !more {
                break;
            }
        }
        if events > 0 && !selection.json {
            super::print(&format!("{events} events are in the queue again; crmflow serve routes them\n"));
        }
        if deliveries > 0 && !selection.json {
            super::print(&format!(
                "{deliveries} are deliveries, which crmflow deliveries replay sends again\n"
            ));
        }
        if sent + events == 0 {
            super::print("there is no record to replay in this selection\n");
        }
        ended
    })
}

async fn stage(folder: &DataFolder, selected: &replay::Selection) -> Result<Replay, Exit> {
    let (tenant, host) = (Name::default_tenant(), &folder.host);
    let Host { store, objects, queue, .. } = host;
    Ok(replay::replay(store, objects, queue, &tenant, selected, clock::now(), clock::random).await?)
}

async fn send(
    folder: &DataFolder,
    flow: &LocalFlow,
    resent: replay::Resent,
    as_json: bool,
) -> Result<ExitCode, Exit> {
    let began = clock::now();
    let ended = process::to_its_end(folder, flow, &resent.batch, resent.staged).await?;
    report::print(folder, ended, as_json, began)
}
