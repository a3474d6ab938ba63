//! The command line.

mod batches;
mod contacts;
mod deliveries;
mod process;
mod states;

use std::{net::SocketAddr, path::PathBuf};

use api::HostName;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use destinations::outbound::Allowed;
use kernel::{BatchId, fault::ErrorType};
use receiver::Behaviour;
use template::{account, region};

use crate::named_function::NamedFunction;
pub(crate) use batches::{
    BatchExport, BatchList, BatchRecords, BatchShow, Batches, BatchesAction, RowFormat, RowSelection,
};
pub(crate) use contacts::{ContactFormat, Contacts, To};
pub(crate) use deliveries::{Deliveries, Destinations, List, Replay};
pub(crate) use process::{MaxInvalid, Process};
pub(crate) use states::{CheckStates, MockStates, RunStates, States};

/// The default data folder of a command.
pub(crate) const DEFAULT_DATA: &str = ".crmflow";

/// Validates, deduplicates and stores customer records, and never loses one.
#[derive(Debug, Parser)]
#[command(
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  crmflow process contacts.csv
  crmflow contacts export --output opted-in.csv
  crmflow batches records 01M7YM2KCGG4PCFGTA1N7X8JJC --outcome invalid
  crmflow serve"
)]
pub(crate) struct Cli {
    /// The folder with all data of crmflow.
    #[arg(long, global = true, env = "CRMFLOW_DATA", default_value = DEFAULT_DATA, value_name = "FOLDER")]
    pub(crate) data: PathBuf,
    /// A SAM template with the machines; without it crmflow uses the one in the program.
    #[arg(long, global = true, env = "CRMFLOW_TEMPLATE", value_name = "PATH")]
    pub(crate) template: Option<PathBuf>,
    /// The region in the ARNs of machines, executions, functions and queues here.
    #[arg(long, global = true, env = "CRMFLOW_REGION", value_parser = region, default_value = "local")]
    pub(crate) region: String,
    /// The account in these ARNs.
    #[arg(long, global = true, env = "CRMFLOW_ACCOUNT", value_parser = account, default_value = "000000000000")]
    pub(crate) account: String,
    /// Print log lines without colours.
    #[arg(long, global = true, env = "NO_COLOR", hide_env_values = true, value_parser = is_not_empty)]
    pub(crate) no_color: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Process files of records, and report their outcomes.
    #[command(after_help = "\
Examples:
  crmflow process contacts.csv
  crmflow process --dry-run contacts.csv
  crmflow process --json --max-invalid 2% january.csv february.csv
  gunzip -c contacts.ndjson.gz | crmflow process --format ndjson -

Exit codes: 0 done (invalid records are a result); 1 the flow failed, consent was not understood, or too many records are
invalid for --fail-on-invalid or --max-invalid (the others are stored); 2 a file or an option is wrong; 130 interrupted.")]
    Process(Process),
    /// Serve the HTTP API and a local Step Functions endpoint.
    #[command(after_help = "\
Examples:
  crmflow serve
  CRMFLOW_DATA=/var/lib/crmflow crmflow serve --listen 127.0.0.1:8080
  crmflow serve --allow-destination 10.0.0.0/8 --allow-host crm.example.com")]
    Serve(Serve),
    /// Call one function with an event file, as `sam local invoke` does.
    Invoke(Invoke),
    /// Show the log lines of a function.
    Logs(Logs),
    /// List contacts, show one with the history of consent, or export them.
    #[command(subcommand)]
    Contacts(Contacts),
    /// List batches, newest first; show one and its records; resume or cancel one whose command was interrupted.
    Batches(Batches),
    /// List executions, newest first, or redrive one.
    Executions(Executions),
    /// Show one execution: its path through the states, with times.
    Execution(OneExecution),
    /// List, show and replay records in quarantine.
    #[command(after_help = "\
Examples:
  crmflow quarantine list --error-type schema
  crmflow quarantine show 01M7YM2KCGG4PCFGTA1N7X8JJC/7
  crmflow quarantine replay 01M7YM2KCGG4PCFGTA1N7X8JJC/7 --corrected fixed.ndjson")]
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// List the destinations of events.
    #[command(subcommand)]
    Destinations(Destinations),
    /// List deliveries to destinations, and replay failed ones.
    #[command(subcommand)]
    Deliveries(Deliveries),
    /// Run or check any state machine, with mocks for missing tasks.
    #[command(subcommand)]
    States(States),
    /// List the queues of the template and their messages, pause a queue, and redrive dead letters.
    #[command(subcommand)]
    Queues(Queues),
    /// Receive deliveries as a destination would, with three endpoints that can be set to fail.
    Sink(Sink),
    /// Print the completions of a shell.
    #[command(after_help = "\
Examples:
  crmflow completions bash > ~/.local/share/bash-completion/completions/crmflow
  crmflow completions zsh > ~/.zfunc/_crmflow
  crmflow completions fish > ~/.config/fish/completions/crmflow.fish")]
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Check the template and its machines: every target exists, every function is known.
    Check(Check),
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Draw the template and the machines instead, as Mermaid in Markdown.
    #[arg(long)]
    pub(crate) diagrams: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The address to listen on: a loopback address.
    #[arg(long, env = "CRMFLOW_LISTEN", default_value = "127.0.0.1:3000", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// The address of the Step Functions endpoint: a loopback address.
    #[arg(long, env = "CRMFLOW_SFN_LISTEN", default_value = "127.0.0.1:8083", value_name = "ADDRESS")]
    pub(crate) sfn_listen: SocketAddr,
    /// A host name that the server accepts besides loopback names and addresses; repeatable. A server behind a proxy that
    /// preserves the client's Host needs it.
    #[arg(long, env = "CRMFLOW_ALLOW_HOST", value_delimiter = ',', value_parser = host_name, value_name = "NAME")]
    pub(crate) allow_host: Vec<HostName>,
    /// The maximum number of messages in the queue of events; beyond it the server answers 429.
    #[arg(long, env = "CRMFLOW_QUEUE_LIMIT", default_value_t = 1_000_000, value_name = "MESSAGES")]
    pub(crate) queue_limit: u64,
    /// The maximum number of bytes in the queue of events (8 GiB); beyond it the server answers 429.
    #[arg(long, env = "CRMFLOW_QUEUE_BYTES", default_value_t = 8 << 30, value_name = "BYTES")]
    pub(crate) queue_bytes: u64,
    /// A mock configuration file as Step Functions Local reads it: `StartExecution` of `ARN#TestCase` answers tasks
    /// from it.
    #[arg(long, value_name = "FILE")]
    pub(crate) mock: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

/// The addresses that calls may use.
#[derive(Debug, Args)]
pub(crate) struct Reach {
    /// A private address or network that destinations may use, with a port or without; repeatable. The default is the
    /// address of `crmflow sink`.
    #[arg(
        long,
        env = "CRMFLOW_ALLOW_DESTINATION",
        value_delimiter = ',',
        value_parser = allowed,
        value_name = "ADDRESS|NETWORK[:PORT]",
        default_values = ["127.0.0.1:8090", "[::1]:8090"]
    )]
    pub(crate) allow_destination: Vec<Allowed>,
}

