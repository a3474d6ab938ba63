//! A workload and those who do it, in turns: A B C, A B C.

use std::process::Command;

use crate::{
    child::{self, Run},
    error::Error,
    report::{Report, Row, load},
};

/// What a run was worth.
#[derive(Clone, Debug, Default)]
pub struct Judged {
    /// What the program says the work itself took, without its own start and imports, in seconds.
    pub inside: Option<f64>,
    /// How the result differs from the right one, where that is allowed.
    pub inexact: Option<String>,
    /// Its version.
    pub version: String,
}

/// One who does a workload.
pub trait Contestant {
    /// What it is called in the report.
    fn name(&self) -> String;

    /// The program to run next; everything an earlier run left is gone.
    fn command(&mut self) -> Result<Command, Error>;

    /// The exit codes that it may end with.
    fn codes(&self) -> &'static [i32] {
        &[0]
    }

    /// Looks at what the run did. An error is the end: a wrong run is not a time.
    fn judge(&mut self, run: &Run) -> Result<Judged, Error>;
}

/// Runs everyone in turn, `rounds` times, and reports; the first contestant is ours.
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
