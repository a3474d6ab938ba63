//! The commands about batches and their records.

use clap::{Args, Subcommand, ValueEnum};
use kernel::{BatchId, Outcome};

use super::To;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Batches {
    #[command(subcommand)]
    pub(crate) action: Option<BatchesAction>,
    #[command(flatten)]
    pub(crate) list: BatchList,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BatchesAction {
    /// List batches, newest first.
    List(BatchList),
    /// Show the outcomes of a batch, or one record of it with its outcome.
    Show(BatchShow),
    /// List records of a batch: line, outcome, and the record that won over a duplicate.
    #[command(after_help = "\
Examples:
  crmflow batches records 01M7YM2KCGG4PCFGTA1N7X8JJC --outcome duplicate
  crmflow batches show 01M7YM2KCGG4PCFGTA1N7X8JJC/17")]
    Records(BatchRecords),
    /// Write records of a batch with their outcomes, as CSV or JSON lines.
    #[command(after_help = "\
Examples:
  crmflow batches export 01M7YM2KCGG4PCFGTA1N7X8JJC --outcome ignored > ignored.csv
  crmflow batches export 01M7YM2KCGG4PCFGTA1N7X8JJC --output batch.ndjson")]
    Export(BatchExport),
    /// Resume a batch whose command was interrupted.
    Resume {
        /// The id of the batch.
        batch: BatchId,
    },
    /// Cancel such a batch: stored records remain, the others are dropped.
    Cancel {
        /// The id of the batch.
        batch: BatchId,
    },
}

/// The list of batches.
#[derive(Clone, Debug, Args)]
pub(crate) struct BatchList {
    /// The maximum number of entries.
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: usize,
    /// Print one JSON list.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct BatchShow {
    /// The batch, or one record of it: `BATCH/INDEX`.
    #[arg(value_parser = place, value_name = "BATCH[/INDEX]")]
    pub(crate) what: (BatchId, Option<u64>),
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The selection of records of a batch.
#[derive(Clone, Debug, Args)]
pub(crate) struct RowSelection {
    /// The batch.
    pub(crate) batch: BatchId,
    /// Only records with this outcome: saved, duplicate, invalid, ...
    #[arg(long, value_parser = outcome)]
    pub(crate) outcome: Option<Outcome>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct BatchRecords {
    #[command(flatten)]
    pub(crate) selection: RowSelection,
    /// The maximum number of entries.
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(crate) limit: usize,
    /// Print one JSON list, with the records themselves.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct BatchExport {
    #[command(flatten)]
    pub(crate) selection: RowSelection,
    #[command(flatten)]
    pub(crate) to: To,
    /// The format; without it the name of the output file decides, and then CSV.
    #[arg(long, value_enum)]
    pub(crate) format: Option<RowFormat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RowFormat {
    Csv,
    Ndjson,
}

impl RowFormat {
    /// The format of an export: the named one, or that of the output file.
    pub(crate) fn of(named: Option<Self>, to: &To) -> Self {
        named.unwrap_or_else(|| match to.extension() {
            Some("ndjson" | "jsonl" | "json") => Self::Ndjson,
            _ => Self::Csv,
        })
    }
}

fn outcome(name: &str) -> Result<Outcome, String> {
    let names = || Outcome::ALL.map(Outcome::name).join(", ");
    Outcome::from_name(name).ok_or_else(|| format!("the outcomes are {}", names()))
}

fn place(text: &str) -> Result<(BatchId, Option<u64>), String> {
    let (batch, index) = text.split_once('/').map_or((text, None), |(batch, index)| (batch, Some(index)));
    match (batch.parse(), index.map(str::parse).transpose()) {
        (Ok(batch), Ok(index)) => Ok((batch, index)),
        _ => {
            Err("this is a batch, or BATCH/INDEX, as `crmflow batches` and `batches records` show it".into())
        }
    }
}
