//! `crmflow`: the record flow on one machine. The state machines and functions are those of AWS.

mod cli;
mod commands;
mod data_folder;
mod delivery_worker;
mod event_sources;
mod exit;
mod flow;
mod functions;
mod http_server;
mod import;
mod interrupted;
mod logs;
mod named_function;
mod os_limits;
mod requests;
mod uploads;
mod wakeups;

use std::{process::ExitCode, time::Duration};

use allocator::MiMalloc;
use clap::Parser;

/// One thread reads requests and another stores them; the system's allocator makes such threads wait for each other.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Time for which freed memory stays with the program. Longer times raise the peak; shorter ones cost computing time.
const FREED_MEMORY_DELAY: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    allocator::retain_freed_pages(FREED_MEMORY_DELAY);
    let cli = cli::Cli::parse();
    match commands::run(cli) {
        Ok(code) => code,
        Err(exit) => exit.report(),
    }
}
