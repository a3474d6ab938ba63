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

use std::process::ExitCode;

use clap::Parser;

/// One thread reads requests and another stores them; the system's allocator makes such threads wait for each other.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::run(cli) {
        Ok(code) => code,
        Err(exit) => exit.report(),
    }
}
