//! The commands about contacts.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use contacts::{
    email::EmailKey,
    query::{Filter, Moment, Status, Text},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Contacts {
    /// List the opted-in contacts, or the ones that the options select.
    #[command(after_help = "\
Examples:
  crmflow contacts list
  crmflow contacts list --status opted-out --since 2026-11-01
  crmflow contacts list --text meyer --json")]
    List {
        #[command(flatten)]
        selection: ContactSelection,
        /// The maximum number of entries.
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
        /// Print one JSON list.
        #[arg(long)]
        json: bool,
    },
    /// Show one contact, with the history of consent.
    #[command(after_help = "\
Examples:
  crmflow contacts show ann@example.com")]
    Show {
        /// The address, in any spelling.
        #[arg(value_parser = address, value_name = "EMAIL")]
        address: EmailKey,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Write the opted-in contacts, or the ones that the options select, as CSV, JSON lines or Parquet.
    #[command(after_help = "\
A CSV cell that a spreadsheet would read as a formula (it begins with = + - @) gets an apostrophe; --raw prevents that.

Examples:
  crmflow contacts export > contacts.csv
  crmflow contacts export --columns email,name,phone,city --output contacts.csv
  crmflow contacts export --status all --output contacts.parquet
  crmflow contacts export --text oslo --format ndjson")]
    Export {
        #[command(flatten)]
        selection: ContactSelection,
        #[command(flatten)]
        to: To,
        /// The columns of CSV: email, name, optIn, interests, since, source, batchId, index, extra, or the name of any
        /// other field.
        #[arg(long, value_delimiter = ',', value_name = "NAMES")]
        columns: Vec<String>,
        /// The format; without it the name of the output file decides, and then CSV.
        #[arg(long, value_enum)]
        format: Option<ContactFormat>,
    },
}

/// The selection of contacts.
#[derive(Clone, Debug, Args)]
pub(crate) struct ContactSelection {
    /// The consent of the contacts.
    #[arg(long, value_enum, default_value_t = ContactStatus::OptedIn)]
    pub(crate) status: ContactStatus,
    /// Short for `--status opted-in`.
    #[arg(long, conflicts_with_all = ["status", "opted_out"])]
    pub(crate) opted_in: bool,
    /// Short for `--status opted-out`.
    #[arg(long, conflicts_with = "status")]
    pub(crate) opted_out: bool,
    /// Only contacts with this text in address, name, interests or another field; in any case.
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,
    /// Only contacts with a current statement of this time or later: a date, or a timestamp.
    #[arg(long, value_parser = moment, value_name = "TIME")]
    pub(crate) since: Option<Moment>,
    /// Only contacts with a current statement before this time.
    #[arg(long, value_parser = moment, value_name = "TIME")]
    pub(crate) until: Option<Moment>,
}

impl ContactSelection {
    /// The filter of the query.
    pub(crate) fn filter(&self) -> Filter {
        let status = match self.status {
            _ if self.opted_out => Status::OptedOut,
            ContactStatus::OptedIn => Status::OptedIn,
            ContactStatus::OptedOut => Status::OptedOut,
            ContactStatus::All => Status::All,
        };
        let text = self.text.as_deref().and_then(Text::new);
        Filter { status, text, since: self.since, until: self.until }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ContactStatus {
    /// The contact agrees to marketing mail.
    OptedIn,
    /// The contact withdrew.
    OptedOut,
    /// Both.
    All,
}

/// The output of an export.
#[derive(Clone, Debug, Args)]
pub(crate) struct To {
    /// The file to write; without it the standard output. The file appears once it is complete.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Write CSV cells that a spreadsheet would read as formulas as they are.
    #[arg(long)]
    pub(crate) raw: bool,
}

impl To {
    /// The format that the name of the output file says.
    pub(crate) fn extension(&self) -> Option<&str> {
        self.output.as_deref().and_then(Path::extension).and_then(|extension| extension.to_str())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ContactFormat {
    Csv,
    Ndjson,
    Parquet,
}

impl ContactFormat {
    /// The format of an export: the named one, or that of the output file.
    pub(crate) fn of(named: Option<Self>, to: &To) -> Self {
        named.unwrap_or_else(|| match to.extension() {
            Some("ndjson" | "jsonl" | "json") => Self::Ndjson,
            Some("parquet") => Self::Parquet,
            _ => Self::Csv,
        })
    }
}

fn address(text: &str) -> Result<EmailKey, String> {
    EmailKey::parse(text).ok_or_else(|| "this is not an e-mail address".to_owned())
}

fn moment(text: &str) -> Result<Moment, String> {
    text.parse().map_err(|error: kernel::Error| error.to_string())
}
