//! Exports of contacts: CSV and NDJSON, a page at a time. Both hosts write the same bytes.

use std::borrow::Cow;

use serde::Serialize;

use crate::{
    query::Page,
    statement::Statement,
    stored::{OptIn, Stored},
};
use kernel::{csv, error::Error, json};

/// The columns of an export, in order. `email` to `interests` are those that an import reads.
pub const COLUMNS: [&str; 9] =
    ["email", "name", "optIn", "interests", "since", "source", "batchId", "index", "extra"];

/// How to write CSV.
#[derive(Clone, Copy, Debug, Default)]
pub struct CsvOptions {
    /// Whether cells that a spreadsheet would read as formulas stay as they are.
    pub raw: bool,
}

/// The header of a CSV export.
pub fn csv_header(to: &mut Vec<u8>) {
    csv::write_row(COLUMNS.map(Cow::Borrowed), to);
}

/// The rows of a page. Returns the number of cells that got an apostrophe, so that no spreadsheet reads them as
/// formulas.
pub fn csv_rows(page: &Page, options: CsvOptions, to: &mut Vec<u8>) -> u64 {
    let mut guarded = 0;
    for (_, Stored { statement, .. }) in &page.contacts {
        let cells = cells(statement).map(|cell| {
            if options.raw || !csv::is_formula(&cell) {
                return cell;
            }
            guarded += 1;
            csv::guarded(&cell).into()
        });
        csv::write_row(cells, to);
    }
    guarded
}

fn cells(statement: &OptIn) -> [Cow<'_, str>; 9] {
    let interests = statement.interests.as_ref().map(|all| interests(all));
    [
        statement.email.as_str().into(),
        statement.name.as_str().into(),
        statement.opt_in.to_string().into(),
        interests.unwrap_or_default(),
        statement.since.to_string().into(),
        statement.source.as_str().into(),
        statement.batch_id.to_string().into(),
        statement.index.to_string().into(),
        statement.extra.as_deref().unwrap_or_default().into(),
    ]
}

/// A list as an import reads it: cut at `;`, or JSON where an interest contains a delimiter.
fn interests(all: &[String]) -> Cow<'_, str> {
    let is_plain = |text: &String| {
        !text.is_empty() && text.trim() == text && !text.contains([';', '|', ',', '[']) && !text.contains('"')
    };
    if all.iter().all(is_plain) { all.join(";").into() } else { serde_json::json!(all).to_string().into() }
}

/// The contacts of a page as JSON lines: the members of `GET /contacts`, without links.
pub fn ndjson(page: Page, to: &mut Vec<u8>) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Line {
        key: String,
        #[serde(flatten)]
        statement: Statement,
    }
    for (key, stored) in page.contacts {
        let line = Line { key, statement: Statement::new(stored.statement)? };
        to.extend_from_slice(&json::encode(&line)?);
        to.push(b'\n');
    }
    Ok(())
}
