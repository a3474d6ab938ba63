//! The header of CSV: its columns, or why the input is refused. It is read before any record is accepted.

use super::{
    Column, column,
    rows::{Broken, Found, MAX_COLUMNS},
};
use kernel::error::Error;

/// The columns that a header names.
///
/// A header with damaged quotes, or with a field that is named twice, refuses the input: crmflow must not guess which
/// of two columns has the consent.
pub(super) fn columns(header: &Found<'_>) -> Result<Vec<Column>, Error> {
    if let Some(Broken::Quotes(damage, line)) = header.broken {
        return Err(refused(&damage.sentence(line)));
    }
    if header.fields.len() == MAX_COLUMNS && header.count > MAX_COLUMNS {
        return Err(refused(&format!("it has more than {MAX_COLUMNS} columns")));
    }
    let names: Vec<String> = header
        .fields
        .iter()
        .map(|field| {
            let name = String::from_utf8_lossy(super::rows::text(header.buffer, *field));
            name.replace("\"\"", "\"").trim().to_owned()
        })
        .collect();
    let columns: Vec<Column> = names.iter().map(|name| column(name)).collect();
    // Names of columns may well span lines; names of people do only if a quote is not closed.
    if memchr::memchr2(b'\n', b'\r', header.text).is_some() && names.iter().any(|name| name.contains('@')) {
        return Err(refused("a quoted name takes in lines that are rows"));
    }
    // A header without an address may be no header: then no text of it is quoted.
    let is_header = columns.contains(&Column::Text("email"));
    match duplicate(&columns) {
        Some((one, other)) => Err(refused(&duplicate_message(&names, &columns[one], one, other, is_header))),
        None => Ok(columns),
    }
}

/// Two columns of one field.
fn duplicate(columns: &[Column]) -> Option<(usize, usize)> {
    let mut known = std::collections::HashMap::with_capacity(columns.len());
    let named = columns.iter().enumerate().filter(|(_, column)| !column.is_nameless());
    for (at, column) in named {
        if let Some(before) = known.insert(column, at) {
            return Some((before, at));
        }
    }
    None
}

fn duplicate_message(names: &[String], column: &Column, one: usize, other: usize, is_header: bool) -> String {
    let places = format!("columns {} and {}", one + 1, other + 1);
    let field = match column {
        Column::Text(field) => field,
        Column::OptIn => "optIn",
        Column::Interests => "interests",
        Column::Other(name) if is_header => {
            return format!("{places} both are named {name:?}; rename or remove one of them");
        }
        Column::Other(_) => return format!("{places} have one name; rename or remove one of them"),
    };
    let (one, other) = (&names[one], &names[other]);
    format!("{places}, {one:?} and {other:?}, both mean the field {field}; remove one of them")
}

fn refused(why: &str) -> Error {
    Error::BadInput(format!("the header of the CSV cannot be read: {why}"))
}
