//! The report at the end of a batch: for people, for programs, and as an exit code.

use std::{fmt::Write, path::Path, process::ExitCode};

use batches::{Pair, Summary};
use jiff::Timestamp;
use kernel::{
    Name, Outcome,
    fault_groups::{Example, FaultGroup, FaultGroups},
};
use serde_json::{Value, json};
use step_functions::clock;

use super::{
    grouped,
    process::{Ended, succeeded},
};
use crate::{
    cli::{MaxInvalid, Process},
    data_folder::DataFolder,
    exit::Exit,
};

/// The end of a batch.
pub(super) struct Ending {
    pub(super) ended: Ended,
    /// The folder of its records in quarantine, if it has any.
    pub(super) quarantine: Option<String>,
    /// The start time of the command's work on the batch.
    pub(super) began: Timestamp,
}

impl Ending {
    /// The end of a batch in this folder.
    pub(super) fn new(folder: &DataFolder, ended: Ended, began: Timestamp) -> Self {
        let batch = &ended.batch;
        let kept = batch.outcomes.of(Outcome::Invalid) + batch.outcomes.of(Outcome::Failed);
        let quarantine = (kept > 0).then(|| quarantine_folder(folder, &batch.provider));
        Self { ended, quarantine, began }
    }

    fn millis(&self) -> u64 {
        u64::try_from(clock::now().duration_since(self.began).as_millis()).unwrap_or(0)
    }
}

/// Reports the ends of batches, in the format that the command line selects.
pub(super) struct Reporter {
    json: bool,
    is_quiet: bool,
    is_dry_run: bool,
    max_invalid: Option<MaxInvalid>,
    /// Number of files that the command reads; `None`: its batch is not a file.
    files: Option<usize>,
    /// The reports of several files.
    reports: Vec<Value>,
    failures: Vec<Exit>,
}

impl Reporter {
    /// Reports the batches of `crmflow process`.
    pub(super) fn new(args: &Process) -> Self {
        Self {
            json: args.json,
            is_quiet: args.talk.quiet,
            is_dry_run: args.dry_run,
            max_invalid: args.tolerance.max(),
            files: Some(args.files.len()),
            reports: Vec::new(),
            failures: Vec::new(),
        }
    }

    fn is_alone(&self) -> bool {
        self.files.is_none_or(|files| files == 1)
    }

    /// Reports the end of a file. An interruption ends the command. After any other failure of one file, the command continues with the others.
    pub(super) fn add(&mut self, path: &Path, ending: Result<Ending, Exit>) -> Result<(), Exit> {
        let failure = match ending {
            Ok(ending) => self.print(Some(path), &ending).err(),
            Err(exit) => Some(exit),
        };
        let Some(exit) = failure else { return Ok(()) };
        if self.is_alone() || exit.is_interruption() {
            return Err(exit);
        }
        let exit = exit.of_file(path);
        self.reports.extend(exit.refusal().map(|error| json!({ "file": path, "error": error })));
        self.failures.push(exit);
        Ok(())
    }

    /// The end of the command.
    pub(super) fn finish(self) -> Result<ExitCode, Exit> {
        if self.json && !self.is_alone() {
            super::print_json(&self.reports)?;
        }
        Exit::all(self.failures).map_or(Ok(ExitCode::SUCCESS), Err)
    }

    fn print(&mut self, path: Option<&Path>, ending: &Ending) -> Result<(), Exit> {
        let batch = &ending.ended.batch;
        if !batch.status.has_ended() {
            let why = ending.ended.failure.as_deref().unwrap_or("the flow did not end");
            return Err(Exit::failed(format!(
                "batch {} is not decided: {why}; nothing is lost, run the same command again to go on",
                batch.batch_id
            )));
        }
        match (self.json, self.is_alone()) {
            (true, true) => super::print_json(&self.json(path, ending))?,
            (true, false) => self.reports.push(self.json(path, ending)),
            (false, _) if self.is_quiet => {}
            (false, is_alone) => {
                let title = path.filter(|_| !is_alone).map(|path| format!("{}\n", path.display()));
                super::print(&(title.unwrap_or_default() + &self.text(ending)));
            }
        }
        self.verdict(&ending.ended)
    }

    fn verdict(&self, ended: &Ended) -> Result<(), Exit> {
        let batch = &ended.batch;
        if !succeeded(ended) {
            let why = ended.failure.as_deref().or(batch.error.as_deref()).unwrap_or("the flow failed");
            return Err(Exit::failed(format!("{why} (see: crmflow execution {})", batch.batch_id)));
        }
        let (invalid, received) = (batch.outcomes.of(Outcome::Invalid), batch.received.unwrap_or(0));
        let is_exceeded = self.max_invalid.is_some_and(|max| max.is_exceeded(invalid, received));
        let too_many = is_exceeded.then(|| {
            let rest = if self.is_dry_run { "" } else { "; the rest is stored" };
            let (invalid, received) = (grouped(invalid), grouped(received));
            format!(
                "{invalid} of {received} records are invalid, which is more than the command allows{rest}"
            )
        });
        let unread =
            (batch.unread_consent > 0).then(|| unread_consent(batch.unread_consent, self.is_dry_run));
        let reasons: Vec<String> = too_many.into_iter().chain(unread).collect();
        if reasons.is_empty() { Ok(()) } else { Err(Exit::failed(reasons.join(". "))) }
    }

