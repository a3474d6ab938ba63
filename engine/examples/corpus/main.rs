//! Compares the engine with cases recorded from AWS: `cargo run -p states --example corpus -- DIR|FILE.jsonl
//! [FILTER]`.
//!
//! Each line is a JSON case. The kinds are: `execution` (compares status, output, error, cause and history),
//! `create_error` (compares the refusal's message), `validate` (compares the diagnostics) and `test_state`
//! (compares the test of one state).

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people who look at its output")]

mod compare;
mod mock;
mod play;
mod refuse;
mod test_state;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value as Json;

/// The first difference between a case and the engine's result.
pub(crate) enum Difference {
    Refused(String),
    Status(String),
    /// The output or the error's name differs.
    Output(String),
    Cause(String),
    History(String),
    /// The example does not run this kind of case.
    NotRun,
}

/// The counts of a group: all cases, equal ones, and each kind of difference.
#[derive(Clone, Default)]
struct Counts {
    all: usize,
    same: usize,
    differing: [usize; 6],
}

const COLUMNS: [&str; 6] = ["refused", "status", "output", "cause", "history", "not run"];

fn main() {
    let mut path = PathBuf::from(std::env::args().nth(1).unwrap());
    if path.is_dir() {
        path.push("cases.jsonl");
    }
    let only = std::env::args().nth(2).unwrap_or_default();
    let mut groups: BTreeMap<String, Counts> = BTreeMap::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let case: Json = serde_json::from_str(line).unwrap();
        let (id, group) = (case["id"].as_str().unwrap(), case["group"].as_str().unwrap());
        if !id.contains(&only) && !group.contains(&only) {
            continue;
        }
        let outcome = match case["kind"].as_str().unwrap() {
            "execution" => play::check(&case),
            "create_error" => refuse::create(&case),
            "test_state" => test_state::check(&case),
            "validate" => refuse::validate(&case),
            _ => Err(Difference::NotRun),
        };
        let counts = groups.entry(group.to_owned()).or_default();
        counts.all += 1;
        match outcome {
            Ok(()) => counts.same += 1,
            Err(difference) => {
                let (column, what) = match difference {
                    Difference::Refused(what) => (0, what),
                    Difference::Status(what) => (1, what),
                    Difference::Output(what) => (2, what),
                    Difference::Cause(what) => (3, what),
                    Difference::History(what) => (4, what),
                    Difference::NotRun => (5, String::new()),
                };
                counts.differing[column] += 1;
                if column < 5 {
                    println!("{id}\n    {}: {what}\n", COLUMNS[column]);
                }
            }
        }
    }
    table(&groups);
}

fn table(groups: &BTreeMap<String, Counts>) {
    let row = |name: &str, cells: [String; 8]| {
        println!("{name:26}{}", cells.map(|cell| format!("{cell:>9}")).concat());
    };
    let cells = |all: &str, same: &str, rest: [String; 6]| {
        let mut cells = vec![all.to_owned(), same.to_owned()];
        cells.extend(rest);
        <[String; 8]>::try_from(cells).unwrap()
    };
    row("group", cells("cases", "same", COLUMNS.map(str::to_owned)));
    let (mut sum, mut share, mut ran) = (Counts::default(), 0.0, 0.0);
    for (group, counts) in groups {
        row(
            group,
            cells(&counts.all.to_string(), &counts.same.to_string(), counts.differing.map(|n| n.to_string())),
        );
        let tried = counts.all - counts.differing[5];
        if tried > 0 {
            ran += 1.0;
            share += percent(counts.same, tried);
        }
        sum.all += counts.all;
        sum.same += counts.same;
        for (sum, own) in sum.differing.iter_mut().zip(counts.differing) {
            *sum += own;
        }
    }
    row("all", cells(&sum.all.to_string(), &sum.same.to_string(), sum.differing.map(|n| n.to_string())));
    let tried = sum.all - sum.differing[5];
    println!(
        "same: {:.1} % of the cases run, {:.1} % in the mean of the groups",
        percent(sum.same, tried),
        share / ran
    );
}

#[expect(clippy::cast_precision_loss, reason = "a share for people")]
fn percent(part: usize, all: usize) -> f64 {
    part as f64 * 100.0 / all.max(1) as f64
}

/// The definition's text.
pub(crate) fn definition(case: &Json) -> String {
    case["definition_text"].as_str().map_or_else(|| case["definition"].to_string(), str::to_owned)
}
