//! `crmflow states`: any state machine, run and checked as AWS would.

mod bench;
mod run;

use std::{path::Path, process::ExitCode, sync::Arc};

use states::StateMachine;

use crate::{
    cli::{CheckStates, States},
    exit::Exit,
};

/// Runs the command.
pub(super) fn dispatch(data: &Path, template: Option<&Path>, command: States) -> Result<ExitCode, Exit> {
    match command {
        States::Run(args) => run::run(data, template, &args),
        States::Check(args) => check(&args),
    }
}

/// Lists everything that is wrong with a definition.
fn check(args: &CheckStates) -> Result<ExitCode, Exit> {
    let text = text(&args.definition)?;
    let problems = StateMachine::parse(&text, &|_| Ok(())).err().map(|problems| problems.0);
    if args.json {
        super::print_json(&problems.as_deref().unwrap_or_default())?;
    } else {
        let file = args.definition.display();
        let lines = problems.iter().flatten().map(|problem| format!("{file}: {problem}\n"));
        super::print(&if problems.is_some() { lines.collect() } else { format!("{file}: ok\n") });
    }
    Ok(if problems.is_some() { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

/// A definition, or exit code 2 with everything that is wrong with it.
fn parse(file: &Path) -> Result<Arc<StateMachine>, Exit> {
    StateMachine::parse(&text(file)?, &|_| Ok(())).map_err(|problems| Exit::usage(problems.to_string()))
}

fn text(file: &Path) -> Result<String, Exit> {
    let bytes = super::read(file)?;
    String::from_utf8(bytes).map_err(|_| Exit::usage(format!("{}: it is not UTF-8", file.display())))
}
