//! The output of `crmflow process`, and the conditions under which it fails.

use std::{path::PathBuf, str::FromStr};

use batches::intake::Format;
use clap::Args;
use kernel::Rules;
use tracing::Level;

/// The arguments of `crmflow process`.
#[derive(Debug, Args)]
pub(crate) struct Process {
    /// The files: a JSON list, JSON lines or CSV, gzip or not; `-` is the standard input. Each becomes a batch.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The format of the files; without it the content decides.
    #[arg(long, value_parser = format, value_name = "json|ndjson|csv")]
    pub(crate) format: Option<Format>,
    /// Read and check the files against the stored contacts, and store nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) tolerance: Tolerance,
    /// Print one JSON object on the standard output, or a list for several files. Other texts are printed on the standard
    /// error.
    #[arg(long)]
    pub(crate) json: bool,
    /// Opt in withdrawn contacts again. Without it, a record needs a consent time (`optInAt`) after the withdrawal.
    #[arg(long)]
    pub(crate) resubscribe: bool,
    /// Treat each record as complete: crmflow deletes stored fields that the record lacks.
    #[arg(long)]
    pub(crate) replace: bool,
    #[command(flatten)]
    pub(crate) talk: Talk,
}

impl Process {
    /// The permitted changes of known contacts.
    pub(crate) fn rules(&self) -> Rules {
        Rules { resubscribe: self.resubscribe, replace: self.replace }
    }
}

/// The amount of output.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Talk {
    /// Print errors only.
    #[arg(long, short, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Print log lines on the standard error; twice for more.
    #[arg(long, short, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

impl Talk {
    /// The level from which log lines are shown.
    pub(crate) fn level(&self) -> Level {
        match self.verbose {
            _ if self.quiet => Level::ERROR,
            0 => Level::WARN,
            1 => Level::INFO,
            _ => Level::DEBUG,
        }
    }
}

/// The condition under which invalid records fail a command.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Tolerance {
    /// Exit with 1 if a record is invalid. The command still stores the other records.
    #[arg(long, conflicts_with = "max_invalid")]
    pub(crate) fail_on_invalid: bool,
    /// Exit with 1 if more records of a file are invalid than this number, or this share of the file. The command still
    /// stores the other records.
    #[arg(long, value_name = "N|P%")]
    pub(crate) max_invalid: Option<MaxInvalid>,
}

impl Tolerance {
    /// The maximum; `None`: any number.
    pub(crate) fn max(&self) -> Option<MaxInvalid> {
        if self.fail_on_invalid { Some(MaxInvalid::Count(0)) } else { self.max_invalid }
    }
}

/// The maximum of invalid records.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum MaxInvalid {
    /// A number of records.
    Count(u64),
    /// A share of all records, in percent.
    Percent(f64),
}

impl MaxInvalid {
    /// Whether the invalid records exceed the maximum.
    pub(crate) fn is_exceeded(self, invalid: u64, received: u64) -> bool {
        match self {
            Self::Count(max) => invalid > max,
            #[expect(clippy::cast_precision_loss, reason = "a share needs no more digits")]
            Self::Percent(max) => invalid as f64 * 100.0 > max * received as f64,
        }
    }
}

impl FromStr for MaxInvalid {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = match text.strip_suffix('%') {
            None => text.parse().ok().map(Self::Count),
            Some(share) => {
                share.parse().ok().filter(|share| (0.0..=100.0).contains(share)).map(Self::Percent)
            }
        };
        parsed.ok_or_else(|| "this is a number of records (10) or a share of them (2.5%)".to_owned())
    }
}

fn format(name: &str) -> Result<Format, String> {
    name.parse().map_err(|error: kernel::Error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(max: &str, invalid: u64, received: u64, is_exceeded: Option<bool>) {
        let found = max.parse::<MaxInvalid>().ok().map(|max| max.is_exceeded(invalid, received));
        assert_eq!(found, is_exceeded, "{max}");
    }

    #[test]
    fn a_maximum_is_a_number_or_a_share() {
        check("0", 0, 10, Some(false));
        check("0", 1, 10, Some(true));
        check("3", 3, 10, Some(false));
        check("10%", 1, 10, Some(false));
        check("9.9%", 1, 10, Some(true));
        check("100%", 10, 10, Some(false));
        check("0%", 0, 0, Some(false));
        for wrong in ["", "-1", "1.5", "101%", "%", "NaN%", "ten"] {
            check(wrong, 0, 0, None);
        }
    }
}
