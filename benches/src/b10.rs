//! B10: the whole flow. `crmflow process` runs a file of records through state machines, functions and store. The result is
//! durable when the command ends.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use rusqlite::{Connection, OpenFlags};
use serde::Deserialize;

use crate::{
    b1,
    child::Run,
    contest::{self, Contestant, Judged},
    error::Error,
    gate::Gate,
    generate::{Counts, Digest, Oracle, Plan},
    peers::{self, Said, Script},
    place::Place,
    report::Report,
};

/// Maximum wall time and CPU time, as multiples of DuckDB's in the same run.
const TARGET_WALL: f64 = 2.0;
const TARGET_CPU: f64 = 2.2;
const TARGET_PEAK_MIB: f64 = 256.0;

/// Runs the benchmark with the program at `program`.
pub fn run(
    place: &Place,
    program: &Path,
    plan: &Plan,
    rounds: usize,
    with_peers: bool,
) -> Result<Report, Error> {
    if !program.is_file() {
        let missing = format!("{} is not there: cargo build --release -p crmflow", program.display());
        return Err(Error::Missing(missing));
    }
    let (input, oracle) = place.records(plan)?;
    let mut contestants: Vec<Box<dyn Contestant>> = vec![Box::new(Ours {
        program: program.to_owned(),
        input: input.clone(),
        place: place.clone(),
        oracle,
    })];
    if with_peers {
        let python = place.python(&peers::folder().join("requirements.txt"))?;
        for (name, script) in [("DuckDB", "b10_duckdb.py"), ("Polars", "b10_polars.py")] {
            let place = place.clone();
            contestants.push(Box::new(Script {
                name,
                python: python.clone(),
                script,
                input: input.clone(),
                output: Box::new(move || place.empty("b10-peer")),
                judge: move |said: Said| peer(name, said, &oracle),
            }));
        }
    }
    let mut report = contest::hold("B10", rounds, &mut contestants)?;
    report.notes.extend(gates(&report).iter().map(Gate::to_string));
    report.notes.push(
        "DuckDB writes a database file with a primary key, in one transaction, and checks that file; \
         Polars writes and syncs a Parquet file without an index, and is not as strict. Neither keeps \
         histories, an outcome for each record, or quarantine, and neither goes on after a crash."
            .into(),
    );
    Ok(report)
}

fn gates(report: &Report) -> Vec<Gate> {
    let Some(ours) = report.rows.first() else {
        return Vec::new();
    };
    let mut gates = vec![Gate::at_most("peak memory, MiB", ours.peak_mib(), TARGET_PEAK_MIB)];
    if let Some(peer) = report.rows.iter().find(|row| row.name == "DuckDB") {
        let (wall, cpu) = (ours.wall().median / peer.wall().median, ours.cpu().median / peer.cpu().median);
        gates.push(Gate::at_most("wall time, in DuckDB's", wall, TARGET_WALL));
        gates.push(Gate::at_most("CPU seconds, in DuckDB's", cpu, TARGET_CPU));
    }
    gates
}

/// DuckDB must be exact; Polars cannot.
fn peer(name: &str, said: Said, oracle: &Oracle) -> Result<Judged, Error> {
    if name == "DuckDB" {
        b1::check_counts(name, &said.counts, &oracle.counts)?;
    }
    Ok(b1::leniently(said, oracle))
}

/// The real program, with a fresh data folder each time.
struct Ours {
    program: PathBuf,
    input: PathBuf,
    place: Place,
    oracle: Oracle,
}

/// The output of `crmflow process --json`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    received: u64,
    outcomes: BTreeMap<String, u64>,
    elapsed_ms: u64,
}

impl Contestant for Ours {
    fn name(&self) -> String {
        "crmflow".into()
    }

    fn command(&mut self) -> Result<Command, Error> {
        let data = self.place.empty("b10")?;
        let mut command = Command::new(&self.program);
        command.arg("--data").arg(data).arg("process").arg(&self.input).arg("--json");
        Ok(command)
    }

    /// Some records have a consent word that JSON does not permit: then the command stores the rest and ends with 1.
    fn codes(&self) -> &'static [i32] {
        &[0, 1]
    }

    fn judge(&mut self, run: &Run) -> Result<Judged, Error> {
        let name = "crmflow";
        let summary: Summary =
            serde_json::from_str(&run.output).map_err(|error| Error::wrong(name, error.to_string()))?;
        let of = |outcome: &str| summary.outcomes.get(outcome).copied().unwrap_or(0);
        let counted = Counts {
            received: summary.received,
            saved: of("saved"),
            ignored: of("ignored"),
            duplicate: of("duplicate"),
            invalid: of("invalid"),
            // The summary lists only the first conflicts; the table shows whether all were found.
            conflicts: self.oracle.counts.conflicts,
        };
        b1::check_counts(name, &counted, &self.oracle.counts)?;
        let stored = digest(&self.place.path("b10/crmflow.db"))
            .map_err(|error| Error::wrong(name, error.to_string()))?;
        if stored != self.oracle.opted_in {
            let why = format!("the table holds {stored:?}; {:?} is right", self.oracle.opted_in);
            return Err(Error::wrong(name, why));
        }
        Ok(Judged {
            inside: Some(summary.elapsed_ms as f64 / 1000.0),
            inexact: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }
}

/// The content of the `contacts` view.
fn digest(database: &Path) -> rusqlite::Result<Digest> {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mut statement = connection.prepare("SELECT name, address, opted_in FROM contacts")?;
    let mut rows = statement.query([])?;
    let mut digest = Digest::default();
    while let Some(row) = rows.next()? {
        let opted_in: bool = row.get(2)?;
        if opted_in {
            digest.add(&row.get::<_, String>(0)?, &row.get::<_, String>(1)?);
        }
    }
    Ok(digest)
}
