//! One run of one program, with its times and its memory.

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;
use wait4::{ResUse, Wait4};

use crate::error::Error;

/// Interval between checks of a run's threads and end.
const LOOK: Duration = Duration::from_millis(1);

/// The measurements of a run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// From start to end, in seconds.
    pub wall: f64,
    /// On all cores together, in user code and in the kernel, in seconds.
    pub cpu: f64,
    /// Peak resident memory (`ru_maxrss`), in bytes.
    pub peak: u64,
    /// Maximum number of observed threads.
    pub threads: u64,
    /// Its standard output.
    #[serde(skip)]
    pub output: String,
}

/// Runs a program to its end. It must end with one of these codes.
///
/// The peak starts with the driver's own memory, so the driver stays small.
pub fn run(name: &str, command: &mut Command, codes: &[i32]) -> Result<Run, Error> {
    let out = tempfile::NamedTempFile::new().map_err(Error::of("a temporary file"))?;
    let err = tempfile::NamedTempFile::new().map_err(Error::of("a temporary file"))?;
    command.stdin(Stdio::null());
    command.stdout(out.reopen().map_err(Error::of("a temporary file"))?);
    command.stderr(err.reopen().map_err(Error::of("a temporary file"))?);
    let began = Instant::now();
    let mut child = command.spawn().map_err(Error::of(&format!("{name} could not be started")))?;
    let mut threads = 1;
    let ResUse { status, rusage } = loop {
        threads = threads.max(threads_of(child.id()));
        if let Some(ended) = child.try_wait4().map_err(Error::of(name))? {
            break ended;
        }
        thread::sleep(LOOK);
    };
    let wall = began.elapsed().as_secs_f64();
    if !status.code().is_some_and(|code| codes.contains(&code)) {
        let said = fs::read_to_string(err.path()).unwrap_or_default();
        let last = said.lines().rev().take(5).collect::<Vec<_>>();
        let why = format!("{status}: {}", last.into_iter().rev().collect::<Vec<_>>().join(" / "));
        return Err(Error::Failed { name: name.to_owned(), why });
    }
    let output = fs::read_to_string(out.path()).map_err(Error::at(out.path()))?;
    Ok(Run { wall, cpu: (rusage.utime + rusage.stime).as_secs_f64(), peak: rusage.maxrss, threads, output })
}

fn threads_of(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let threads = status.lines().find_map(|line| line.strip_prefix("Threads:"));
    threads.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}
