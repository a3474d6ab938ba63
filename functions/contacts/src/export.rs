//! Exports of contacts: CSV and NDJSON, a page at a time. Both hosts write the same bytes.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    extra,
    query::Page,
    statement::Statement,
    stored::{OptIn, Stored},
};
use kernel::{csv, error::Error, json};

/// A column of a CSV export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// The address, as the contact spelt it.
    Email,
    /// The name.
    Name,
    /// Whether they agree to marketing mail.
    OptIn,
    /// Their interests.
    Interests,
    /// The time of the current statement.
    Since,
    /// The source of its batch.
    Source,
    /// That batch.
    BatchId,
    /// The index of its record.
    Index,
    /// The fields that the schema does not name, as a JSON object.
    Extra,
    /// One of these fields.
    Field(String),
}

impl Column {
    /// The columns of an export that names none. An import reads those from `email` to `interests`.
    pub const DEFAULT: [Self; 9] = [
        Self::Email,
        Self::Name,
        Self::OptIn,
        Self::Interests,
        Self::Since,
        Self::Source,
        Self::BatchId,
        Self::Index,
        Self::Extra,
    ];

    /// The column with this name; any other name is that of a field.
    pub fn from_name(name: &str) -> Self {
        let known = Self::DEFAULT.into_iter().find(|column| column.name() == name);
        known.unwrap_or_else(|| Self::Field(name.to_owned()))
    }

    fn name(&self) -> &str {
        match self {
            Self::Email => "email",
            Self::Name => "name",
            Self::OptIn => "optIn",
            Self::Interests => "interests",
            Self::Since => "since",
            Self::Source => "source",
            Self::BatchId => "batchId",
            Self::Index => "index",
            Self::Extra => "extra",
            Self::Field(name) => name,
        }
    }

    fn cell<'a>(&self, statement: &'a OptIn, fields: &BTreeMap<String, &'a RawValue>) -> Cow<'a, str> {
        match self {
            Self::Email => statement.email.as_str().into(),
            Self::Name => statement.name.as_str().into(),
            Self::OptIn => statement.opt_in.to_string().into(),
            Self::Interests => statement.interests.as_ref().map(|all| interests(all)).unwrap_or_default(),
            Self::Since => statement.since.to_string().into(),
            Self::Source => statement.source.as_str().into(),
            Self::BatchId => statement.batch_id.to_string().into(),
            Self::Index => statement.index.to_string().into(),
            Self::Extra => statement.extra.as_deref().unwrap_or_default().into(),
            Self::Field(name) => fields.get(name).map(|value| field(value)).unwrap_or_default(),
        }
    }
}

/// A text without its quotes; any other value as its JSON.
fn field(value: &RawValue) -> Cow<'_, str> {
    serde_json::from_str::<String>(value.get()).map_or_else(|_| value.get().into(), Into::into)
}

/// How to write CSV.
#[derive(Clone, Debug)]
pub struct CsvOptions {
    /// Whether cells that a spreadsheet would read as formulas stay as they are.
    pub raw: bool,
    /// The columns.
    pub columns: Vec<Column>,
}

impl CsvOptions {
    /// CSV with these columns; with those of [`Column::DEFAULT`] if there are none.
    pub fn new(columns: Vec<Column>, raw: bool) -> Self {
        let columns = if columns.is_empty() { Column::DEFAULT.to_vec() } else { columns };
        Self { raw, columns }
    }
}

/// The header of a CSV export.
pub fn csv_header(options: &CsvOptions, to: &mut Vec<u8>) {
    csv::write_row(options.columns.iter().map(|column| column.name().into()), to);
}

/// The rows of a page. Returns the number of cells that got an apostrophe, so that no spreadsheet reads them as
/// formulas.
pub fn csv_rows(page: &Page, options: &CsvOptions, to: &mut Vec<u8>) -> Result<u64, Error> {
    let mut guarded = 0;
    let has_fields = options.columns.iter().any(|column| matches!(column, Column::Field(_)));
    for (_, Stored { statement, .. }) in &page.contacts {
        let extra = statement.extra.as_deref().filter(|_| has_fields);
        let fields = extra.map(extra::read).transpose()?.unwrap_or_default();
        let cells = options.columns.iter().map(|column| {
            let cell = column.cell(statement, &fields);
            if options.raw { cell } else { csv::guard(cell, &mut guarded) }
        });
        csv::write_row(cells, to);
    }
    Ok(guarded)
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
