//! `crmflow logs`: the log lines of a function, as `sam logs` shows them.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use jiff::tz::TimeZone;
use step_functions::clock;

use crate::{cli::Logs, data_folder::Paths, exit::Exit, logs};

/// The interval between reads of the file.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Prints the lines, oldest first; with `--tail` until a signal stops the command.
pub(super) fn run(data: &Path, args: &Logs) -> Result<ExitCode, Exit> {
    let folder = Paths::new(data).logs();
    let today = || logs::file(&folder, args.name, clock::now().to_zoned(TimeZone::UTC).date());
    let days = today().parent().map(days).unwrap_or_default();
    if days.is_empty() && !args.tail {
        super::print(&format!("{} has logged nothing yet\n", args.name.name()));
    }
    let (mut shown, mut at) = (PathBuf::new(), 0);
    for day in days {
        at = show(&day, 0)?;
        shown = day;
    }
    if !args.tail {
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        thread::sleep(POLL_INTERVAL);
        at = show(&shown, at)?;
        let today = today();
        if today != shown && today.exists() {
            at = show(&today, 0)?;
            shown = today;
        }
    }
}

fn days(folder: &Path) -> Vec<PathBuf> {
    let mut days: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    days.sort();
    days
}

/// Prints the complete lines from an offset on; returns the offset after them.
fn show(path: &Path, from: u64) -> Result<u64, Exit> {
    if !path.exists() {
        return Ok(from);
    }
    let failed = |error: std::io::Error| Exit::failed(format!("{}: {error}", path.display()));
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let mut at = file.seek(SeekFrom::Start(from)).map_err(failed)?;
    let mut line = String::new();
    loop {
        line.clear();
        let read = file.read_line(&mut line).map_err(failed)?;
        if read == 0 || !line.ends_with('\n') {
            return Ok(at);
        }
        at += read as u64;
        super::print(&line);
    }
}
