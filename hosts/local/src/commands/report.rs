//! What `crmflow process` says at its end.

use std::{fmt::Write, process::ExitCode};

use batches::Pair;
use jiff::Timestamp;
use kernel::{Name, Outcome, fault::PlacedFault};
use serde_json::json;
use step_functions::clock;

use super::{
    grouped,
    process::{Ended, succeeded},
};
use crate::{data_folder::DataFolder, exit::Exit};

/// Prints the summary for a person or for a program; the exit code says whether the flow ran.
pub(super) fn print(
    folder: &DataFolder,
    ended: &Ended,
    as_json: bool,
    began: Timestamp,
) -> Result<ExitCode, Exit> {
    let elapsed = clock::now().duration_since(began);
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(0);
    let batch = &ended.batch;
    if !batch.status.has_ended() {
        let why = ended.failure.as_deref().unwrap_or("the flow did not end");
        return Err(Exit::failed(format!(
            "batch {} is not decided: {why}; nothing is lost, run the same command again to go on",
            batch.batch_id
        )));
    }
    let kept = batch.outcomes.of(Outcome::Invalid) + batch.outcomes.of(Outcome::Failed);
    let quarantine = (kept > 0).then(|| quarantine_folder(folder, &batch.provider));
    if as_json {
        super::print_json(&json!({
            "batchId": batch.batch_id,
            "status": batch.status,
            "received": batch.received,
            "outcomes": batch.outcomes,
            "unreadConsent": batch.unread_consent,
            "late": batch.late,
            "quarantine": quarantine,
            "elapsedMs": millis,
        }))?;
    } else {
        super::print(&text(ended, quarantine.as_deref(), millis));
    }
    if succeeded(ended) && batch.unread_consent == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    if succeeded(ended) {
        return Err(Exit::failed(unread_consent(batch.unread_consent)));
    }
    let why = ended.failure.as_deref().or(batch.error.as_deref()).unwrap_or("the flow failed");
    Err(Exit::failed(format!("{why} (see: crmflow execution {})", batch.batch_id)))
}

fn quarantine_folder(folder: &DataFolder, provider: &Name) -> String {
    let tenant = Name::default_tenant();
    let path = folder.paths.root().join("objects/quarantine").join(tenant.as_str()).join(provider.as_str());
    path.display().to_string()
}

/// An opt-out that is not understood leaves a person opted in, so it is no result like others.
fn unread_consent(count: u64) -> String {
    let records = if count == 1 { "1 record says" } else { &format!("{} records say", grouped(count)) };
    format!(
        "{records} something about consent that is not understood; whether these people agreed is not known. \
         The rest is stored; correct these in quarantine and replay them"
    )
}

fn text(ended: &Ended, quarantine: Option<&str>, millis: u64) -> String {
    let batch = &ended.batch;
    let received = batch.received.unwrap_or(0);
    let rate = received.saturating_mul(1000) / millis.max(1);
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "batch {}: {} records in {}.{:03} s ({} a second)\n",
        batch.batch_id,
        grouped(received),
        millis / 1000,
        millis % 1000,
        grouped(rate)
    );
    for outcome in Outcome::ALL.into_iter().filter(|outcome| !outcome.is_of_events()) {
        let count = batch.outcomes.of(outcome);
        if count > 0 || !matches!(outcome, Outcome::Failed | Outcome::Cancelled) {
            let _ = writeln!(text, "  {:<10} {:>12}   {}", outcome.name(), grouped(count), outcome.meaning());
        }
    }
    let _ = writeln!(text, "  {:<10} {:>12}", "total", grouped(batch.outcomes.total()));
    if batch.unread_consent > 0 {
        let _ = writeln!(text, "\n{}", unread_consent(batch.unread_consent));
    }
    if batch.late > 0 {
        let late = grouped(batch.late);
        let _ =
            writeln!(text, "\n{late} of them came after a word that was said later; they are in the history");
    }
    if let Some(summary) = &ended.summary {
        faults(&mut text, &summary.faults);
        pairs(&mut text, "first duplicates", "has the address of", &summary.duplicates);
        pairs(&mut text, "first conflicts of opt-in", "disagrees with", &summary.conflicts);
    }
    if let Some(folder) = quarantine {
        let _ =
            writeln!(text, "\nquarantine: {folder}\n  crmflow quarantine list --batch {}", batch.batch_id);
    }
    text
}

fn faults(text: &mut String, faults: &[PlacedFault]) {
    if faults.is_empty() {
        return;
    }
    text.push_str("\nfirst faults\n");
    for PlacedFault { index, line, fault } in faults {
        let place = if *line == 0 { String::new() } else { format!("line {line}, ") };
        let _ = writeln!(text, "  {place}record {index}: {} ({})", fault.sentence(), fault.rule);
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
