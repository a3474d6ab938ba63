//! The report of a workload.

use std::fmt::Write as _;

use serde::Serialize;

use crate::{child::Run, contest::Judged};

/// The report of a workload.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Its name.
    pub workload: String,
    /// Number of threads that can run concurrently.
    pub cores: usize,
    /// The load average of the last minute, before and after.
    pub load: [f64; 2],
    /// One for each program; ours first.
    pub rows: Vec<Row>,
    /// Further notes, a sentence each.
    pub notes: Vec<String>,
}

/// All runs of one program.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Each run.
    pub runs: Vec<Run>,
    /// The work by its own clock, in seconds, without its start and imports.
    pub inside: Vec<f64>,
    /// The difference of its results from the right ones.
    pub inexact: Option<String>,
}

/// Median, minimum and maximum of some numbers.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// The spread of these numbers; zeros without any.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else {
            return Self { median: 0.0, min: 0.0, max: 0.0 };
        };
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Self { median: f64::midpoint(low, high), min, max }
    }
}

impl Row {
    pub(crate) fn new(name: String) -> Self {
        Self { name, version: String::new(), runs: Vec::new(), inside: Vec::new(), inexact: None }
    }

    pub(crate) fn add(&mut self, run: Run, judged: Judged) {
        self.runs.push(run);
        self.inside.extend(judged.inside);
        self.version = judged.version;
        self.inexact = judged.inexact;
    }

    /// Wall time from start to end.
    pub fn wall(&self) -> Spread {
        Spread::of(self.runs.iter().map(|run| run.wall))
    }

    /// The work alone by the program's own clock, or the wall time without such a clock.
    pub fn work(&self) -> Spread {
        if self.inside.is_empty() { self.wall() } else { Spread::of(self.inside.iter().copied()) }
    }

    /// User and system time, with that of the start.
    pub fn cpu(&self) -> Spread {
        Spread::of(self.runs.iter().map(|run| run.cpu))
    }

    /// Peak resident memory of all runs.
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub fn peak_mib(&self) -> f64 {
        self.runs.iter().map(|run| run.peak).max().unwrap_or(0) as f64 / 1_048_576.0
    }
}

impl Report {
    pub(crate) fn new(workload: &str, rows: Vec<Row>, load: [f64; 2]) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { workload: workload.to_owned(), cores, load, rows, notes: Vec::new() }
    }

    /// The report as a table for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{}: {} cores, load average {:.2} before, {:.2} after\n",
            self.workload, self.cores, self.load[0], self.load[1]
        );
        let _ = writeln!(
            text,
            "| who | wall s, median (min-max) | work s | CPU s | peak MiB | threads | work : our wall |\n\
             |---|---|---|---|---|---|---|"
        );
        let ours = self.rows.first().map_or(0.0, |row| row.wall().median);
        for (at, row) in self.rows.iter().enumerate() {
            let (wall, work, cpu) = (row.wall(), row.work(), row.cpu());
            let peak = row.peak_mib();
            let threads = row.runs.iter().map(|run| run.threads).max().unwrap_or(0);
            let ratio = if at == 0 { "1".to_owned() } else { format!("{:.2}", work.median / ours) };
            let _ = writeln!(
                text,
                "| {} ({}) | {:.3} ({:.3}-{:.3}) | {:.3} | {:.2} | {peak:.0} | {threads} | {ratio} |",
                row.name, row.version, wall.median, wall.min, wall.max, work.median, cpu.median
            );
        }
        let inexact = self.rows.iter().filter_map(|row| Some((&row.name, row.inexact.as_ref()?)));
        for (name, how) in inexact {
            let _ = writeln!(text, "\n{name} is not exact: {how}");
        }
        for note in &self.notes {
            let _ = writeln!(text, "\n{note}");
        }
        text
    }
}

/// The load average of the last minute; zero without that figure.
pub fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

/// Prints the progress to the standard error.
#[expect(clippy::print_stderr, reason = "a command line tool")]
pub fn progress(line: &str) {
    eprintln!("{line}");
}
