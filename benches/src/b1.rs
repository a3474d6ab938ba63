//! B1: reads a file of records; writes opted-in records as JSON lines, and refused ones with their faults. No store.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::Command,
};

use serde::Deserialize;

use crate::{
    child::Run,
    contest::{self, Contestant, Judged},
    error::Error,
    gate::Gate,
    generate::{Counts, Digest, Oracle, Plan},
    peers::{self, Said, Script},
    place::Place,
    report::Report,
};

/// Number of threads of each program.
pub const THREADS: usize = 2;

/// Minimum ratio of a peer's time to ours. DuckDB is as strict as crmflow, and Polars is not.
const TARGET: [(&str, f64); 2] = [("DuckDB", 6.0), ("Polars", 2.5)];
const TARGET_PEAK_MIB: f64 = 100.0;

/// Runs the benchmark.
pub fn run(place: &Place, plan: &Plan, rounds: usize, with_peers: bool) -> Result<Report, Error> {
    let (input, oracle) = place.records(plan)?;
    let output = {
        let place = place.clone();
        move || place.empty("b1")
    };
    let mut contestants: Vec<Box<dyn Contestant>> =
        vec![Box::new(Ours { input: input.clone(), place: place.clone(), oracle })];
    if with_peers {
        let python = place.python(&peers::folder().join("requirements.txt"))?;
        let left = place.path("b1");
        let strict = left.clone();
        contestants.push(Box::new(Script {
            name: "DuckDB",
            python: python.clone(),
            script: "b1_duckdb.py",
            input: input.clone(),
            output: Box::new(output.clone()),
            judge: move |said: Said| strictly("DuckDB", said, &strict, &oracle),
        }));
        contestants.push(Box::new(Script {
            name: "Polars",
            python,
            script: "b1_polars.py",
            input,
            output: Box::new(output),
            judge: move |said: Said| Ok(leniently(said, &oracle)),
        }));
    }
    let mut report = contest::hold("B1", rounds, &mut contestants)?;
    report.notes.extend(gates(&report).iter().map(Gate::to_string));
    Ok(report)
}

fn gates(report: &Report) -> Vec<Gate> {
    let Some(ours) = report.rows.first() else {
        return Vec::new();
    };
    let of_peers = TARGET.into_iter().filter_map(|(name, least)| {
        let peer = report.rows.iter().find(|row| row.name == name)?;
        let ratio = peer.work().median / ours.wall().median;
        Some(Gate::at_least(format!("time of {name}'s work, in ours"), ratio, least))
    });
    [Gate::at_most("peak memory, MiB", ours.peak_mib(), TARGET_PEAK_MIB)]
        .into_iter()
        .chain(of_peers)
        .collect()
}

/// Ours: `clean` of this program as a child process, so that its memory is measured like that of the peers.
struct Ours {
    input: PathBuf,
    place: Place,
    oracle: Oracle,
}

impl Contestant for Ours {
    fn name(&self) -> String {
        "crmflow".into()
    }

    fn command(&mut self) -> Result<Command, Error> {
        let program = std::env::current_exe().map_err(Error::of("this program"))?;
        let mut command = Command::new(program);
        command.arg("clean").arg(&self.input).arg(self.place.empty("b1")?);
        Ok(command)
    }

    fn judge(&mut self, run: &Run) -> Result<Judged, Error> {
        strictly("crmflow", Said::read("crmflow", run)?, &self.place.path("b1"), &self.oracle)
    }
}

/// The counts, the content of the opted-in file and the length of the error file must be right.
pub fn strictly(name: &str, said: Said, left: &Path, oracle: &Oracle) -> Result<Judged, Error> {
    check_counts(name, &said.counts, &oracle.counts)?;
    let stored = digest(&left.join("opt-ins.ndjson"))?;
    if stored != oracle.opted_in {
        let why = format!("the opted-in file holds {stored:?}; {:?} is right", oracle.opted_in);
        return Err(Error::wrong(name, why));
    }
    let errors = left.join("errors.ndjson");
    let faults = BufReader::new(File::open(&errors).map_err(Error::at(&errors))?).lines().count() as u64;
    if faults != oracle.counts.invalid {
        return Err(Error::wrong(name, format!("the error file has {faults} lines")));
    }
    Ok(Judged { inside: Some(said.seconds), inexact: None, version: said.version })
}

/// Fails where the counts differ.
pub fn check_counts(name: &str, counted: &Counts, right: &Counts) -> Result<(), Error> {
    if counted == right {
        return Ok(());
    }
    Err(Error::wrong(name, format!("it counted {counted:?}; {right:?} is right")))
}

/// The counts may differ; the report shows the difference.
pub fn leniently(said: Said, oracle: &Oracle) -> Judged {
    let (counted, right) = (said.counts, oracle.counts);
    let inexact = (counted != right).then(|| {
        format!(
            "{} of {} invalid records refused, {} saved where {} is right, {} duplicates where {} is right",
            counted.invalid, right.invalid, counted.saved, right.saved, counted.duplicate, right.duplicate
        )
    });
    Judged { inside: Some(said.seconds), inexact, version: said.version }
}

/// The content of a file of contacts.
fn digest(path: &Path) -> Result<Digest, Error> {
    #[derive(Deserialize)]
    struct Contact {
        name: String,
        email: String,
    }
    let mut digest = Digest::default();
    for line in BufReader::new(File::open(path).map_err(Error::at(path))?).lines() {
        let line = line.map_err(Error::at(path))?;
        let contact: Contact = serde_json::from_str(&line)
            .map_err(|error| Error::wrong("the opted-in file", error.to_string()))?;
        digest.add(&contact.name, &contact.email);
    }
    Ok(digest)
}
