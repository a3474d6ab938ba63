//! Searches for random expressions that take a gibibyte or five seconds, without end by default: `cargo run
//! --release -p expressions --example fuzz -- [FIRST SEED] [HOW MANY]`.
//!
//! Worker processes with less than a gibibyte of address space evaluate the expressions. The example prints
//! each seed that ends its process or takes five seconds, with its expression.

#[path = "../tests/grammar/mod.rs"]
mod grammar;

use std::env::args;
use std::io::{self, Write, stdout};
use std::process::Command;
use std::time::{Duration, Instant};

use expressions::{Limits, Program};
use jsonata_core::evaluator::Context;
use jsonata_core::parser;
use jsonata_core::value::JValue;

const EVENT: &str = r#"{"event":"Order Placed","userId":"ann","items":[{"sku":"a","i":1},{"sku":"b"}],"metadata":{"total":12.5,"items":[{"sku":"a"},{"sku":"b"}],"vip":true}}"#;
/// The number of expressions per process.
const BATCH: u64 = 500;
const MAX_TIME: Duration = Duration::from_secs(5);

fn main() -> io::Result<()> {
    let numbers: Vec<u64> = args().skip(1).filter_map(|arg| arg.parse().ok()).collect();
    let (first, count) = (numbers.first().copied().unwrap_or(0), numbers.get(1).copied().unwrap_or(u64::MAX));
    let last = first.saturating_add(count);
    if args().nth(3).is_some() {
        return evaluate(first, last);
    }
    let mut out = stdout();
    let mut seed = first;
    while seed < last {
        let of_batch = BATCH.min(last - seed);
        let script = format!("ulimit -v 1048576; exec \"$0\" {seed} {of_batch} child");
        let output = Command::new("sh").args(["-c", &script]).arg(std::env::current_exe()?).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        for line in said.lines().filter(|line| line.starts_with("slow") || line.starts_with("most")) {
            writeln!(out, "{line}")?;
        }
        let done = said.lines().filter(|line| *line == "done").count() as u64;
        if !output.status.success() {
            writeln!(out, "seed {} ended its process: {}", seed + done, source(seed + done))?;
        }
        seed += if output.status.success() { of_batch } else { done + 1 };
        writeln!(out, "{} expressions", seed - first)?;
    }
    Ok(())
}

fn source(seed: u64) -> String {
    let size = [30, 300, 3_000, 30_000][usize::try_from(seed % 4).unwrap_or(0)];
    grammar::expression(&mut grammar::Dice::new(seed), size)
}

fn evaluate(first: u64, last: u64) -> io::Result<()> {
    let mut out = stdout();
    let data = JValue::from_json_str(EVENT).unwrap_or(JValue::Null);
    let mut most = 0;
    for seed in first..last {
        let source = source(seed);
        let limits = Limits { bytes: 16 << 20, items: 32 * 1024, depth: 400, time_ms: 1_000 };
        let begun = Instant::now();
        if let Ok(tree) = parser::parse(&source) {
            drop(Program::new(tree.clone(), limits).evaluate(Context::new(), &data, || u64::MAX, |_| Ok(())));
        }
        if begun.elapsed() > MAX_TIME {
            writeln!(out, "slow {} ms, seed {seed}: {source}", begun.elapsed().as_millis())?;
        }
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
        let peak: u64 = peak.trim_end_matches("kB").trim().parse().unwrap_or(0);
        if peak > most + 8 * 1024 {
            most = peak;
            writeln!(out, "most {most} KiB, seed {seed}: {source}")?;
        }
        writeln!(out, "done")?;
    }
    Ok(())
}
