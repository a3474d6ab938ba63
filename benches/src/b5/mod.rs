//! B5: the intake of events over HTTP, durable before the answer, and their delivery to a fast destination.

mod delivery;
mod http;
mod intake;
mod lanes;
mod servers;
mod stored;

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Serialize;

use crate::{
    error::Error,
    gate::Gate,
    place::Place,
    report::{Spread, load, progress},
};

/// Requests a second of the open loop, which does not wait for answers (shared workload B5).
const STEADY: u32 = 10_000;
/// Maximum p95 and p99 of answers at that rate, in milliseconds, on a fast machine. On such a machine, Express alone
/// answers [`FAST_EXPRESS`] requests a second. A slower machine has only a maximum p99.
const TARGET_MILLIS: [f64; 2] = [5.0, 10.0];
const TARGET_MILLIS_SLOW: f64 = 20.0;
const FAST_EXPRESS: f64 = 9_000.0;
/// Minimum ratio of our maximum rate to that of Express, with one event in each request, and with a hundred.
const TARGET_CEILING: [(usize, f64); 2] = [(1, 8.0), (100, 5.0)];
/// Minimum deliveries a second to one fast destination.
const TARGET_DELIVERY: f64 = 5_000.0;

/// The size of a run.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Duration of the steady load.
    pub steady: Duration,
    /// Duration of each run at the maximum rate.
    pub ceiling: Duration,
    /// Number of delivered events.
    pub delivered: u64,
}

/// A server that accepts events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerKind {
    /// `crmflow serve`, which also stores and routes the events meanwhile.
    Crmflow,
    /// `crmflow serve` with a paused consumer: intake alone.
    Intake,
    /// Express on Node, which keeps events in memory.
    Express,
    /// FastAPI on uvicorn, which keeps events in memory.
    Fastapi,
}

/// The latency of answers, in milliseconds from the due time of their requests.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Maximum.
    pub max: f64,
}

/// The results of one server under the steady load.
#[derive(Debug, Serialize)]
pub struct Steady {
    /// The server.
    #[serde(rename = "who")]
    pub kind: ServerKind,
    /// One for each round.
    pub rounds: Vec<Latency>,
    /// CPU time of the server for each event, on all cores, in microseconds.
    pub cpu_micros: Spread,
    /// Peak memory of the server in MiB; with several processes, of the first.
    pub peak_mib: Spread,
}

/// The maximum rate of one server.
#[derive(Debug, Serialize)]
pub struct Ceiling {
    /// The server.
    #[serde(rename = "who")]
    pub kind: ServerKind,
    /// Events in each request.
    pub batch: usize,
    /// Events a second.
    pub rate: Spread,
}

/// The influence of another destination on one destination: an entry for each round.
#[derive(Debug, Default, Serialize)]
pub struct Isolation {
    /// Latency from the arrival of an event to its delivery.
    pub delivered: Vec<Latency>,
    /// Latency of the answers to events meanwhile.
    pub answered: Vec<Latency>,
}

/// The results of all servers.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The load average of the last minute, before and after.
    pub load: [f64; 2],
    /// Results at the steady rate.
    pub steady: Vec<Steady>,
    /// Results at the maximum rate.
    pub ceilings: Vec<Ceiling>,
    /// Deliveries a second to one destination, and the server's CPU time for each, in microseconds.
    pub delivery: [Spread; 2],
    /// Results of one destination beside no other, beside one that answers, and beside one that hangs.
    pub beside: [Isolation; lanes::LABELS.len()],
    /// Number of events that were acknowledged before `kill -9`. Each was stored afterwards.
    pub survived: u64,
}

/// Runs all parts of the benchmark, with all servers in turn.
pub fn run(
    place: &Place,
    program: &Path,
    rounds: usize,
    size: Size,
    with_peers: bool,
) -> Result<Report, Error> {
    let peers = with_peers.then(|| servers::Peers::install(place)).transpose()?;
    let bench = Bench { place, program, peers: peers.as_ref(), size };
    let everyone: &[ServerKind] = if with_peers {
        &[ServerKind::Crmflow, ServerKind::Intake, ServerKind::Express, ServerKind::Fastapi]
    } else {
        &[ServerKind::Crmflow, ServerKind::Intake]
    };
    let before = load();
    let mut steady = Vec::new();
    let mut ceilings = Vec::new();
    for kind in everyone {
        steady.push((*kind, Vec::new()));
        for batch in [1, 100] {
            ceilings.push((*kind, batch, Vec::new()));
        }
    }
    let mut delivered = Vec::new();
    let mut beside = lanes::LABELS.map(|_| Isolation::default());
    let mut survived = 0;
    for round in 1..=rounds {
        for (kind, runs) in &mut steady {
            let ran = bench.steady(*kind)?;
            let Latency { p50, p95, p99, max } = ran.0;
            progress(&format!(
                "B5 {round}/{rounds}: {kind:?} at {STEADY}/s: p50 {p50:.2} p95 {p95:.2} p99 {p99:.2} max {max:.1} ms"
            ));
            runs.push(ran);
        }
        for (kind, batch, rates) in &mut ceilings {
            let rate = bench.ceiling(*kind, *batch)?;
            progress(&format!("B5 {round}/{rounds}: {kind:?} in batches of {batch}: {rate:.0} events/s"));
            rates.push(rate);
        }
        let ran = bench.delivery()?;
        progress(&format!("B5 {round}/{rounds}: {:.0} deliveries/s", ran.0));
        delivered.push(ran);
        bench.deliveries(&format!("{round}/{rounds}"), &mut beside)?;
        survived += bench.killed()?;
    }
    Ok(Report {
        load: [before, load()],
        steady: steady.into_iter().map(Steady::of).collect(),
        ceilings: ceilings
            .into_iter()
            .map(|(kind, batch, rates)| Ceiling { kind, batch, rate: Spread::of(rates) })
            .collect(),
        delivery: [
            Spread::of(delivered.iter().map(|(rate, _)| *rate)),
            Spread::of(delivered.iter().map(|(_, cpu)| *cpu)),
        ],
        beside,
        survived,
    })
}

