//! `crmflow states`: any state machine, run and checked as AWS would.

mod bench;
mod mock;
mod run;

use std::{path::Path, process::ExitCode, sync::Arc};

use states::{MachineType, Problem, Severity, StateMachine};

use crate::{
    cli::{CheckStates, States},
    exit::Exit,
};

/// Runs the command.
pub(super) fn dispatch(data: &Path, template: Option<&Path>, command: States) -> Result<ExitCode, Exit> {
    match command {
        States::Run(args) => run::run(data, template, &args),
        States::Check(args) => check(&args),
        States::Mock(args) => mock::run(&args),
    }
}

/// Lists all faults of a definition.
fn check(args: &CheckStates) -> Result<ExitCode, Exit> {
    let problems = StateMachine::diagnose(args.r#type, &text(&args.definition)?, &|_| Ok(()));
    let wrong = problems.iter().any(|problem| problem.severity == Severity::Error);
    if args.json {
        super::print_json(&problems)?;
    } else {
        let file = args.definition.display();
        let line = |problem: &Problem| {
            let warning = if problem.severity == Severity::Warning { "warning: " } else { "" };
            format!("{file}: {warning}{problem}\n")
        };
        let ok = if wrong { String::new() } else { format!("{file}: ok\n") };
        super::print(&problems.iter().map(line).chain([ok]).collect::<String>());
    }
    Ok(if wrong { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

/// A definition, or exit code 2 with all of its faults.
fn parse(file: &Path, kind: MachineType) -> Result<Arc<StateMachine>, Exit> {
    let machine = StateMachine::parse_as(kind, &text(file)?, &|_| Ok(()));
    machine.map_err(|problems| {
        let lines = problems.0.iter().map(|problem| format!("{}: {problem}", file.display()));
        Exit::usage(lines.collect::<Vec<_>>().join("\n"))
    })
}

/// The name of the machine: the argument, or the file's name up to its first dot.
fn machine_name(given: Option<&str>, definition: &Path) -> String {
    let file = definition.file_name().unwrap_or_default().to_string_lossy();
    given.map_or_else(|| file.split('.').next().unwrap_or_default().to_owned(), ToOwned::to_owned)
}

fn text(file: &Path) -> Result<String, Exit> {
    let bytes = super::read(file)?;
    String::from_utf8(bytes).map_err(|_| Exit::usage(format!("{}: it is not UTF-8", file.display())))
}
