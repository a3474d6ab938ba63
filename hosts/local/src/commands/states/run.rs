//! `crmflow states run`: runs one execution of a definition, and prints its result.

use std::{
    path::Path,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Value as Json, json};
use states::{
    Details, Execution, HistoryEvent, MachineType, MockCase, Outcome, Start, StateMachine, Value, drive,
};
use step_functions::{
    WHAT_RUNS, check_resource, clock, executions::Runner, executions::parts, mocks::MockedTasks,
};
use tracing::Level;

use super::bench::{Bench, Mocks};
use crate::{cli::RunStates, commands, data_folder::DataFolder, exit::Exit, functions, logs};

/// Maximum events of an EXPRESS execution. AWS has no such limit. Here every event stays in memory, which an endless loop
/// must not exhaust.
const MAX_EXPRESS_EVENTS: u64 = 1_000_000;

/// Runs a definition to its end. The exit code is 1 when the execution does not succeed.
pub(super) fn run(data: &Path, template: Option<&Path>, args: &RunStates) -> Result<ExitCode, Exit> {
    let machine = super::parse(&args.definition, args.r#type)?;
    let name = super::machine_name(args.name.as_deref(), &args.definition);
    let case = args.mock.as_deref().map(|file| case(file, &name, args.test_case.as_deref())).transpose()?;
    let input = args.input.as_deref().map_or_else(|| Ok(Value::from_iter([])), input)?;
    let needs_host = runnable(&machine, case.as_ref().map(|(_, case)| case), args)?;
    let start = start(&name, args);
    let folder = if needs_host { Some(DataFolder::open(data, "states run")?) } else { None };
    let host = folder.as_ref().map(|folder| host(folder, template)).transpose()?;
    let bench = Bench {
        host,
        mocks: case.map(|(name, case)| Mocks::new(MockedTasks::new(&name, case))),
        events: Mutex::default(),
    };
    commands::block_on(async {
        let execution = Execution::start(machine, start, input, states::TaskRunner::now(&bench));
        let outcome = drive(execution, &bench).await.map_err(|error| Exit::failed(error.to_string()))?;
        let events = bench.events.into_inner().unwrap_or_else(PoisonError::into_inner);
        show(&outcome, &events, args)?;
        let good = matches!(outcome, Outcome::Succeeded(_));
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// The input in a file.
fn input(file: &Path) -> Result<Value, Exit> {
    let not_json = |error| Exit::usage(format!("{}: the input is not JSON: {error}", file.display()));
    Value::parse(&super::text(file)?).map_err(not_json)
}

/// This host, for tasks without a mock.
fn host(folder: &DataFolder, template: Option<&Path>) -> Result<Runner, Exit> {
    logs::start(&folder.paths.logs(), Level::WARN);
    let flow = commands::flow(folder, commands::template(template)?);
    Ok(Runner::unkept(flow.executions))
}

/// The test case with this name; without a name, the only test case of the file.
fn case(file: &Path, machine: &str, name: Option<&str>) -> Result<(String, MockCase), Exit> {
    let mocks = commands::mock_file(file)?;
    let machines: Vec<_> = mocks.machines().collect();
    let machine = if let [only] = machines[..] { only } else { machine };
    let cases: Vec<_> = mocks.test_cases(machine).collect();
    let chosen = name.or(if let [only] = cases[..] { Some(only) } else { None });
    chosen.and_then(|name| Some((name.to_owned(), mocks.case(machine, name)?))).ok_or_else(|| {
        let known = if cases.is_empty() { "none".to_owned() } else { cases.join(", ") };
        Exit::usage(format!("{}: choose a test case of {machine}; there is {known}", file.display()))
    })
}

/// Whether the run needs this host. Without mocks, a state that this host cannot run is an error. With mocks, such a state
/// fails only when the test case enters it.
fn runnable(machine: &StateMachine, case: Option<&MockCase>, args: &RunStates) -> Result<bool, Exit> {
    let mocked = |state: &str| case.is_some_and(|case| case.has(state));
    let states = machine.states().filter(|state| !mocked(state.name()));
    let asked: Vec<_> = states
        .flat_map(|state| state.resources().into_iter().map(move |resource| (state.name(), resource)))
        .map(|(state, resource)| (state, resource, unanswered(resource)))
        .collect();
    let mut refused = Vec::new();
    if let Some(case) = case {
        let unknown = case.states().filter(|name| machine.states().all(|state| state.name() != *name));
        let mocks = args.mock.as_deref().unwrap_or(Path::new("")).display();
        refused.extend(unknown.map(|name| format!("{mocks}: there is no state '{name}' to mock")));
    } else {
        let lines = asked.iter().filter_map(|(state, resource, why)| {
            let why = why.as_ref()?;
            Some(format!("the state '{state}' cannot be run here: '{resource}': {why}; it can be mocked"))
        });
        refused.extend(lines);
        if !refused.is_empty() {
            refused.push(WHAT_RUNS.to_owned());
        }
    }
    let needs_host = asked.iter().any(|(.., why)| why.is_none());
    if refused.is_empty() { Ok(needs_host) } else { Err(Exit::usage(refused.join("\n"))) }
}

/// The reason why no mock and no function answers a resource.
pub(super) fn unanswered(resource: &str) -> Option<String> {
    if resource.ends_with(".waitForTaskToken") || resource.contains(":activity:") {
        return Some("no client of this run can answer it".to_owned());
    }
    check_resource(resource, functions::find).err()
}

fn start(machine: &str, args: &RunStates) -> Start {
    let name = args.test_case.as_deref().unwrap_or("run");
    let named = Start::named(machine, name, clock::seed());
    let history_limit = match args.r#type {
        MachineType::Standard => named.history_limit,
        MachineType::Express => Some(MAX_EXPRESS_EVENTS),
    };
    Start {
        execution_id: template::execution_arn(machine, name).into(),
        machine_id: template::machine_arn(machine).into(),
        history_limit,
        ..named
    }
}

fn show(outcome: &Outcome, events: &[HistoryEvent], args: &RunStates) -> Result<(), Exit> {
    let (status, _, error, cause) = parts(outcome);
    let status = status.name();
    let output = if let Outcome::Succeeded(output) = outcome { json!(output) } else { Json::Null };
    let path = path(events);
    if args.json {
        let mut whole = json!({ "status": status, "path": path });
        let members = [("output", output), ("error", json!(error)), ("cause", json!(cause))];
        for (name, value) in members.into_iter().filter(|(_, value)| !value.is_null()) {
            whole[name] = value;
        }
        if args.trace {
            whole["events"] = json!(events);
        }
        return commands::print_json(&whole);
    }
    if args.trace {
        commands::print(&trace(events));
    }
    let mut text = format!("{status}\npath: {}\n", path.join(", "));
    let told = [("error", error), ("cause", cause)];
    text.extend(told.into_iter().filter_map(|(name, told)| Some(format!("{name}: {}\n", told?))));
    commands::print(&text);
    if matches!(outcome, Outcome::Succeeded(_)) { commands::print_json(&output) } else { Ok(()) }
}

/// The states that the execution entered, without those of its children.
fn path(events: &[HistoryEvent]) -> Vec<Arc<str>> {
    let own = events.first().map(|event| &event.execution);
    let entered = events.iter().filter(|event| Some(&event.execution) == own);
    entered
        .filter_map(|event| match &event.details {
            Details::Entered { name, .. } => Some(Arc::clone(name)),
            _ => None,
        })
        .collect()
}

/// One line for each event: seconds since the start, number, type and details. Lines of children begin with their name.
fn trace(events: &[HistoryEvent]) -> String {
    let Some(first) = events.first() else {
        return String::new();
    };
    let line = |event: &HistoryEvent| {
        let seconds = event.timestamp.duration_since(first.timestamp).as_secs_f64();
        let child = event.execution != first.execution;
        let child = if child { event.execution.rsplit(':').next().unwrap_or_default() } else { "" };
        let told = json!(event);
        let details = told.as_object().into_iter().flatten().find(|(name, _)| name.ends_with("EventDetails"));
        let details = details.map(|(_, details)| format!(" {details}")).unwrap_or_default();
        let space = if child.is_empty() { "" } else { " " };
        format!("{seconds:>10.3} {child}{space}{:>4} {:?}{details}\n", event.id, event.kind)
    };
    events.iter().map(line).collect()
}
