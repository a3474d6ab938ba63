//! Runs one workload by name.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use benches::{Error, b1, b4, b5, b7, b10, b12, b13, clean, generate::Plan, place::Place, report::Report};
use clap::{Args, Parser, Subcommand};
use serde::Serialize;

/// How fast crmflow is, beside its peers.
#[derive(Debug, Parser)]
struct Cli {
    /// The folder for record sets, results and the peers' packages.
    #[arg(long, global = true, default_value = "target/benches", value_name = "FOLDER")]
    work: PathBuf,
    /// Write the result to this file, as JSON.
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(subcommand)]
    workload: Workload,
}

#[derive(Debug, Subcommand)]
enum Workload {
    /// Write a record set, and print its right counts.
    Generate(Set),
    /// Read a file of records; write opted-in records and faults.
    B1(Contest),
    /// Check one record.
    B4(Contest),
    /// Events: latency at a steady rate, maximum intake, deliveries a second.
    B5(Events),
    /// The engine: transitions a second, in memory and durable.
    B7(Engine),
    /// The whole flow, durable.
    B10(Whole),
    /// The Lambda binaries: size, start, memory.
    B12(Starts),
    /// The cost of a million records, from the deployed definitions.
    B13,
    /// Run each benchmark at its smallest size, without peers, and check its counts.
    Smallest(Program),
    /// Our part of B1.
    #[command(hide = true)]
    Clean { input: PathBuf, output: PathBuf },
    /// Our part of B7.
    #[command(hide = true)]
    Engine(OneRun),
}

