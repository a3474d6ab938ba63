//! `crmflow process`: dry runs, several files, and when invalid records make it fail.

use std::{
    collections::BTreeMap,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use serde::Deserialize;
use serde_json::{Value, json};

use super::case::Batch;
use crate::harness::{
    http::Client,
    program::{Ended, Killed, Place, Server, run},
};

/// The maximum size of the body of `POST /records`.
pub(super) const MAX_BODY_BYTES: usize = 5 << 20;

const MIXED: &str = "name,email,optIn
Ann,ann@dry.example,yes
Bo,bo,yes
Cy,cy@dry.example,no
Dan,dan,yes
ANN,Ann@dry.example,yes
";

#[derive(Deserialize)]
struct Case {
    name: String,
    args: Vec<String>,
    code: i32,
    #[serde(default)]
    says: String,
    #[serde(default)]
    stdout: Option<String>,
    /// Whether nothing may be stored.
    #[serde(default)]
    dry: bool,
}

/// Every file under a folder, with the hash of its content. A reader of SQLite adds an empty log.
fn content(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let mut all = BTreeMap::new();
    let Ok(entries) = fs::read_dir(folder) else { return all };
    for path in entries.map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            all.extend(content(&path));
        } else if !name.ends_with("-wal") && !name.ends_with("-shm") {
            let mut hasher = DefaultHasher::new();
            fs::read(&path).unwrap().hash(&mut hasher);
            all.insert(path, hasher.finish());
        }
    }
    all
}

/// A dry run with an own folder of temporary files, which is empty again afterwards.
#[track_caller]
fn dry_run(place: &Place, files: &[&Path]) -> Ended {
    let temporary = place.path("tmp");
    fs::create_dir_all(&temporary).unwrap();
    let options = ["process", "--dry-run", "--json"].map(Path::new);
    let mut command = place.command(options.into_iter().chain(files.iter().copied()));
    let ended = run(command.env("TMPDIR", &temporary), b"");
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "{ended:?}");
    ended
}

#[test]
fn an_exit_code_says_whether_too_many_are_invalid() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("process.json")).unwrap();
    for Case { name, args, code, says, stdout, dry } in cases {
        let place = Place::new();
        let file = place.file("mixed.csv", MIXED);
        let ended =
            place.run(["process", file.to_str().unwrap()].into_iter().chain(args.iter().map(String::as_str)));
        assert_eq!(ended.code, Some(code), "{name}: {ended:?}");
        assert!(ended.stderr.contains(&says), "{name}: {ended:?}");
        assert!(stdout.is_none_or(|stdout| ended.stdout == stdout), "{name}");
        let is_stored = place.run(["contacts", "show", "ann@dry.example"]).code == Some(0);
        assert_eq!(is_stored, code != 2 && !dry, "{name}");
        assert_eq!(place.data().exists(), code != 2 && !dry, "{name}");
    }
}

#[test]
fn a_dry_run_counts_and_stores_nothing() {
    let place = Place::new();
    let file = place.file("mixed.csv", MIXED);
    let report = dry_run(&place, &[&file]).json();
    assert!(!place.data().exists());
    let faults = json!([{
        "rule": "email", "pointer": "/email", "message": "must be an e-mail address", "count": 2,
        "examples": [{"index": 1, "line": 3}, {"index": 3, "line": 5}]
    }]);
    assert_eq!(
        (&report["dryRun"], &report["received"], &report["faults"]),
        (&json!(true), &json!(5), &faults)
    );
    assert_eq!(report["duplicates"], json!([{"index": 4, "other": 0}]));
    let real = place.process(&file);
    for name in ["outcomes", "faults", "duplicates", "received"] {
        assert_eq!(report[name], real[name], "{name}");
    }
    let shown = place.run(["batches", "show", real["batchId"].as_str().unwrap(), "--json"]).json();
    assert_eq!(shown["faults"], faults);
    let before = content(&place.data());
    let other =
        place.file("other.csv", "name,email,optIn\nAnn,ann@dry.example,no\nCy,cy@dry.example,perhaps\n");
    let again = dry_run(&place, &[&other]);
    again.check(1, &["does not understand"]);
    let again: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((&again["outcomes"]["withdrawn"], &again["unreadConsent"]), (&json!(1), &json!(1)));
    assert_eq!(content(&place.data()), before);
    let server = Server::start(&place);
    assert_eq!(dry_run(&place, &[&file]).json()["outcomes"]["unchanged"], 1);
    drop(server);
    dry_run(&place, &[&place.file("empty.csv", "")]).check(2, &[]);
}

#[test]
fn a_dry_run_of_a_large_file_counts_as_the_batch_does() {
    let place = Place::new();
    let row = |n: u32| {
        format!("Name {n},n{}@dry.example,{}\n", n % 25_000, if n.is_multiple_of(3) { "no" } else { "yes" })
    };
    let rows: String = (0..50_000).map(row).collect();
    let file = place.file("large.csv", format!("name,email,optIn\n{rows}"));
    for _ in 0..2 {
        let dry = dry_run(&place, &[&file]).json();
        let real = place.process(&file);
        assert_eq!((&dry["outcomes"], &dry["conflicts"]), (&real["outcomes"], &real["conflicts"]));
    }
}

