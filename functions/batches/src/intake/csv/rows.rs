//! The rows of CSV as they stream in. A damaged row damages no other one: the lines after its first one are read as
//! rows of their own if they can be.

use super::scan::{self, Damage, Dialect, Field, Row, is_blank, line, lines};
use crate::intake::MAX_HELD_BYTES;
use contacts::email::EmailKey;
use kernel::error::Error;

/// Maximum number of columns in a header: that of a spreadsheet.
pub(super) const MAX_COLUMNS: usize = 16_384;
/// Maximum number of fields beyond those of the header in a row that is still read to its end.
const MAX_SURPLUS: usize = 64;

/// The shape of rows by the header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// The number of columns, without nameless ones at the end.
    pub(super) min_columns: usize,
    /// The number of columns.
    pub(super) columns: usize,
    /// The column of the address.
    pub(super) email: Option<usize>,
}

/// Finds rows.
#[derive(Debug)]
pub(super) struct Rows {
    dialect: Dialect,
    shape: Option<Shape>,
    buffer: Vec<u8>,
    /// The line on which the buffered bytes begin.
    line: u64,
    /// No row ends before so many bytes are buffered.
    wanted: usize,
    fields: Vec<Field>,
    ahead: Vec<Field>,
}

/// A row, and whether it is accepted.
#[derive(Debug)]
pub(super) struct Found<'a> {
    /// The line on which it begins.
    pub(super) line: u64,
    /// Its text, without the end of its line.
    pub(super) text: &'a [u8],
    /// The places of its fields in the buffer.
    pub(super) fields: &'a [Field],
    /// The buffer that `fields` point into.
    pub(super) buffer: &'a [u8],
    /// How many fields it has.
    pub(super) count: usize,
    /// Why it is refused.
    pub(super) broken: Option<Broken>,
}

/// The fault of a row as a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// Its quotes are damaged; if they are not closed, with the line of the opening quote.
    Quotes(Damage, u64),
    /// Its quotes are sound, but a quoted field of it contains complete rows.
    ContainsRows,
    /// It has so many fields, and the header has another number.
    Fields(usize),
}

/// The lines after the first one of a row that spans several, each read as a row.
#[derive(Debug, Default)]
struct Following {
    /// Whether a line before the last is a sound row.
    has_rows: bool,
    /// Whether the last line is a sound row, or the end of one.
    is_last_sound: bool,
    /// Whether a field of it ends with a bare quote, like the end of a quoted text.
    ends_a_text: bool,
    /// Whether any sound row has an address in the address column, inside the row in question.
    has_address: bool,
}

impl Rows {
    pub(super) fn new(delimiter: u8) -> Self {
        Self {
            dialect: Dialect { delimiter, max_fields: MAX_COLUMNS },
            shape: None,
            buffer: Vec::new(),
            line: 1,
            wanted: 0,
            fields: Vec::new(),
            ahead: Vec::new(),
        }
    }

    /// From here on rows are checked against the header.
    pub(super) fn expect(&mut self, shape: Shape) {
        self.dialect.max_fields = shape.columns + MAX_SURPLUS;
        self.shape = Some(shape);
    }

