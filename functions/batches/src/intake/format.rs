//! The formats of an input, and their detection.

use std::str::FromStr;

use serde::de::IgnoredAny;

use super::{Sink, array::ArrayFramer, csv, csv::CsvFramer, lines::LineFramer};
use kernel::error::Error;

/// Maximum number of bytes that the detection of the format reads.
pub(super) const MAX_DETECTION_BYTES: usize = 64 * 1024;

/// The format of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON list of records (RFC 8259).
    Json,
    /// One JSON record a line.
    Ndjson,
    /// Comma-separated values with a header (RFC 4180); also with `;` or tabs.
    Csv,
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "json" => Ok(Self::Json),
            "ndjson" | "jsonl" => Ok(Self::Ndjson),
            "csv" => Ok(Self::Csv),
            _ => Err(Error::BadInput("a format is json, ndjson or csv".into())),
        }
    }
}

/// Finds the records of an input.
#[derive(Debug)]
pub(super) enum Framer {
    Json(ArrayFramer),
    Ndjson(LineFramer),
    Csv(Box<CsvFramer>),
}

impl Framer {
    pub(super) fn new(format: Format) -> Self {
        match format {
            Format::Json => Self::Json(ArrayFramer::default()),
            Format::Ndjson => Self::Ndjson(LineFramer::default()),
            Format::Csv => Self::Csv(Box::default()),
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<(), Error> {
        match self {
            Self::Json(framer) => framer.push(bytes, sink),
            Self::Ndjson(framer) => framer.push(bytes, sink),
            Self::Csv(framer) => framer.push(bytes, sink),
        }
    }

    pub(super) fn finish(&mut self, sink: &mut impl Sink) -> Result<(), Error> {
        match self {
            Self::Json(framer) => framer.finish(),
            Self::Ndjson(framer) => framer.finish(sink),
            Self::Csv(framer) => framer.finish(sink),
        }
    }
}

/// The format of an input that begins with `head`, or why the input is refused.
pub(super) fn resolve(named: Option<Format>, head: &[u8]) -> Result<Format, Error> {
    let start = head.trim_ascii_start();
    let format = match (named, start.first()) {
        (_, None) => return Err(refused("the input is empty; at least one record is needed")),
        (Some(Format::Json), Some(b'[')) | (None, Some(b'[')) => Format::Json,
        (Some(Format::Json), Some(_)) => return Err(no_list(start)),
        (Some(named), Some(_)) => named,
        (None, Some(_)) => by_content(start)?,
    };
    Ok(format)
}

fn by_content(start: &[u8]) -> Result<Format, Error> {
    let mut lines = start.split(|&b| b == b'\n');
    let first = lines.next().unwrap_or_default();
    let more = lines.clone().any(|line| !line.trim_ascii().is_empty());
    let first_is_json = serde_json::from_slice::<IgnoredAny>(first).is_ok();
    if start[0] == b'{' && !first_is_json && spans_lines(start) {
        return Err(no_list(start));
    }
    if start[0] == b'{' || (first_is_json && more) {
        return Ok(Format::Ndjson);
    }
    if first_is_json {
        return Err(no_list(start));
    }
    if csv::has_email(first) {
        return Ok(Format::Csv);
    }
    if lines.any(|line| line.trim_ascii_start().starts_with(b"{")) {
        return Ok(Format::Ndjson);
    }
    Err(refused(
        "the input is neither a JSON list, nor a JSON record a line, nor CSV whose header has an email column",
    ))
}

/// Whether the first JSON value continues after its first line.
fn spans_lines(start: &[u8]) -> bool {
    let mut values = serde_json::Deserializer::from_slice(start).into_iter::<IgnoredAny>();
    matches!(values.next(), Some(Ok(_))) && start[..values.byte_offset()].contains(&b'\n')
}

fn no_list(start: &[u8]) -> Error {
    let found = match start[0] {
        b'{' => "an object",
        b'"' => "a string",
        b'n' => "null",
        b't' | b'f' => "a boolean",
        b'-' | b'0'..=b'9' => "a number",
        _ => "something else",
    };
    refused(&format!("a list of records is expected, and the input is {found}"))
}

fn refused(why: &str) -> Error {
    Error::BadInput(why.to_owned())
}
