//! One row of CSV by RFC 4180, strictly: the places of its fields, or the damage of its quotes.
//!
//! Two deviations are accepted, since people's files have them and no data is lost: blanks around a quoted field, and
//! quotes inside an unquoted one if they can be intended (`Ann "Annie" Meyer`, `5" pipe`).

use memchr::{memchr, memchr_iter, memchr2, memchr3};

/// Maximum size of a quoted field that spans lines; the quote of a longer one counts as not closed. A record that is
/// larger is refused anyway.
pub(super) const MAX_QUOTED_BYTES: usize = crate::intake::MAX_RECORD_BYTES;
/// The same in lines: no text about a contact has so many, and the rows of a whole list would.
pub(super) const MAX_QUOTED_LINES: usize = 10_000;

/// The separators of fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    /// In a row with more fields, the rest of the line is not parsed as quoted fields. Else lines that each open one
    /// quoted field and close another would make one row of a whole file.
    pub(super) max_fields: usize,
}

/// The text of a field: between its quotes, where it has some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Whether it is in quotes.
    pub(super) is_quoted: bool,
    /// Whether it has doubled quotes.
    pub(super) is_escaped: bool,
}

/// A row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// The end of its text.
    pub(super) end: usize,
    /// The start of the next row.
    pub(super) next: usize,
    /// The number of its fields; of a damaged row, as far as it is known.
    pub(super) fields: usize,
    /// Whether a field is quoted.
    pub(super) is_quoted: bool,
    /// The damage of its quotes.
    pub(super) damage: Option<Damage>,
}

/// How the quotes of a row are damaged. A field is counted from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// Text other than a delimiter follows a closing quote.
    TextAfter { field: usize },
    /// The quote at this place is not closed within the bounds.
    NotClosed { field: usize, at: usize },
    /// It is not closed before the input ends.
    NotClosedAtEnd { field: usize, at: usize },
    /// An unquoted field has an unpaired quote.
    OneQuote { field: usize },
    /// An unquoted field has a quote after a backslash.
    Backslash { field: usize },
}

/// Parses the row that begins at `from`; `None`: more of the input is needed.
pub(super) fn scan(
    text: &[u8],
    from: usize,
    dialect: Dialect,
    at_end: bool,
    fields: &mut Vec<Field>,
) -> Option<Row> {
    let delimiter = dialect.delimiter;
    fields.clear();
    let mut row = Row { end: from, next: from, fields: 0, is_quoted: false, damage: None };
    let (mut at, mut has_bare_quotes) = (from, false);
    loop {
        let begin = skip_blanks(text, at, delimiter);
        if text.get(begin) == Some(&b'"') {
            row.is_quoted = true;
            at = match quoted(text, begin, fields.len() + 1, at_end)? {
                Ok(field) => {
                    fields.push(field);
                    skip_blanks(text, field.end + 1, delimiter)
                }
                Err(damage) => return Some(first_line(text, from, row, damage, fields.len() + 1)),
            };
            match text.get(at) {
                None if !at_end => return None,
                Some(&byte) if byte != delimiter && !matches!(byte, b'\n' | b'\r') => {
                    row.damage = Some(Damage::TextAfter { field: fields.len() });
                    return rest_of_line(text, at, row, fields.len(), delimiter, at_end);
                }
                _ => {}
            }
        } else {
            let end = match memchr3(delimiter, b'\n', b'\r', &text[at..]) {
                Some(length) => at + length,
                None if at_end => text.len(),
                None => return None,
            };
            fields.push(Field { start: at, end, is_quoted: false, is_escaped: false });
            has_bare_quotes |= memchr(b'"', &text[at..end]).is_some();
            at = end;
        }
        if text.get(at) != Some(&delimiter) {
            break;
        }
        if fields.len() == dialect.max_fields {
            let rest = rest_of_line(text, at, row, fields.len(), delimiter, at_end)?;
            if !is_blank(&text[at..rest.end], delimiter) {
                return Some(rest);
            }
            at = rest.end;
            break;
        }
        at += 1;
    }
    row.fields = fields.len();
    if has_bare_quotes {
        row.damage = damage_of(text, fields, row.is_quoted);
    }
    row.end = at;
    row.next = line_end(text, at, at_end)?;
    Some(row)
}

/// The start of the line after the one that ends at `end`; `None`: a line feed may yet follow the return.
fn line_end(text: &[u8], end: usize, at_end: bool) -> Option<usize> {
    match (text.get(end), text.get(end + 1)) {
        (None, _) => Some(end),
        (Some(b'\r'), Some(b'\n')) => Some(end + 2),
        (Some(b'\r'), None) if !at_end => None,
        _ => Some(end + 1),
    }
}