#[derive(Debug, Args)]
struct Engine {
    /// Number of runs of each program.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Without the peers.
    #[arg(long)]
    no_peers: bool,
    /// The program; without it the one beside this one.
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Events {
    #[command(flatten)]
    everyone: Engine,
    /// Seconds of the steady rate.
    #[arg(long, default_value_t = 60)]
    steady: u64,
    /// Seconds of the maximum rate.
    #[arg(long, default_value_t = 10)]
    ceiling: u64,
    /// Number of delivered events.
    #[arg(long, default_value_t = 100_000)]
    delivered: u64,
}

#[derive(Debug, Args)]
struct OneRun {
    workload: b7::Workload,
    executions: u64,
    #[arg(long, requires = "data")]
    program: Option<PathBuf>,
    #[arg(long, requires = "program")]
    data: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Set {
    /// Number of records.
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// The seed of the records.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Thirty fields instead of four.
    #[arg(long)]
    wide: bool,
}

#[derive(Debug, Args)]
struct Contest {
    #[command(flatten)]
    set: Set,
    /// Number of runs of each program.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Without Python.
    #[arg(long)]
    no_peers: bool,
}

#[derive(Debug, Args)]
struct Whole {
    #[command(flatten)]
    contest: Contest,
    /// The program; without it the one beside this one.
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Program {
    /// The program; without it the one beside this one.
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Starts {
    /// The output folder of `sam build`.
    #[arg(long, default_value = ".aws-sam/build", value_name = "FOLDER")]
    build: PathBuf,
    /// Number of starts of each program.
    #[arg(long, default_value_t = 11)]
    rounds: usize,
    /// Without Python.
    #[arg(long)]
    no_peers: bool,
}

impl Set {
    fn plan(&self) -> Plan {
        Plan { seed: self.seed, records: self.records, wide: self.wide }
    }
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            benches::report::progress(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), Error> {
    let place = || Place::new(&cli.work);
    let keep = cli.json.as_deref();
    match &cli.workload {
        Workload::Generate(set) => {
            let (_, oracle) = place()?.records(&set.plan())?;
            give(&oracle.counts, |counts| format!("{counts:#?}"), keep)
        }
        Workload::B1(Contest { set, rounds, no_peers }) => {
            give(&b1::run(&place()?, &set.plan(), *rounds, !no_peers)?, table, keep)
        }
        Workload::B4(Contest { set, rounds, .. }) => {
            // Records outside of the cache would measure memory instead of the check.
            let plan = Plan { records: set.records.min(100_000), ..set.plan() };
            give(&b4::run(&plan, *rounds)?, ToString::to_string, keep)
        }
        Workload::B10(Whole { contest: Contest { set, rounds, no_peers }, program }) => {
            let program = program.clone().map_or_else(beside, Ok)?;
            give(&b10::run(&place()?, &program, &set.plan(), *rounds, !no_peers)?, table, keep)
        }
        Workload::B12(Starts { build, rounds, no_peers }) => {
            give(&b12::run(&place()?, build, *rounds, !no_peers)?, ToString::to_string, keep)
        }
        Workload::B13 => {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
            give(&b13::bill(&b13::Stack::read(&root)?)?, ToString::to_string, keep)
        }
        Workload::B5(Events {
            everyone: Engine { rounds, no_peers, program },
            steady,
            ceiling,
            delivered,
        }) => {
            let program = program.clone().map_or_else(beside, Ok)?;
            let size = b5::Size {
                steady: Duration::from_secs(*steady),
                ceiling: Duration::from_secs(*ceiling),
                delivered: *delivered,
            };
            give(&b5::run(&place()?, &program, *rounds, size, !no_peers)?, ToString::to_string, keep)
        }
        Workload::B7(Engine { rounds, no_peers, program }) => {
            let program = program.clone().map_or_else(beside, Ok)?;
            give(&b7::run(&place()?, &program, *rounds, u64::MAX, !no_peers)?, ToString::to_string, keep)
        }
        Workload::Smallest(Program { program }) => {
            smallest(&place()?, &program.clone().map_or_else(beside, Ok)?)
        }
        Workload::Clean { input, output } => clean_one(input, output),
        Workload::Engine(OneRun { workload, executions, program, data }) => {
            let ran = match program.as_ref().zip(data.as_ref()) {
                Some((program, data)) => b7::durable(*workload, *executions, program, data)?,
                None => b7::in_memory(*workload, *executions)?,
            };
            give(&ran, |ran| serde_json::to_string(ran).unwrap_or_default(), None)
        }
    }
}

/// A wrong result is an error; times do not count.
fn smallest(place: &Place, program: &Path) -> Result<(), Error> {
    const SECOND: Duration = Duration::from_secs(1);
    let plan = Plan { seed: 7, records: 5_000, wide: false };
    b1::run(place, &plan, 1, false)?;
    b4::run(&plan, 1)?;
    let size = b5::Size { steady: SECOND, ceiling: SECOND, delivered: 1_000 };
    b5::run(place, program, 1, size, false)?;
    b7::run(place, program, 1, 20, false)?;
    b10::run(place, program, &plan, 1, false)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    b13::bill(&b13::Stack::read(&root)?)?;
    Ok(())
}

fn table(report: &Report) -> String {
    report.text()
}

/// `crmflow` in the folder of this program.
fn beside() -> Result<PathBuf, Error> {
    let this = std::env::current_exe().map_err(Error::of("this program"))?;
    Ok(this.with_file_name("crmflow"))
}

#[expect(clippy::print_stdout, reason = "a command line tool")]
fn give<T: Serialize>(result: &T, text: impl Fn(&T) -> String, keep: Option<&Path>) -> Result<(), Error> {
    println!("{}", text(result));
    let Some(path) = keep else {
        return Ok(());
    };
    let json = serde_json::to_string_pretty(result).map_err(std::io::Error::from);
    json.and_then(|json| fs::write(path, json)).map_err(Error::at(path))
}

/// One run of ours for B1; prints its counts as a peer does.
fn clean_one(input: &Path, output: &Path) -> Result<(), Error> {
    let began = Instant::now();
    let (opt_ins, errors) = (output.join("opt-ins.ndjson"), output.join("errors.ndjson"));
    let counts = clean::clean(input, &opt_ins, &errors, b1::THREADS).map_err(Error::at(input))?;
    let seconds = began.elapsed().as_secs_f64();
    let said =
        serde_json::json!({ "version": env!("CARGO_PKG_VERSION"), "seconds": seconds, "counts": counts });
    give(&said, ToString::to_string, None)
}
