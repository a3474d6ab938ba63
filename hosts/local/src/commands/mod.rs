//! The commands, one file each.

mod batches;
mod check;
mod contacts;
mod deliveries;
mod dry_run;
mod executions;
mod invoke;
mod logs;
mod output;
mod process;
mod progress;
mod quarantine;
mod queues;
mod report;
mod rows;
mod serve;
mod sink;
mod states;

use std::{
    fs,
    future::Future,
    io::{self, Read, Write},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use ::states::MockFile;
use clap::CommandFactory;
use registry::Function;
use serde::Serialize;
use step_functions::check_resource;
use template::{Names, Problems, Site, Template, mappings::Consumer};
use tokio::runtime;

use crate::{
    cli::{Cli, Command, DEFAULT_DATA},
    data_folder::DataFolder,
    exit::Exit,
    flow::LocalFlow,
    functions, os_limits,
};

/// Number of threads for files, besides one thread for each concurrent function. The allocator keeps memory for the
/// thread that allocated it, so each such thread retains some MiB.
const FILE_THREADS: usize = 2;
/// Maximum time that a command waits at its end for abandoned work on other threads.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs the command.
pub(crate) fn run(cli: Cli) -> Result<ExitCode, Exit> {
    let Cli { data, template, region, account, no_color, command } = cli;
    if no_color {
        crate::logs::without_colours();
    }
    Site { region, account }.settle();
    let template = template.as_deref();
    match command {
        Command::Process(args) => process::run(&data, template, &args),
        Command::Serve(args) => serve::run(&data, template, &args),
        Command::Invoke(args) => invoke::run(&data, template, &args),
        Command::Logs(args) => logs::run(&data, &args),
        Command::Contacts(args) => contacts::run(&data, &args),
        Command::Batches(args) => batches::run(&data, template, &args),
        Command::Executions(args) => executions::run(&data, template, &args),
        Command::Execution(args) => executions::show(&data, &args),
        Command::Quarantine(args) => quarantine::run(&data, template, args),
        Command::Destinations(args) => deliveries::destinations(&data, &args),
        Command::Deliveries(args) => deliveries::run(&data, &args),
        Command::States(command) => states::dispatch(&data, template, command),
        Command::Queues(args) => queues::run(&data, template, &args),
        Command::Sink(args) => sink::run(args),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "crmflow", &mut text);
            print(&String::from_utf8_lossy(&text));
            Ok(ExitCode::SUCCESS)
        }
        Command::Check(args) => check::run(template, &args),
    }
}

/// The machines, or exit code 2 with all their faults.
pub(crate) fn template(template: Option<&Path>) -> Result<Template, Exit> {
    let names = Names {
        machines: &api::Machine::ALL.map(api::Machine::resource),
        is_function: &|name| Function::from_name(name).is_some(),
        consumer: &|name| Some(Consumer { keeps_order: registry::Consumer::from_name(name)?.keeps_order() }),
        check_resource: &|resource| check_resource(resource, functions::find),
    };
    Template::read(template, &names).map_err(|Problems(problems)| Exit::usage(problems.join("\n")))
}

/// The flow on an open folder.
fn flow(folder: &DataFolder, template: Template) -> LocalFlow {
    LocalFlow::new(folder, template, MockFile::default())
}

/// The start of a command line for the same folder: the program as the person called it, since the search path may lack
/// it, and `--data` unless the folder is the default one.
fn typed(data: &Path) -> String {
    let program = quoted(&std::env::args().next().unwrap_or_else(|| "crmflow".to_owned()));
    if data == Path::new(DEFAULT_DATA) {
        program
    } else {
        format!("{program} --data {}", quoted(&data.to_string_lossy()))
    }
}

/// A word, quoted for a POSIX shell.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Runs the work of a command to its end.
fn block_on<T>(work: impl Future<Output = Result<T, Exit>>) -> Result<T, Exit> {
    let blocking = os_limits::cores() + FILE_THREADS;
    block_on_threads(runtime::Builder::new_multi_thread().max_blocking_threads(blocking), work)
}

/// The same, on the threads of this builder.
fn block_on_threads<T>(
    threads: &mut runtime::Builder,
    work: impl Future<Output = Result<T, Exit>>,
) -> Result<T, Exit> {
    let runtime = threads.enable_all().build();
    let runtime = runtime.map_err(|error| Exit::failed(format!("no threads can be started: {error}")))?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(END_TIMEOUT);
    result
}

/// The content of a small file; `-` is the standard input.
fn read(path: &Path) -> Result<Vec<u8>, Exit> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().read_to_end(&mut bytes).map(|_| ())
    } else {
        fs::read(path).map(|read| bytes = read)
    };
    read.map_err(|error| Exit::usage(format!("{}: {error}", path.display())))?;
    Ok(bytes)
}

/// A mock configuration file, or exit code 2 with its fault.
fn mock_file(path: &Path) -> Result<MockFile, Exit> {
    let text = String::from_utf8(read(path)?)
        .map_err(|_| Exit::usage(format!("{}: it is not UTF-8", path.display())))?;
    MockFile::parse(&text).map_err(|problem| Exit::usage(format!("{}: {problem}", path.display())))
}

/// Prints to the standard output. A closed pipe is no failure.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
}

/// Says something beside the result, on the standard error.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "crmflow: {text}");
}

/// Prints one JSON value and a line feed.
fn print_json(value: &impl Serialize) -> Result<(), Exit> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Exit::failed(error.to_string()))?;
    print(&format!("{text}\n"));
    Ok(())
}

/// A number with separated thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
