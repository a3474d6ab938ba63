//! `crmflow sink`: a small receiver for trying destinations.

use std::{fs::File, process::ExitCode};

use receiver::{Show, Sink};
use step_functions::clock;

use crate::{cli, exit::Exit};

/// Receives until Ctrl-C or SIGTERM.
pub(super) fn run(args: cli::Sink) -> Result<ExitCode, Exit> {
    if !args.listen.ip().is_loopback() {
        let why = format!(
            "{} is not a loopback address; the sink shows what it receives to everyone, so it listens on loopback only",
            args.listen.ip()
        );
        return Err(Exit::usage(why));
    }
    let record = args.record.as_ref().map(|path| {
        let file = File::options().create(true).append(true).open(path);
        file.map_err(|error| Exit::failed(format!("{}: {error}", path.display())))
    });
    let show = match (args.quiet, args.show_bodies) {
        (true, _) => Show::Nothing,
        (false, false) => Show::Lines,
        (false, true) => Show::Bodies,
    };
    let sink = Sink::new(args.behaviour, record.transpose()?, show, super::print, clock::now)
        .map_err(Exit::usage)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Exit::failed(format!("no thread can be started: {error}")))?;
    runtime.block_on(async {
        let (listener, address) = super::serve::listen("--listen", args.listen).await?;
        let endpoints = "/analytics-1, /analytics-2 and /comms";
        super::print(&format!(
            "crmflow sink listens on http://{address} (endpoints: {endpoints}; a page: http://{address}/)\n"
        ));
        let ended = sink.serve(listener, super::serve::stopped()).await;
        ended.map_err(|error| Exit::failed(format!("the record file cannot be written: {error}")))
    })?;
    Ok(ExitCode::SUCCESS)
}
