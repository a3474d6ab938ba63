//! How fast executions are kept: `cargo test --release -p crmflow --bin crmflow -- --ignored --nocapture`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use functions::Host;
use serde_json::{Map, json};
use states::StateMachine;
use tempfile::TempDir;

use super::{Executions, Status};
use crate::{
    folder::Folder,
    runner::Engine,
    wiring::{Machine, Wiring},
};

fn executions() -> (TempDir, Folder, Executions) {
    let root = TempDir::new().unwrap();
    let folder = Folder::open(root.path(), "measure").unwrap();
    let Host { store, objects, spool } = folder.host.clone();
    let engine = Engine::new(Host { store, objects, spool }, Wiring::read(None).unwrap());
    (root, folder, Executions::new(engine))
}

fn machine(name: &str, kinds: &[serde_json::Value]) -> Arc<Machine> {
    let mut states = Map::new();
    for (index, state) in kinds.iter().enumerate() {
        let mut state = state.clone();
        match index + 1 {
            last if last == kinds.len() => state["End"] = json!(true),
            next => state["Next"] = json!(format!("S{next:02}")),
        }
        states.insert(format!("S{index:02}"), state);
    }
    let text = json!({ "QueryLanguage": "JSONata", "StartAt": "S00", "States": states }).to_string();
    let states = StateMachine::parse(&text, &|_| Ok(())).unwrap();
    Arc::new(Machine::new(name, false, &text, "role", states))
}

/// Many at once, from start to end; then one after the other.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn chains() {
    const RUNS: usize = 60_000;
    const AT_ONCE: usize = 512;
    let (_root, _folder, executions) = executions();
    let chain = machine("chain", &vec![json!({ "Type": "Pass" }); 20]);
    let begun = Instant::now();
    let workers = (0..AT_ONCE).map(|worker| {
        let (executions, chain) = (executions.clone(), Arc::clone(&chain));
        tokio::spawn(async move {
            for run in 0..RUNS / AT_ONCE {
                let name = format!("w{worker}-{run}");
                executions.start(&chain, &name, r#"{"n":1}"#.to_owned()).await.unwrap();
            }
        })
    });
    futures::future::join_all(workers).await;
    let took = begun.elapsed().as_secs_f64();
    println!("{:.0} transitions a second, durable", (RUNS / AT_ONCE * AT_ONCE * 20) as f64 / took);

    let pass = json!({ "Type": "Pass" });
    let six = machine("six", &vec![pass.clone(); 6]);
    latency(&executions, &six, "six Pass states").await;
    // Each of these is a step of its own, and a commit.
    let waits =
        machine("waits", &[json!({ "Type": "Wait", "Seconds": 0 }), pass.clone(), pass.clone(), pass]);
    latency(&executions, &waits, "four states, one a Wait").await;
}

async fn latency(executions: &Executions, machine: &Arc<Machine>, what: &str) {
    let mut times = Vec::new();
    for run in 0..2_000 {
        let begun = Instant::now();
        let started = executions.start(machine, &format!("l{run}"), "{}".to_owned()).await.unwrap();
        let ended = executions.ended(&started.arn).await.unwrap().unwrap();
        assert_eq!(ended.status, Status::Succeeded);
        times.push(begun.elapsed());
    }
    times.sort();
    let at = |share: usize| times[times.len() * share / 1000].as_secs_f64() * 1e3;
    println!("{what}: p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms", at(500), at(990), at(999));
}

/// Ten thousand that wait, and what a restart makes of them.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn waiting() {
    const RUNS: usize = 10_000;
    let (root, folder, executions) = executions();
    let wait = machine("wait", &[json!({ "Type": "Wait", "Seconds": 100_000 })]);
    let before = resident();
    let begun = Instant::now();
    let starts = (0..RUNS).map(|run| {
        let (executions, wait) = (executions.clone(), Arc::clone(&wait));
        tokio::spawn(async move {
            executions.start(&wait, &format!("w{run}"), r#"{"n":1}"#.to_owned()).await.unwrap();
        })
    });
    futures::future::join_all(starts).await;
    println!(
        "{RUNS} started in {:?}: {} KiB more, {} threads",
        begun.elapsed(),
        resident() - before,
        threads()
    );
    drop((folder, executions));
    let store = crate::sqlite::SqliteStore::open(&root.path().join("crmflow.db")).unwrap();
    let (_other, folder, fresh) = self::executions();
    let host = Host { store, ..folder.host.clone() };
    let again = Executions::new(Engine::new(host, Wiring::read(None).unwrap()));
    drop(fresh);
    let begun = Instant::now();
    assert_eq!(again.resume().await.unwrap(), RUNS);
    println!("{RUNS} went on after {:?}", begun.elapsed());
    tokio::time::sleep(Duration::from_millis(500)).await;
}

fn status(field: &str) -> i64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn resident() -> i64 {
    status("VmRSS")
}

fn threads() -> i64 {
    status("Threads")
}