    /// Reads more of the input, and passes each row that it completes to `each`, which may return the shape of later
    /// rows.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        at_end: bool,
        mut each: impl FnMut(Found<'_>) -> Result<Option<Shape>, Error>,
    ) -> Result<(), Error> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() < self.wanted && !at_end {
            return Ok(());
        }
        let buffer = std::mem::take(&mut self.buffer);
        let mut from = 0;
        while from < buffer.len() {
            let Some((row, broken)) = self.next(&buffer, from, at_end) else {
                break;
            };
            let text = &buffer[from..row.end];
            let found = Found {
                line: self.line,
                text,
                fields: &self.fields,
                buffer: &buffer,
                count: row.fields,
                broken,
            };
            self.line += if row.is_quoted { lines(&buffer[from..row.next]) } else { 1 };
            from = row.next;
            if is_blank(text, self.dialect.delimiter) {
                continue;
            }
            if let Some(shape) = each(found)? {
                self.expect(shape);
            }
        }
        self.buffer = buffer;
        self.buffer.drain(..from);
        // The buffer is scanned again when its size has doubled: each byte is scanned a few times, however long a row
        // is.
        self.wanted = 2 * self.buffer.len();
        if self.buffer.len() > MAX_HELD_BYTES {
            return Err(Error::BadInput(format!("the row on line {} is longer than 64 MiB", self.line)));
        }
        Ok(())
    }

    fn next(&mut self, buffer: &[u8], from: usize, at_end: bool) -> Option<(Row, Option<Broken>)> {
        let row = scan::scan(buffer, from, self.dialect, at_end, &mut self.fields)?;
        let broken = match (row.damage, &self.shape) {
            (Some(damage), _) => Some(Broken::Quotes(damage, self.line_of(damage, buffer, from))),
            (None, Some(shape)) if !shape.fits(buffer, &self.fields, row.fields) => {
                Some(Broken::Fields(row.fields))
            }
            _ => None,
        };
        let (first, next) = if row.is_quoted { line(buffer, from) } else { (row.end, row.next) };
        match self.shape {
            Some(shape) if next < row.next => {
                let first = Row { end: first, next, ..row };
                self.resolve_span(buffer, from, first, row, shape, broken, at_end)
            }
            _ => Some((row, broken)),
        }
    }

    /// Decides how much of a row that spans lines is one row: all of it, or its first line alone.
    #[expect(clippy::too_many_arguments, reason = "a row, its first line, and the known facts of both")]
    fn resolve_span(
        &mut self,
        buffer: &[u8],
        from: usize,
        first: Row,
        row: Row,
        shape: Shape,
        broken: Option<Broken>,
        at_end: bool,
    ) -> Option<(Row, Option<Broken>)> {
        let following = self.following(buffer, first.next, row.next, shape, at_end)?;
        let could_be_whole = || shape.could_be_whole(&buffer[from..first.end], self.dialect.delimiter);
        let is_split = match broken {
            None => {
                following.is_last_sound
                    && following.has_address
                    && (!following.ends_a_text || could_be_whole())
            }
            // The last line of a text is hardly a row by itself, except if its quote is inside a field.
            Some(_) => {
                let is_row = following.is_last_sound
                    && (!following.ends_a_text || row.fields != shape.columns || could_be_whole());
                following.has_rows || is_row
            }
        };
        if is_split {
            let quotes = broken.filter(|broken| matches!(broken, Broken::Quotes(..)));
            return Some((first, quotes.or(Some(Broken::ContainsRows))));
        }
        Some((row, broken))
    }

    fn following(
        &mut self,
        buffer: &[u8],
        from: usize,
        to: usize,
        shape: Shape,
        at_end: bool,
    ) -> Option<Following> {
        let mut following = Following::default();
        // Bounds the scan ahead over lines that each seem to be the start of a long row; then they are read one by one.
        let mut budget = 4 * (to - from) + 64 * 1024;
        let mut at = from;
        while at < to {
            let row = scan::scan(buffer, at, self.dialect, at_end, &mut self.ahead)?;
            budget = budget.saturating_sub(row.next - at);
            if budget == 0 {
                following.has_rows = true;
                return Some(following);
            }
            let is_row = row.damage.is_none()
                && shape.fits(buffer, &self.ahead, row.fields)
                && !is_blank(&buffer[at..row.end], self.dialect.delimiter);
            if is_row {
                at = row.next;
                // An address after the row in question proves nothing about that row.
                let address = shape.email.map(|email| self.ahead[email]).filter(|email| email.start < to);
                following.has_address |= address.is_some_and(|email| is_address(text(buffer, email)));
            } else {
                at = line(buffer, at).1;
            }
            if at < to {
                following.has_rows |= is_row;
            } else {
                following.is_last_sound = is_row;
                following.ends_a_text =
                    self.ahead.iter().any(|&field| !field.is_quoted && text(buffer, field).ends_with(b"\""));
            }
        }
        Some(following)
    }

    fn line_of(&self, damage: Damage, buffer: &[u8], from: usize) -> u64 {
        match damage {
            Damage::NotClosed { at, .. } | Damage::NotClosedAtEnd { at, .. } => {
                self.line + lines(&buffer[from..at])
            }
            _ => self.line,
        }
    }
}

impl Shape {
    /// Whether a row has as many fields as the header, or more that are all empty.
    fn fits(self, buffer: &[u8], fields: &[Field], count: usize) -> bool {
        count >= self.min_columns
            && (count <= self.columns
                || (count == fields.len()
                    && fields[self.columns..]
                        .iter()
                        .all(|&field| text(buffer, field).trim_ascii().is_empty())))
    }

    /// Whether a line may be a whole row apart from its quotes: it has the header's fields, and an address.
    fn could_be_whole(self, line: &[u8], delimiter: u8) -> bool {
        let fields = || line.split(|&byte| byte == delimiter);
        fields().count() >= self.min_columns && fields().any(|field| is_address(field.trim_ascii()))
    }
}

/// The text of a field.
pub(super) fn text(buffer: &[u8], field: Field) -> &[u8] {
    &buffer[field.start..field.end]
}

fn is_address(field: &[u8]) -> bool {
    let plain = field.trim_ascii();
    let plain = plain.strip_prefix(b"\"").unwrap_or(plain);
    let plain = plain.strip_suffix(b"\"").unwrap_or(plain);
    memchr::memchr(b'@', plain).is_some()
        && std::str::from_utf8(plain).is_ok_and(|text| EmailKey::parse(text).is_some())
}
