//! CSV with a header: a row becomes a record.
//!
//! A column is a field of the same name. Names of the schema's own fields match in any case and with spaces, `_` or `-`
//! in them (`Opt In`). `optIn` accepts the words of [`consent`]; `interests` is split at `;` or `|`. A blank cell is an
//! absent field, except for `name` and `email`. A row with damaged quotes is an invalid record, stored as received.

mod header;
mod rows;
mod scan;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde_json::{Map, Value};

use self::{
    header::columns,
    rows::{Broken, Found, Rows, Shape},
    scan::Damage,
};
use super::{MAX_HELD_BYTES, Sink};
use contacts::consent;
use kernel::{
    error::Error,
    fault::{Fault, rule},
};

/// Finds the rows, and makes records of them.
#[derive(Debug, Default)]
pub(super) struct CsvFramer {
    rows: Option<Rows>,
    header: Option<Vec<Column>>,
    /// The first line, until its end arrives.
    first_line: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Column {
    Text(&'static str),
    OptIn,
    Interests,
    Other(String),
}

/// Whether a header line names an email column.
pub(super) fn has_email(header: &[u8]) -> bool {
    let text = String::from_utf8_lossy(header);
    text.split([',', ';', '\t', '\r'])
        .any(|name| column(name.trim().trim_matches('"')) == Column::Text("email"))
}

impl CsvFramer {
    pub(super) fn push(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<(), Error> {
        if self.rows.is_some() {
            return self.read(bytes, false, sink);
        }
        self.first_line.extend_from_slice(bytes);
        let begin = self.first_line.iter().position(|byte| !byte.is_ascii_whitespace());
        match begin.and_then(|begin| Some(begin + memchr::memchr2(b'\n', b'\r', &self.first_line[begin..])?))
        {
            Some(end) => self.begin(end, false, sink),
            None if self.first_line.len() > MAX_HELD_BYTES => {
                Err(Error::BadInput("the row on line 1 is longer than 64 MiB".into()))
            }
            None => Ok(()),
        }
    }

    pub(super) fn finish(&mut self, sink: &mut impl Sink) -> Result<(), Error> {
        if self.rows.is_none() {
            return self.begin(self.first_line.len(), true, sink);
        }
        self.read(&[], true, sink)
    }

    /// The delimiter is the one that occurs most often in the header.
    fn begin(&mut self, header_end: usize, at_end: bool, sink: &mut impl Sink) -> Result<(), Error> {
        let head = std::mem::take(&mut self.first_line);
        let count = |delimiter: u8| memchr::memchr_iter(delimiter, &head[..header_end]).count();
        let delimiter = [b'\t', b';', b','].into_iter().max_by_key(|&d| count(d)).unwrap_or(b',');
        self.rows = Some(Rows::new(delimiter));
        self.read(&head, at_end, sink)
    }

    fn read(&mut self, bytes: &[u8], at_end: bool, sink: &mut impl Sink) -> Result<(), Error> {
        let Self { rows: Some(rows), header, .. } = self else {
            return Ok(());
        };
        rows.read(bytes, at_end, |found| {
            let Some(header) = header else {
                let names = columns(&found)?;
                let shape = shape(&names);
                *header = Some(names);
                return Ok(Some(shape));
            };
            convert(&found, header, sink)?;
            Ok(None)
        })
    }
}

fn shape(header: &[Column]) -> Shape {
    Shape {
        min_columns: header.iter().rposition(|column| !column.is_nameless()).map_or(0, |last| last + 1),
        columns: header.len(),
        email: header.iter().position(|column| *column == Column::Text("email")),
    }
}

/// Makes a record of a row.
fn convert(found: &Found<'_>, header: &[Column], sink: &mut impl Sink) -> Result<(), Error> {
    let fault = found.broken.map(|broken| broken.fault(header.len()));
    if let Some(Broken::Quotes(..) | Broken::ContainsRows) = found.broken {
        return sink.record(found.line, found.text, fault);
    }
    let Some(cells) = found.cells().collect::<Option<Vec<_>>>() else {
        let fault = Fault::new("", rule::UTF8, "the row is not UTF-8");
        return sink.record(found.line, found.text, Some(fault));
    };
    let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
    let record = record(header, &cells);
    // A word that is understood is a boolean by now.
    let unread = record.get("optIn").filter(|said| !said.is_boolean()).map(|_| consent::unread_cell());
    let record = Value::Object(record).to_string();
    sink.record(found.line, record.as_bytes(), fault.or(unread))
}

impl Found<'_> {
    /// The texts of its fields; `None` for one that is not UTF-8.
    fn cells(&self) -> impl Iterator<Item = Option<Cow<'_, str>>> {
        self.fields.iter().map(|&field| {
            let text = std::str::from_utf8(rows::text(self.buffer, field)).ok()?;
            Some(if field.is_escaped { text.replace("\"\"", "\"").into() } else { text.into() })
        })
    }
}

impl Broken {
    fn fault(self, columns: usize) -> Fault {
        const SEPARATE_ROWS: &str = "the lines behind it are read as rows of their own";
        let message = match self {
            Self::Fields(row) => format!("the row has {row} fields and the header has {columns}"),
            Self::ContainsRows => {
                format!("a quoted field takes in lines that are rows by themselves; {SEPARATE_ROWS}")
            }
            Self::Quotes(damage @ (Damage::NotClosed { .. } | Damage::NotClosedAtEnd { .. }), line) => {
                format!("{}; {SEPARATE_ROWS}", damage.sentence(line))
            }
            Self::Quotes(damage, line) => damage.sentence(line),
        };
        Fault::new("", rule::CSV, message)
    }
}

impl Damage {
    /// The damage in a sentence; the opening quote is on this line.
    fn sentence(self, line: u64) -> String {
        match self {
            Self::TextAfter { field } => format!("text stands behind the closing quote of field {field}"),
            Self::NotClosed { field, .. } => format!(
                "the quote that opens field {field} on line {line} is not closed within {} KiB or {} lines",
                scan::MAX_QUOTED_BYTES / 1024,
                scan::MAX_QUOTED_LINES,
            ),
            Self::NotClosedAtEnd { field, .. } => format!(
                "the quote that opens field {field} on line {line} is not closed before the input ends"
            ),
            Self::OneQuote { field } => format!("field {field} has a quote without its other half"),
            Self::Backslash { field } => format!(
                "field {field} has a quote behind a backslash; a quote inside a quoted field is written twice"
            ),
        }
    }
}

impl Column {
    fn is_nameless(&self) -> bool {
        *self == Self::Other(String::new())
    }
}

fn column(name: &str) -> Column {
    let plain: String =
        name.chars().filter(|c| !matches!(c, ' ' | '_' | '-')).collect::<String>().to_lowercase();
    match plain.as_str() {
        "name" => Column::Text("name"),
        "email" => Column::Text("email"),
        "optin" => Column::OptIn,
        "interests" => Column::Interests,
        _ => Column::Other(name.to_owned()),
    }
}

fn record(header: &[Column], cells: &[&str]) -> Map<String, Value> {
    let mut record = Map::new();
    for (at, cell) in cells.iter().enumerate() {
        match header.get(at).unwrap_or(&Column::Other(String::new())) {
            Column::Text(name) => {
                record.insert((*name).to_owned(), Value::from(*cell));
            }
            _ if cell.trim().is_empty() => {}
            Column::OptIn => {
                record.insert("optIn".to_owned(), to_boolean(cell));
            }
            Column::Interests => {
                let interests = cell.split([';', '|']).map(str::trim).filter(|text| !text.is_empty());
                record.insert("interests".to_owned(), interests.map(Value::from).collect());
            }
            Column::Other(name) => {
                let name = if name.is_empty() { format!("column {}", at + 1) } else { name.clone() };
                record.insert(name, Value::from(*cell));
            }
        }
    }
    record
}

fn to_boolean(cell: &str) -> Value {
    consent::read(cell).map_or_else(|| Value::from(cell), Value::Bool)
}
