//! `crmflow batches show`, `records` and `export`: the result of a batch, and of each of its records.

use std::{fmt::Write as _, io::Write as _, path::Path, process::ExitCode};

use batches::{
    rows::{self, Limits, Page, Place, Row},
    stored::BatchStatus,
};
use kernel::{BatchId, Name, Objects, Outcome, store::MAX_PAGE_BYTES};
use sqlite_store::SqliteStore;

use super::{
    grouped,
    output::{self, Output, failed, shown},
    report,
};
use crate::{
    cli::{BatchExport, BatchRecords, BatchShow, RowFormat, RowSelection},
    data_folder::ReadOnlyFolder,
    exit::Exit,
};

/// Maximum number of rows of one read: those of a chunk, since each read unpacks it.
const PAGE_ROWS: usize = 20_000;
const PAGE_BYTES: usize = 4 * MAX_PAGE_BYTES;

/// A batch, and the stores of its rows.
struct Shown {
    objects: Objects,
    batch: BatchStatus,
}

impl Shown {
    async fn open(data: &Path, id: BatchId) -> Result<Self, Exit> {
        let ReadOnlyFolder { readers, objects } = ReadOnlyFolder::open(data)?;
        let store = SqliteStore::read_only(readers);
        let batch = BatchStatus::find(&Name::default_tenant(), id, &store).await?;
        let batch = batch.ok_or_else(|| Exit::usage(format!("there is no batch {id}")))?;
        Ok(Self { objects, batch })
    }

    async fn page(&self, outcome: Option<Outcome>, after: Option<Place>, rows: usize) -> Result<Page, Exit> {
        let limits = Limits { rows, bytes: PAGE_BYTES };
        let tenant = Name::default_tenant();
        Ok(rows::list(&tenant, &self.batch, outcome, after, limits, &self.objects).await?)
    }
}

/// Shows a batch, or one record of it.
pub(super) fn show(data: &Path, BatchShow { what: (id, index), json }: &BatchShow) -> Result<ExitCode, Exit> {
    super::block_on(async {
        let shown = Shown::open(data, *id).await?;
        match index {
            Some(index) => show_row(&shown, *index, *json).await,
            None => show_batch(&shown.batch, *json),
        }
    })
}

fn show_batch(batch: &BatchStatus, json: bool) -> Result<ExitCode, Exit> {
    if json {
        super::print_json(batch)?;
        return Ok(ExitCode::SUCCESS);
    }
    let BatchStatus { batch_id, provider, status, received_at, stopped_at, received, outcomes, .. } = batch;
    let mut text = format!("batch {batch_id}: {}, by {provider}, received {received_at:.3}", status.name());
    // Writing to a string cannot fail.
    if let Some(stopped_at) = stopped_at {
        let _ = write!(text, ", ended {stopped_at:.3}");
    }
    text.push_str("\n\n");
    for outcome in Outcome::ALL.into_iter().filter(|outcome| outcomes.of(*outcome) > 0) {
        let count = grouped(outcomes.of(outcome));
        let _ = writeln!(text, "  {:<10} {count:>12}   {}", outcome.name(), outcome.meaning());
    }
    let received = received.map_or_else(|| "?".to_owned(), grouped);
    let _ = writeln!(text, "  {:<10} {received:>12}", "received");
    report::faults(&mut text, &batch.faults);
    if let Some(error) = &batch.error {
        let _ = writeln!(text, "\n{error}");
    }
    super::print(&text);
    Ok(ExitCode::SUCCESS)
}

async fn show_row(of: &Shown, index: u64, json: bool) -> Result<ExitCode, Exit> {
    let id = of.batch.batch_id;
    let found = rows::row(&Name::default_tenant(), &of.batch, index, &of.objects).await?;
    let row = found.ok_or_else(|| Exit::usage(format!("batch {id} has no decided record {index}")))?;
    if json {
        super::print_json(&row)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = format!("{}\n  {}\n", line(&row), row.meaning);
    for fault in row.quarantined.iter().flat_map(|entry| &entry.faults) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {} ({})", fault.sentence(), fault.rule);
    }
    let quarantined =
        row.quarantined.as_ref().map(|entry| String::from_utf8_lossy(&entry.raw()).into_owned());
    match row.content().map(ToOwned::to_owned).or(quarantined) {
        Some(record) => _ = writeln!(text, "{}", shown(&record)),
        None => text.push_str("the record itself is not stored\n"),
    }
    super::print(&text);
    Ok(ExitCode::SUCCESS)
}

/// Lists records of a batch.
pub(super) fn records(data: &Path, args: &BatchRecords) -> Result<ExitCode, Exit> {
    let BatchRecords { selection: RowSelection { batch, outcome }, limit, json } = args;
    super::block_on(async {
        let of = Shown::open(data, *batch).await?;
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let rest = (limit - found.len()).min(PAGE_ROWS);
            let Page { rows, next } = of.page(*outcome, after, rest).await?;
            found.extend(rows);
            after = next;
            if found.len() >= *limit || after.is_none() {
                break;
            }
        }
        if *json {
            super::print_json(&found)?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut text: String = found.iter().map(|row| line(row) + "\n").collect();
        if after.is_some() {
            text.push_str("... more: --limit, or `crmflow batches export`\n");
        }
        super::print(&text);
        Ok(ExitCode::SUCCESS)
    })
}

/// One line for each record, without its content, as in the list of the quarantine.
fn line(row: &Row) -> String {
    let place = |line: Option<u64>, index: u64| match line {
        Some(line) => format!("line {line}, record {index}"),
        None => format!("record {index}"),
    };
    let mut text = format!("{}: {}", place(row.line, row.index), row.outcome);
    // Writing to a string cannot fail.
    if let Some(winner) = row.duplicate_of {
        let _ = write!(text, " of {}", place(row.duplicate_of_line, winner));
    }
    if let Some(other) = row.conflicts_with {
        let _ = write!(text, "; record {other} disagrees on opt-in");
    }
    if row.late {
        text.push_str("; late");
    }
    for fault in row.faults.iter().flatten() {
        let _ = write!(text, "; {}", fault.sentence());
    }
    text
}

/// Writes the records of a batch with their outcomes.
pub(super) fn export(data: &Path, args: &BatchExport) -> Result<ExitCode, Exit> {
    super::block_on(output::until_stopped(write(data, args)))
}

async fn write(data: &Path, args: &BatchExport) -> Result<ExitCode, Exit> {
    let BatchExport { selection: RowSelection { batch, outcome }, to, format } = args;
    let of = Shown::open(data, *batch).await?;
    let mut output = Output::open(to.output.as_deref())?;
    let format = RowFormat::of(*format, to);
    let (mut text, mut guarded, mut after) = (Vec::new(), 0, None);
    if format == RowFormat::Csv {
        rows::csv_header(&mut text);
    }
    loop {
        let Page { rows, next } = of.page(*outcome, after, PAGE_ROWS).await?;
        match format {
            RowFormat::Csv => guarded += rows::csv(&rows, to.raw, &mut text),
            RowFormat::Ndjson => rows::ndjson(&rows, &mut text)?,
        }
        output.write_all(&text).map_err(|error| failed(&error))?;
        text.clear();
        after = next;
        if after.is_none() {
            break;
        }
    }
    output.finish()?;
    output::note_guarded(guarded);
    Ok(ExitCode::SUCCESS)
}