#[derive(Debug, Args)]
pub(crate) struct Invoke {
    /// The function: `ValidateSchema` or `ValidateSchemaFunction`.
    #[arg(value_parser = function)]
    pub(crate) function: NamedFunction,
    /// A JSON file with its input; `-` is the standard input.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) event: PathBuf,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The function: `ValidateSchema` or `ValidateSchemaFunction`.
    #[arg(short, long, value_parser = function)]
    pub(crate) name: NamedFunction,
    /// Continue to show lines as functions log them.
    #[arg(short, long)]
    pub(crate) tail: bool,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Executions {
    #[command(subcommand)]
    pub(crate) action: Option<ExecutionsAction>,
    /// The maximum number of entries.
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: u32,
    /// Print one JSON list.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExecutionsAction {
    /// Redrive a failed execution from the state that failed, and wait for its end.
    Redrive {
        /// The ARN or the name of the execution.
        arn: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct OneExecution {
    /// The ARN or the name of the execution.
    pub(crate) arn: String,
    /// Print one JSON object, with the history as GetExecutionHistory has it.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Quarantine {
    /// List records in quarantine.
    List(Selection),
    /// Show one record with its faults.
    Show {
        /// The record: `BATCH/INDEX`, as the list shows it.
        #[arg(value_parser = record)]
        record: (BatchId, u64),
    },
    /// Send records through the flow again, unchanged or corrected.
    Replay {
        #[command(flatten)]
        selection: Selection,
        /// The records to send, each as `BATCH/INDEX`; without any, all records that the options select.
        #[arg(value_parser = record, value_name = "BATCH/INDEX")]
        records: Vec<(BatchId, u64)>,
        /// A file of corrected records, as JSON lines or a list: they replace the named records, in the same order.
        #[arg(long, value_name = "FILE", requires = "records")]
        corrected: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Queues {
    /// List the queues with their numbers of messages.
    List {
        /// Print one JSON list.
        #[arg(long)]
        json: bool,
    },
    /// Show the messages of a queue, oldest first.
    Show {
        /// The name of the queue, as the list shows it.
        queue: String,
        /// The maximum number of entries.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Print one JSON list.
        #[arg(long)]
        json: bool,
    },
    /// Pause a queue: it accepts messages, and no function receives them until the queue is resumed. A pause survives
    /// restarts, and works while the server runs.
    Pause {
        /// The name of the queue, as the list shows it.
        queue: String,
    },
    /// Resume a paused queue.
    Resume {
        /// The queue.
        queue: String,
    },
    /// Send the messages of a dead letter queue back to their source queue.
    Redrive {
        /// The dead letter queue.
        queue: String,
        /// The queue to send them to, in place of the source queue.
        #[arg(long, value_name = "QUEUE")]
        to: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Sink {
    /// The address to listen on: a loopback address.
    #[arg(long, default_value = "127.0.0.1:8090", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// Print no line for a request.
    #[arg(long, conflicts_with = "show_bodies")]
    pub(crate) quiet: bool,
    /// Also print the bodies of requests.
    #[arg(long)]
    pub(crate) show_bodies: bool,
    /// Append each request to this file, as one line of JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// The initial behaviour of the endpoints.
    #[command(flatten)]
    pub(crate) behaviour: Behaviour,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Selection {
    /// Only of this batch.
    #[arg(long)]
    pub(crate) batch: Option<BatchId>,
    /// Only with this type of error: unreadable, schema, address, processing, conflict or delivery.
    #[arg(long, value_parser = error_type, value_name = "KIND")]
    pub(crate) error_type: Option<ErrorType>,
    /// Include records that were replayed.
    #[arg(long)]
    pub(crate) all: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Whether a variable like `NO_COLOR` is set (<https://no-color.org>).
#[expect(clippy::unnecessary_wraps, reason = "clap asks for a result")]
fn is_not_empty(text: &str) -> Result<bool, String> {
    Ok(!text.is_empty())
}

fn allowed(text: &str) -> Result<Allowed, String> {
    text.parse().map_err(|rule: &str| rule.to_owned())
}

fn host_name(text: &str) -> Result<HostName, String> {
    text.parse().map_err(|rule: &str| rule.to_owned())
}

fn function(name: &str) -> Result<NamedFunction, String> {
    NamedFunction::from_name(name).ok_or_else(|| {
        let names: Vec<_> = NamedFunction::all().map(NamedFunction::name).collect();
        format!("the functions are {}", names.join(", "))
    })
}

fn error_type(name: &str) -> Result<ErrorType, String> {
    let found = ErrorType::ALL.into_iter().find(|kind| kind.name() == name);
    found.ok_or_else(|| {
        let names: Vec<_> = ErrorType::ALL.into_iter().map(ErrorType::name).collect();
        format!("the kinds are {}", names.join(", "))
    })
}

fn record(name: &str) -> Result<(BatchId, u64), String> {
    let parts =
        name.split_once('/').and_then(|(batch, index)| Some((batch.parse().ok()?, index.parse().ok()?)));
    parts.ok_or_else(|| "a record is BATCH/INDEX, as `quarantine list` shows it".to_owned())
}
