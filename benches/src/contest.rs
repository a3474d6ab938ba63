//! A workload and its programs, which run in turns: A B C, A B C.

use std::process::Command;

use crate::{
    child::{self, Run},
    error::Error,
    report::{Report, Row, load},
};

/// The judgement of a run.
#[derive(Clone, Debug, Default)]
pub struct Judged {
    /// The work by the program's own clock, without its start and imports, in seconds.
    pub inside: Option<f64>,
    /// The permitted difference from the right result, if there is one.
    pub inexact: Option<String>,
    /// Its version.
    pub version: String,
}

/// A program that does a workload.
pub trait Contestant {
    /// Its name in the report.
    fn name(&self) -> String;

    /// The next run, with all results of earlier runs deleted.
    fn command(&mut self) -> Result<Command, Error>;

    /// The permitted exit codes.
    fn codes(&self) -> &'static [i32] {
        &[0]
    }

    /// Judges the result of a run. An error ends the benchmark: a wrong run has no time.
    fn judge(&mut self, run: &Run) -> Result<Judged, Error>;
}

/// Runs all programs in turn, `rounds` times; the first program is ours.
pub fn hold(
    workload: &str,
    rounds: usize,
    contestants: &mut [Box<dyn Contestant + '_>],
) -> Result<Report, Error> {
    let mut rows: Vec<Row> = contestants.iter().map(|one| Row::new(one.name())).collect();
    let load_before = load();
    for round in 1..=rounds {
        for (contestant, row) in contestants.iter_mut().zip(&mut rows) {
            let name = contestant.name();
            let run = child::run(&name, &mut contestant.command()?, contestant.codes())?;
            let judged = contestant.judge(&run)?;
            crate::report::progress(&format!("{workload} {round}/{rounds}: {name} {:.3} s", run.wall));
            row.add(run, judged);
        }
    }
    Ok(Report::new(workload, rows, [load_before, load()]))
}
