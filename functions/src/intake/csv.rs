//! CSV with a header: a row becomes a record.
//!
//! A column is a field of the same name. Names of the schema's own fields are met in any case and with
//! spaces, `_` or `-` in them (`Opt In`). `optIn` reads the words of [`consent`]; `interests` is cut at `;`
//! or `|`. A blank cell is an absent field, but for `name` and `email`.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use serde_json::{Map, Value};

use super::{MAX_HELD_BYTES, Sink};
use crate::{
    consent,
    error::Error,
    fault::{Fault, rule},
};

/// Finds the rows.
#[derive(Debug, Default)]
pub(super) struct CsvFramer {
    reader: Option<Box<Reader>>,
    header: Option<Vec<Column>>,
    row: Row,
    carry: Vec<u8>,
}

#[derive(Debug, Default)]
struct Row {
    line: u64,
    fields: Vec<u8>,
    used: usize,
    ends: Vec<usize>,
    count: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    Text(&'static str),
    OptIn,
    Interests,
    Other(String),
}

/// Whether a header line names an email column.
pub(super) fn has_email(header: &[u8]) -> bool {
    let text = String::from_utf8_lossy(header);
    text.split([',', ';', '\t']).any(|name| column(name.trim().trim_matches('"')) == Column::Text("email"))
}

impl CsvFramer {
    pub(super) fn push(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<(), Error> {
        if self.reader.is_some() {
            return self.read(bytes, sink);
        }
        self.carry.extend_from_slice(bytes);
        match memchr::memchr(b'\n', &self.carry) {
            Some(end) => self.begin(end, sink),
            None => Ok(()),
        }
    }

    pub(super) fn finish(&mut self, sink: &mut impl Sink) -> Result<(), Error> {
        if self.reader.is_none() {
            self.begin(self.carry.len(), sink)?;
        }
        // An empty input tells the reader that the last row is whole.
        self.read(&[], sink)
    }

    /// The delimiter is the one that the header has most of.
    fn begin(&mut self, header_end: usize, sink: &mut impl Sink) -> Result<(), Error> {
        let head = std::mem::take(&mut self.carry);
        let count = |delimiter: u8| memchr::memchr_iter(delimiter, &head[..header_end]).count();
        let delimiter = [b'\t', b';', b','].into_iter().max_by_key(|&d| count(d)).unwrap_or(b',');
        self.reader = Some(Box::new(ReaderBuilder::new().delimiter(delimiter).build()));
        self.row = Row { line: 1, fields: vec![0; 1024], used: 0, ends: vec![0; 32], count: 0 };
        self.read(&head, sink)
    }

    fn read(&mut self, mut bytes: &[u8], sink: &mut impl Sink) -> Result<(), Error> {
        let Some(mut reader) = self.reader.take() else {
            return Ok(());
        };
        let at_end = bytes.is_empty();
        loop {
            let Row { fields, used, ends, count, .. } = &mut self.row;
            let (result, read, wrote, ended) =
                reader.read_record(bytes, &mut fields[*used..], &mut ends[*count..]);
            bytes = &bytes[read..];
            *used += wrote;
            *count += ended;
            match result {
                ReadRecordResult::InputEmpty if !at_end => break,
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => fields.resize(fields.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => ends.resize(ends.len() * 2, 0),
                ReadRecordResult::Record => {
                    self.take(sink)?;
                    self.row =
                        Row { line: reader.line(), used: 0, count: 0, ..std::mem::take(&mut self.row) };
                }
                ReadRecordResult::End => break,
            }
            if self.row.used > MAX_HELD_BYTES {
                return Err(Error::BadInput(format!(
                    "the row on line {} is longer than 64 MiB",
                    self.row.line
                )));
            }
        }
        self.reader = Some(reader);
        Ok(())
    }

    fn take(&mut self, sink: &mut impl Sink) -> Result<(), Error> {
        let mut from = 0;
        let fields = self.row.ends[..self.row.count].iter().map(|&end| {
            let field = &self.row.fields[from..end];
            from = end;
            field
        });
        let Some(header) = &self.header else {
            let names: Vec<_> = fields.map(|name| column(String::from_utf8_lossy(name).trim())).collect();
            self.header = Some(names);
            return Ok(());
        };
        let fields: Vec<&[u8]> = fields.collect();
        let Some(cells) =
            fields.iter().map(|field| std::str::from_utf8(field).ok()).collect::<Option<Vec<_>>>()
        else {
            let fault = Fault::new("", rule::UTF8, "the row is not UTF-8");
            return sink.record(self.row.line, &fields.join(&b','), Some(fault));
        };
        let record = record(header, &cells);
        // The frame makes a truth of a word that it understands.
        let unread = record.get("optIn").filter(|said| !said.is_boolean()).map(|_| consent::unread_cell());
        let record = Value::Object(record).to_string();
        let fault = (cells.len() != header.len()).then(|| {
            let (row, head) = (cells.len(), header.len());
            Fault::new("", rule::CSV, format!("the row has {row} fields and the header has {head}"))
        });
        sink.record(self.row.line, record.as_bytes(), fault.or(unread))
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
        let column = header.get(at).cloned().unwrap_or_else(|| Column::Other(format!("column {}", at + 1)));
        match column {
            Column::Text(name) => {
                record.insert(name.to_owned(), Value::from(*cell));
            }
            _ if cell.trim().is_empty() => {}
            Column::OptIn => {
                record.insert("optIn".to_owned(), truth(cell));
            }
            Column::Interests => {
                let interests = cell.split([';', '|']).map(str::trim).filter(|text| !text.is_empty());
                record.insert("interests".to_owned(), interests.map(Value::from).collect());
            }
            Column::Other(name) => {
                record.insert(name, Value::from(*cell));
            }
        }
    }
    record
}

fn truth(cell: &str) -> Value {
    consent::read(cell).map_or_else(|| Value::from(cell), Value::Bool)
}
