//! The commands about destinations and deliveries.

use clap::{Args, Subcommand};
use delivery::{model::Status, query::Failure, redrive};
use jiff::Timestamp;
use kernel::destination_name::DestinationName;
use step_functions::clock;

#[derive(Debug, Subcommand)]
pub(crate) enum Destinations {
    /// List destinations by name, each with its number of waiting deliveries.
    List {
        /// Print one JSON list.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Deliveries {
    /// List deliveries by destination: waiting, failed and delivered.
    List(List),
    /// Replay deliveries that failed for good, under the same ids. Delivered events are never sent again.
    Replay(Replay),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only to this destination.
    #[arg(long, value_parser = name, value_name = "NAME")]
    pub(crate) destination: Option<DestinationName>,
    /// Only with this status.
    #[arg(long, value_parser = status, value_name = "pending|delivered|failed")]
    pub(crate) status: Option<Status>,
    /// Only with this last error: a status like 404, a class like 5xx, network, or a name like timeout.
    #[arg(long, value_parser = failure, value_name = "5xx|404|network|NAME")]
    pub(crate) error: Option<Failure>,
    /// The maximum number of entries.
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(crate) limit: usize,
    /// Print one JSON list.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// The destination.
    #[arg(long, value_parser = name, value_name = "NAME")]
    pub(crate) destination: DestinationName,
    /// Only with a last attempt since then: a time, or a duration like 24h.
    #[arg(long, value_parser = since, value_name = "TIME|DURATION")]
    pub(crate) since: Option<Timestamp>,
    /// Only with this error: a status like 404, a class like 5xx, network, or a name like timeout.
    #[arg(long, value_parser = failure, value_name = "5xx|404|network|NAME")]
    pub(crate) error: Option<Failure>,
    /// Count them, and send none.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

fn name(text: &str) -> Result<DestinationName, String> {
    text.parse().map_err(|error: kernel::Error| error.to_string())
}

fn status(name: &str) -> Result<Status, String> {
    let found = Status::ALL.into_iter().find(|status| status.name() == name);
    found.ok_or_else(|| "a delivery is pending, delivered or failed".to_owned())
}

fn failure(text: &str) -> Result<Failure, String> {
    text.parse().map_err(str::to_owned)
}

fn since(text: &str) -> Result<Timestamp, String> {
    redrive::since(text, clock::now())
        .ok_or_else(|| "this is neither a time like 2026-11-21T08:00:00Z nor a duration like 24h".to_owned())
}