/// The end of the text of the line at `from`, and the start of the next one.
pub(super) fn line(text: &[u8], from: usize) -> (usize, usize) {
    let end = memchr2(b'\n', b'\r', &text[from..]).map_or(text.len(), |length| from + length);
    (end, line_end(text, end, true).unwrap_or(end))
}

/// How many lines end in a text: with a line feed, a return, or both.
pub(super) fn lines(text: &[u8]) -> u64 {
    let returns = memchr_iter(b'\r', text).filter(|&at| text.get(at + 1) != Some(&b'\n')).count();
    (memchr_iter(b'\n', text).count() + returns) as u64
}

/// Whether a text consists of delimiters and blanks.
pub(super) fn is_blank(text: &[u8], delimiter: u8) -> bool {
    text.iter().all(|&byte| byte == delimiter || matches!(byte, b' ' | b'\t'))
}

fn skip_blanks(text: &[u8], at: usize, delimiter: u8) -> usize {
    let is_blank = |byte: &&u8| **byte == b' ' || (**byte == b'\t' && delimiter != b'\t');
    at + text[at..].iter().take_while(is_blank).count()
}

/// The field whose opening quote is at `open`.
fn quoted(text: &[u8], open: usize, field: usize, at_end: bool) -> Option<Result<Field, Damage>> {
    let (mut at, mut is_escaped) = (open + 1, false);
    loop {
        let Some(length) = memchr(b'"', &text[at..]) else {
            return match (exceeds_bounds(text, open, text.len()), at_end) {
                (true, _) => Some(Err(Damage::NotClosed { field, at: open })),
                (false, true) => Some(Err(Damage::NotClosedAtEnd { field, at: open })),
                (false, false) => None,
            };
        };
        let quote = at + length;
        match text.get(quote + 1) {
            Some(b'"') => (at, is_escaped) = (quote + 2, true),
            None if !at_end => return None,
            _ if exceeds_bounds(text, open, quote) => {
                return Some(Err(Damage::NotClosed { field, at: open }));
            }
            _ => return Some(Ok(Field { start: open + 1, end: quote, is_quoted: true, is_escaped })),
        }
    }
}

/// Whether a quoted field spans lines and exceeds the bounds.
fn exceeds_bounds(text: &[u8], open: usize, to: usize) -> bool {
    let Some(first) = memchr2(b'\n', b'\r', &text[open..to]) else {
        return false;
    };
    let behind = &text[open + first..to];
    behind.len() > MAX_QUOTED_BYTES
        || (behind.len() > MAX_QUOTED_LINES && lines(behind) > MAX_QUOTED_LINES as u64)
}

/// A row of which only the first line is certain.
fn first_line(text: &[u8], from: usize, row: Row, damage: Damage, fields: usize) -> Row {
    let (end, next) = line(text, from);
    Row { end, next, fields, damage: Some(damage), ..row }
}

/// A row whose last line can only be split at its delimiters from `at` on.
fn rest_of_line(text: &[u8], at: usize, row: Row, fields: usize, delimiter: u8, at_end: bool) -> Option<Row> {
    let end = match memchr2(b'\n', b'\r', &text[at..]) {
        Some(length) => at + length,
        None if at_end => text.len(),
        None => return None,
    };
    let fields = fields + memchr_iter(delimiter, &text[at..end]).count();
    Some(Row { end, next: line_end(text, end, at_end)?, fields, ..row })
}

/// The damage of the quotes of unquoted fields. Pairs of quotes are accepted unchanged. So is an inch mark if no other
/// field is quoted: a program that quotes would have quoted it.
fn damage_of(text: &[u8], fields: &[Field], is_quoted: bool) -> Option<Damage> {
    fields.iter().zip(1..).find_map(|(field, number)| {
        if field.is_quoted {
            return None;
        }
        let field = &text[field.start..field.end];
        let quotes = || memchr_iter(b'"', field);
        if quotes().any(|at| at > 0 && field[at - 1] == b'\\') {
            return Some(Damage::Backslash { field: number });
        }
        let halves = quotes().filter(|&at| is_quoted || !follows_number(field, at)).count();
        let is_whole = quotes().count() % 2 == 0 || (halves % 2 == 0 && !begins_typographic(field));
        (!is_whole).then_some(Damage::OneQuote { field: number })
    })
}

/// Whether a digit, or a fraction, precedes `at`.
fn follows_number(field: &[u8], at: usize) -> bool {
    match field[..at] {
        [.., last] if last.is_ascii_digit() => true,
        [.., 0xC2, 0xBC..=0xBE] => true,
        _ => false,
    }
}

fn begins_typographic(field: &[u8]) -> bool {
    let field = field.trim_ascii_start();
    ["\u{201C}", "\u{201D}", "\u{201E}", "\u{201F}", "\u{AB}", "\u{BB}"]
        .iter()
        .any(|quote| field.starts_with(quote.as_bytes()))
}