#[test]
fn several_files_are_a_batch_each() {
    let place = Place::new();
    let first = place.file("first.csv", MIXED);
    let broken = place.file("broken.csv", "name,email,optIn,Opt In\nAnn,ann@dry.example,yes,no\n");
    let last = place.file("last.json", r#"[{"name":"Eve","email":"eve@dry.example","optIn":true}]"#);
    let all = ["process", "--json"].map(Path::new).into_iter().chain([&*first, &broken, &last]);
    let ended = place.run(all);
    ended.check(2, &["broken.csv: "]);
    let reports: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(reports[0]["outcomes"]["saved"], 1);
    assert!(reports[1]["error"].is_string(), "{reports}");
    assert_eq!((&reports[2]["outcomes"]["saved"], &reports[2]["file"]), (&json!(1), &json!(last)));
    let said = place.run([Path::new("process"), &first, &last]);
    said.check(0, &[]);
    assert!(
        said.stdout.contains("first.csv\nbatch ") && said.stdout.contains("last.json\nbatch "),
        "{said:?}"
    );
    let missing = place.path("missing.csv");
    let before = place.run(["batches", "--json"]).json();
    place.run([Path::new("process"), &first, &missing]).check(2, &["missing.csv"]);
    assert_eq!(place.run(["batches", "--json"]).json(), before);
}

#[test]
fn a_setting_may_come_from_the_environment() {
    let place = Place::new();
    let file = place.file("mixed.csv", MIXED);
    place.process(&file);
    let with = |name: &str, value: &str, args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crmflow"));
        run(command.args(args).env(name, value).current_dir(place.path("")), b"")
    };
    let data = place.data();
    let data = data.to_str().unwrap();
    assert_eq!(with("CRMFLOW_DATA", data, &["contacts", "list", "--json"]).json()[0]["name"], "Ann");
    with("CRMFLOW_DATA", data, &["--data", "other", "contacts", "list"]).check(2, &["other"]);
    with("CRMFLOW_ACCOUNT", "one", &["batches"]).check(2, &["--account"]);
    with("CRMFLOW_LISTEN", "0.0.0.0:1", &["serve"]).check(2, &["loopback"]);
    with("CRMFLOW_ALLOW_DESTINATION", "127.0.0.1:1,nowhere", &["serve"]).check(2, &["nowhere"]);
    for value in ["", "1", "anything"] {
        with("NO_COLOR", value, &["--data", data, "batches"]).check(0, &[]);
    }
}

#[test]
fn every_shell_has_completions() {
    for (shell, part) in [("bash", "complete "), ("zsh", "#compdef crmflow"), ("fish", "complete -c crmflow")]
    {
        let ended = Place::new().run(["completions", shell]);
        assert!(ended.code == Some(0) && ended.stdout.contains(part) && ended.stdout.contains("contacts"));
    }
    Place::new().run(["completions", "cmd"]).check(2, &["bash"]);
}

/// A pipe is as slow as its writer, which writes until it sees the line.
#[test]
fn progress_without_a_terminal_is_a_line() {
    let place = Place::new();
    let pipe = place.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut command = place.command([Path::new("process"), &pipe]);
    let mut child = Killed(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let is_seen = Arc::new(AtomicBool::new(false));
    let seen = is_seen.clone();
    let writer = thread::spawn(move || {
        let mut to = fs::File::options().write(true).open(pipe).unwrap();
        to.write_all(MIXED.as_bytes()).unwrap();
        while !seen.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(50));
            to.write_all(b"Eve,eve@dry.example,yes\n").unwrap();
        }
    });
    let mut line = String::new();
    let mut stderr = BufReader::new(child.0.stderr.take().unwrap());
    stderr.read_line(&mut line).unwrap();
    is_seen.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    assert!(line.starts_with("crmflow: read ") && line.ends_with("B\n"), "{line}");
    assert!(child.wait().success());
}

/// A dry run of a body gives the outcomes that the batch then has.
#[track_caller]
pub(super) fn check_case(api: &Client, batch: &Batch, body: &[u8]) {
    let separator = if batch.query.is_empty() { '?' } else { '&' };
    let path = format!("/records{}{separator}dryRun=true", batch.query);
    let answer = api.post(&path, &[("content-type", &batch.media)], body);
    assert_eq!((answer.status, &answer.body["dryRun"]), (200, &true.into()), "{answer:?}");
    let outcomes: BTreeMap<String, u64> = serde_json::from_value(answer.body["outcomes"].clone()).unwrap();
    let outcomes: BTreeMap<_, _> = outcomes.into_iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(outcomes, batch.outcomes, "a dry run has the counts of the batch");
}
