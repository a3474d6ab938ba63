//! No expression takes much memory: neither known attacks nor random expressions. Each test starts itself
//! again in a process with less than a gibibyte of address space, and reads its peak memory.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod grammar;

use std::io::{BufRead, Write, stdin};
use std::process::{Command, Stdio};

use expressions::{Limits, Program};
use jsonata_core::evaluator::Context;
use jsonata_core::parser;
use jsonata_core::value::JValue;

/// More than twice the bytes that an evaluation may make, and the memory of the process itself.
const MAX_PEAK_KIB: u64 = 96 * 1024;
const EVENT: &str = r#"{"event":"Order Placed","userId":"ann","items":[{"sku":"a","i":1},{"sku":"b"}],"metadata":{"total":12.5,"items":[{"sku":"a"},{"sku":"b"}],"vip":true}}"#;

/// Evaluates expressions in a separate process.
#[track_caller]
fn check(sources: &[String]) {
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new("sh")
        .args([
            "-c",
            "ulimit -v 1048576; exec \"$0\" --ignored --exact --nocapture --test-threads=1 evaluates",
        ])
        .arg(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = child.stdin.take().unwrap();
    let lines = sources.join("\n");
    let writer = std::thread::spawn(move || to.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let evaluated = said.lines().filter(|line| line.starts_with("evaluated")).count();
    let last = sources.get(evaluated).map_or("", String::as_str);
    assert!(output.status.success(), "the process ended with {} at: {last}", output.status);
    assert_eq!(evaluated, sources.len());
}

#[test]
fn known_attacks_stay_within_bounds() {
    let attacks = include_str!("attacks.txt");
    check(&attacks.lines().map(str::to_owned).collect::<Vec<_>>());
}

#[test]
fn random_expressions_stay_within_bounds() {
    let of_seed = |seed| grammar::expression(&mut grammar::Dice::new(seed), 3_000);
    check(&(0..150).map(of_seed).collect::<Vec<_>>());
}

#[test]
#[ignore = "the process that the tests above start"]
fn evaluates() {
    let data = JValue::from_json_str(EVENT).unwrap();
    for source in stdin().lock().lines() {
        let source = source.unwrap();
        let limits = Limits { bytes: 16 << 20, items: 32 * 1024, depth: 400, time_ms: 200 };
        if let Ok(tree) = parser::parse(&source) {
            drop(Program::new(tree.clone(), limits).evaluate(Context::new(), &data, || u64::MAX, |_| Ok(())));
        }
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: u64 = peak.trim_end_matches("kB").trim().parse().unwrap();
        assert!(peak < MAX_PEAK_KIB, "{peak} KiB: {source}");
        println!("\nevaluated {peak}");
    }
}