    fn json(&self, path: Option<&Path>, ending: &Ending) -> Value {
        let batch = &ending.ended.batch;
        let summary = ending.ended.summary.as_ref();
        let pairs =
            |pairs: fn(&Summary) -> &Vec<Pair>| json!(summary.map(pairs).cloned().unwrap_or_default());
        let mut report = json!({
            "status": batch.status,
            "received": batch.received,
            "outcomes": batch.outcomes,
            "unreadConsent": batch.unread_consent,
            "late": batch.late,
            "faults": summary.map(|summary| &summary.fault_groups),
            "duplicates": pairs(|summary| &summary.duplicates),
            "conflicts": pairs(|summary| &summary.conflicts),
            "quarantine": ending.quarantine,
            "elapsedMs": ending.millis(),
        });
        if self.is_dry_run {
            report["dryRun"] = true.into();
        } else {
            report["batchId"] = json!(batch.batch_id);
        }
        if let Some(path) = path {
            report["file"] = json!(path);
        }
        report
    }

    fn text(&self, ending: &Ending) -> String {
        let Ending { ended, quarantine, .. } = ending;
        let (batch, millis) = (&ended.batch, ending.millis());
        let received = batch.received.unwrap_or(0);
        let rate = received.saturating_mul(1000) / millis.max(1);
        let name = if self.is_dry_run {
            "dry run, nothing is stored".to_owned()
        } else {
            format!("batch {}", batch.batch_id)
        };
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{name}: {} records in {}.{:03} s ({} a second)\n",
            grouped(received),
            millis / 1000,
            millis % 1000,
            grouped(rate)
        );
        for outcome in Outcome::ALL.into_iter().filter(|outcome| !outcome.is_of_events()) {
            let count = batch.outcomes.of(outcome);
            if count > 0 || !matches!(outcome, Outcome::Failed | Outcome::Cancelled) {
                let _ =
                    writeln!(text, "  {:<10} {:>12}   {}", outcome.name(), grouped(count), outcome.meaning());
            }
        }
        let _ = writeln!(text, "  {:<10} {:>12}", "total", grouped(batch.outcomes.total()));
        if batch.unread_consent > 0 {
            let _ = writeln!(text, "\n{}", unread_consent(batch.unread_consent, self.is_dry_run));
        }
        if batch.late > 0 {
            let late = grouped(batch.late);
            let _ = writeln!(
                text,
                "\n{late} of them are older than the stored statements; they are in the history"
            );
        }
        if let Some(summary) = &ended.summary {
            faults(&mut text, &summary.fault_groups);
            pairs(&mut text, "first duplicates", "has the address of", &summary.duplicates);
            pairs(&mut text, "first conflicts of opt-in", "disagrees with", &summary.conflicts);
        }
        if let Some(folder) = quarantine {
            let _ = writeln!(
                text,
                "\nquarantine: {folder}\n  crmflow quarantine list --batch {}",
                batch.batch_id
            );
        }
        text
    }
}

/// Prints the report of a batch that is not a file.
pub(super) fn print(
    folder: &DataFolder,
    ended: Ended,
    as_json: bool,
    began: Timestamp,
) -> Result<ExitCode, Exit> {
    let mut reporter = Reporter {
        json: as_json,
        is_quiet: false,
        is_dry_run: false,
        max_invalid: None,
        files: None,
        reports: Vec::new(),
        failures: Vec::new(),
    };
    reporter.print(None, &Ending::new(folder, ended, began))?;
    Ok(ExitCode::SUCCESS)
}

fn quarantine_folder(folder: &DataFolder, provider: &Name) -> String {
    let tenant = Name::default_tenant();
    let path = folder.paths.root().join("objects/quarantine").join(tenant.as_str()).join(provider.as_str());
    path.display().to_string()
}

/// An opt-out that crmflow does not understand could leave a person opted in, so the command fails.
fn unread_consent(count: u64, is_dry_run: bool) -> String {
    let records = if count == 1 { "1 record has" } else { &format!("{} records have", grouped(count)) };
    let what = format!(
        "{records} a consent word that crmflow does not understand; it is unknown whether these people agreed."
    );
    if is_dry_run { what } else { what + " The rest is stored; correct these in quarantine and replay them" }
}

/// Adds the faults by rule and place, with the first places of each.
pub(super) fn faults(text: &mut String, faults: &FaultGroups) {
    if faults.is_empty() {
        return;
    }
    text.push_str("\nfaults\n");
    for group in faults.groups() {
        let FaultGroup { rule, count, examples, .. } = group;
        // Records of a JSON list may share a line.
        let has_lines = examples.is_sorted_by(|a, b| a.line < b.line)
            && examples.first().is_some_and(|first| first.line > 0);
        let number = |example: &Example| if has_lines { example.line } else { example.index }.to_string();
        let mut places = examples.iter().map(number).collect::<Vec<_>>().join(", ");
        if *count > examples.len() as u64 {
            places.push_str(", ...");
        }
        let what = match (has_lines, examples.len()) {
            (true, 1) => "line",
            (true, _) => "lines",
            (false, 1) => "record",
            (false, _) => "records",
        };
        let _ = writeln!(text, "  {:>9}   {} ({rule}): {what} {places}", grouped(*count), group.sentence());
    }
}

fn pairs(text: &mut String, title: &str, relation: &str, pairs: &[Pair]) {
    if pairs.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}");
    for Pair { index, other } in pairs {
        let _ = writeln!(text, "  record {index} {relation} record {other}");
    }
}