/// The shared parts of all runs.
struct Bench<'a> {
    place: &'a Place,
    program: &'a Path,
    peers: Option<&'a servers::Peers>,
    size: Size,
}

impl Bench<'_> {
    fn data(&self) -> Result<PathBuf, Error> {
        self.place.empty("b5")
    }
}

impl Steady {
    fn of((kind, runs): (ServerKind, Vec<(Latency, f64, f64)>)) -> Self {
        let cpu_micros = Spread::of(runs.iter().map(|(_, cpu, _)| *cpu));
        let peak_mib = Spread::of(runs.iter().map(|(.., peak)| *peak));
        Self { kind, rounds: runs.into_iter().map(|(latency, ..)| latency).collect(), cpu_micros, peak_mib }
    }

    /// The spread of a figure over all rounds.
    fn spread(&self, figure: impl Fn(&Latency) -> f64) -> Spread {
        Spread::of(self.rounds.iter().map(figure))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "B5: load average {:.2} before, {:.2} after\n", self.load[0], self.load[1])?;
        writeln!(
            f,
            "| {STEADY}/s, open loop | p50 ms | p95 ms (min-max) | p99 ms (min-max) | max ms | CPU us an event | peak MiB |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|")?;
        for row in &self.steady {
            let [p50, p95, p99, max] = [
                row.spread(|latency| latency.p50),
                row.spread(|latency| latency.p95),
                row.spread(|latency| latency.p99),
                row.spread(|latency| latency.max),
            ];
            writeln!(
                f,
                "| {:?} | {:.2} | {:.2} ({:.2}-{:.2}) | {:.2} ({:.2}-{:.2}) | {:.1} | {:.1} | {:.0} |",
                row.kind,
                p50.median,
                p95.median,
                p95.min,
                p95.max,
                p99.median,
                p99.min,
                p99.max,
                max.max,
                row.cpu_micros.median,
                row.peak_mib.median,
            )?;
        }
        writeln!(f, "\n| at the most | events a request | events/s, median (min-max) |\n|---|---|---|")?;
        for Ceiling { kind, batch, rate } in &self.ceilings {
            writeln!(f, "| {kind:?} | {batch} | {:.0} ({:.0}-{:.0}) |", rate.median, rate.min, rate.max)?;
        }
        let [rate, cpu] = self.delivery;
        writeln!(
            f,
            "\ndelivery to one fast destination: {:.0}/s ({:.0}-{:.0}), {:.0} CPU us each",
            rate.median, rate.min, rate.max, cpu.median,
        )?;
        self.write_beside(f)?;
        writeln!(
            f,
            "\n{} events were acknowledged before kill -9, and each was there afterwards",
            self.survived
        )?;
        self.gates().into_iter().try_for_each(|gate| writeln!(f, "\n{gate}"))
    }
}

impl Report {
    fn write_beside(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n| {}/s to a destination | p50 ms | p99 ms (min-max) |\n|---|---|---|", lanes::RATE)?;
        for (how, Isolation { delivered, answered }) in lanes::LABELS.into_iter().zip(&self.beside) {
            for (what, runs) in [("delivered to one", delivered), ("answered", answered)] {
                let at = |figure: fn(&Latency) -> f64| Spread::of(runs.iter().map(figure));
                let (p50, p99) = (at(|latency| latency.p50), at(|latency| latency.p99));
                let (min, max) = (p99.min, p99.max);
                writeln!(f, "| {what}, {how} | {:.2} | {:.2} ({min:.2}-{max:.2}) |", p50.median, p99.median)?;
            }
        }
        Ok(())
    }

    fn gates(&self) -> Vec<Gate> {
        let mut gates = vec![Gate::at_least("deliveries/s", self.delivery[0].median, TARGET_DELIVERY)];
        let ceiling = |kind: ServerKind, batch: usize| {
            let row = self.ceilings.iter().find(|row| row.kind == kind && row.batch == batch)?;
            Some(row.rate.median)
        };
        for (batch, times) in TARGET_CEILING {
            if let (Some(ours), Some(express)) =
                (ceiling(ServerKind::Intake, batch), ceiling(ServerKind::Express, batch))
            {
                let what = format!("intake, {batch} a request, in times of Express");
                gates.push(Gate::at_least(what, ours / express, times));
            }
        }
        if let (Some(ours), Some(express)) = (self.steady.first(), ceiling(ServerKind::Express, 1)) {
            let [p95, p99] = TARGET_MILLIS;
            let is_fast = express >= FAST_EXPRESS;
            if is_fast {
                gates.push(Gate::at_most("p95, ms", ours.spread(|latency| latency.p95).median, p95));
            }
            let most = if is_fast { p99 } else { TARGET_MILLIS_SLOW };
            gates.push(Gate::at_most("p99, ms", ours.spread(|latency| latency.p99).median, most));
        }
        gates
    }
}
