//! B7: the engine. Measures state transitions a second, in memory and durable, and the time of six states.

mod endpoint;
mod machines;
mod run;

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

use serde::{Deserialize, Serialize};

pub use machines::Workload;
pub use run::{durable, in_memory};

use crate::{
    child,
    error::Error,
    gate::Gate,
    peers,
    place::Place,
    report::{Spread, load, progress},
};

/// Minimum transitions a second, in memory and durable.
const TARGET: [f64; 2] = [1_000_000.0, 300_000.0];
/// Maximum p99 of six durable states from start to end, in milliseconds.
const TARGET_MILLIS: f64 = 2.0;

/// A program that runs workloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Executor {
    /// The engine alone.
    Memory,
    /// `crmflow serve`, through its Step Functions endpoint.
    Durable,
    /// moto, in a separate process.
    Moto,
}

/// The result of a run, which it prints as one line of JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ran {
    /// The version of the program.
    pub version: String,
    /// Time from the first start to the last end.
    pub seconds: f64,
    /// Number of entered states.
    pub transitions: u64,
    /// Time of each execution from start to end, in milliseconds; empty if executions ran at once.
    #[serde(default)]
    pub millis: Vec<f64>,
}

/// The results of one program for one workload.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The workload.
    pub workload: Workload,
    /// The program.
    #[serde(rename = "who")]
    pub executor: Executor,
    /// The version of the program.
    pub version: String,
    /// Transitions a second.
    pub rate: Spread,
    /// CPU time for each transition, on all cores, in microseconds; includes the client.
    pub cpu_micros: Spread,
    /// Peak resident memory, in bytes.
    pub peak: u64,
    /// Time of an execution from start to end, in milliseconds: median and p99.
    pub latency: Option<[f64; 2]>,
}

/// The results of all programs.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The load average of the last minute, before and after.
    pub load: [f64; 2],
    /// A row for each pair of workload and program.
    pub rows: Vec<Row>,
}

/// Runs every workload with all programs in turn. `most` is the maximum number of executions in a run.
pub fn run(
    place: &Place,
    program: &Path,
    rounds: usize,
    most: u64,
    with_peers: bool,
) -> Result<Report, Error> {
    let python = with_peers.then(|| place.python(&peers::folder().join("requirements.txt"))).transpose()?;
    let before = load();
    let mut rows = Vec::new();
    for workload in Workload::ALL {
        let everyone = [Executor::Memory, Executor::Durable, Executor::Moto];
        let takes_part = |executor: &Executor| match executor {
            Executor::Memory => workload.runs_anywhere(),
            Executor::Durable => true,
            Executor::Moto => python.is_some() && workload.runs_anywhere(),
        };
        let mut runs: Vec<_> =
            everyone.into_iter().filter(takes_part).map(|executor| (executor, Vec::new())).collect();
        for round in 1..=rounds {
            for (executor, runs) in &mut runs {
                let name = format!("{workload:?} {executor:?}");
                let count = workload.executions(*executor).min(most);
                let mut command = command(place, program, python.as_ref(), *executor, workload, count)?;
                let run = child::run(&name, &mut command, &[0])?;
                let ran: Ran = serde_json::from_str(run.output.trim()).map_err(|error| {
                    Error::wrong(&name, format!("its last line is not the JSON of a run: {error}"))
                })?;
                check(&name, workload, count, &ran)?;
                progress(&format!("B7 {round}/{rounds}: {name} {:.0}/s", rate(&ran)));
                runs.push((run, ran));
            }
        }
        rows.extend(runs.into_iter().map(|(executor, runs)| Row::of(workload, executor, &runs)));
    }
    Ok(Report { load: [before, load()], rows })
}

fn command(
    place: &Place,
    program: &Path,
    python: Option<&PathBuf>,
    executor: Executor,
    workload: Workload,
    count: u64,
) -> Result<Command, Error> {
    let count = count.to_string();
    if let (Executor::Moto, Some(python)) = (executor, python) {
        let definition = place.path("b7.json");
        let case = serde_json::json!({ "definition": workload.definition(), "input": workload.input(0) });
        std::fs::write(&definition, case.to_string()).map_err(Error::at(&definition))?;
        let mut command = Command::new(python);
        let states = workload.transitions().to_string();
        command.arg(peers::folder().join("b7_moto.py")).arg(definition).arg(count).arg(states);
        return Ok(command);
    }
    let this = std::env::current_exe().map_err(Error::of("this program"))?;
    let mut command = Command::new(this);
    command.arg("engine").arg(workload.name()).arg(count);
    if executor == Executor::Durable {
        command.arg("--program").arg(program).arg("--data").arg(place.empty("b7")?);
    }
    Ok(command)
}

/// Checks that a run entered every state: the time of an incomplete run does not count.
fn check(name: &str, workload: Workload, count: u64, ran: &Ran) -> Result<(), Error> {
    let right = count * workload.transitions();
    if ran.transitions == right {
        return Ok(());
    }
    Err(Error::wrong(name, format!("it made {} transitions instead of {right}", ran.transitions)))
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(ran: &Ran) -> f64 {
    ran.transitions as f64 / ran.seconds
}

impl Row {
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    fn of(workload: Workload, executor: Executor, runs: &[(child::Run, Ran)]) -> Self {
        let mut millis: Vec<f64> = runs.iter().flat_map(|(_, ran)| ran.millis.iter().copied()).collect();
        millis.sort_by(f64::total_cmp);
        let latency = millis.get(millis.len() / 2).zip(millis.get(millis.len() * 99 / 100));
        Self {
            workload,
            executor,
            version: runs.first().map_or_else(String::new, |(_, ran)| ran.version.clone()),
            rate: Spread::of(runs.iter().map(|(_, ran)| rate(ran))),
            cpu_micros: Spread::of(runs.iter().map(|(run, ran)| run.cpu * 1e6 / ran.transitions as f64)),
            peak: runs.iter().map(|(run, _)| run.peak).max().unwrap_or(0),
            latency: latency.map(|(median, most)| [*median, *most]),
        }
    }

    fn gate(&self) -> Option<Gate> {
        let target = match (self.workload, self.executor) {
            (Workload::Chain, Executor::Memory) => TARGET[0],
            (Workload::Chain, Executor::Durable) => TARGET[1],
            (Workload::Six, Executor::Durable) => {
                let [_, most] = self.latency?;
                return Some(Gate::at_most("six states durable, p99 ms", most, TARGET_MILLIS));
            }
            _ => return None,
        };
        Some(Gate::at_least(format!("chain, {:?}, transitions/s", self.executor), self.rate.median, target))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "B7: load average {:.2} before, {:.2} after\n", self.load[0], self.load[1])?;
        writeln!(
            f,
            "| workload | executor | transitions/s, median (min-max) | CPU us each | peak MiB | start to end ms, median and p99 |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for row in &self.rows {
            let Row { workload, executor, version, rate, cpu_micros, peak, latency } = row;
            let latency =
                latency.map_or_else(String::new, |[median, most]| format!("{median:.2}, {most:.2}"));
            let (median, min, max, cpu, peak) =
                (rate.median, rate.min, rate.max, cpu_micros.median, peak / 1_048_576);
            let line = format!("{median:.0} ({min:.0}-{max:.0}) | {cpu:.2} | {peak} | {latency}");
            writeln!(f, "| {} | {executor:?} ({version}) | {line} |", workload.name())?;
        }
        self.rows.iter().filter_map(Row::gate).try_for_each(|gate| writeln!(f, "\n{gate}"))
    }
}
