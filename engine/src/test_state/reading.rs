//! The items for an `ItemReader`, from a text in place of an object in storage.

use std::sync::Arc;

use crate::effect::{ItemFormat, Items};
use crate::value::Value;

/// The items in a text of this format.
///
/// # Errors
/// AWS's message about the text.
pub(super) fn items(format: Option<&ItemFormat>, text: &str) -> Result<Items, &'static str> {
    match format {
        Some(ItemFormat::Json { pointer }) => {
            let document = parse(text)?;
            let place = pointer.as_deref().map_or(Some(&document), |pointer| below(&document, pointer));
            place.and_then(Items::of).ok_or("ItemReader data must hold a JSON array or object")
        }
        Some(ItemFormat::JsonLines) => {
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            lines.map(parse).collect::<Result<Vec<_>, _>>().map(Items::from)
        }
        Some(ItemFormat::Csv { headers, delimiter }) => {
            let mut rows = rows(text, *delimiter).into_iter();
            let headers = match headers {
                Some(headers) => headers.clone(),
                None => rows.next().unwrap_or_default().into_iter().map(Arc::from).collect(),
            };
            let item =
                |row: Vec<String>| headers.iter().cloned().zip(row.into_iter().map(Value::string)).collect();
            Ok(rows.map(item).collect::<Vec<Value>>().into())
        }
        _ => Err("ItemReader data can be the text of one object with JSON, JSONL or CSV"),
    }
}

fn parse(text: &str) -> Result<Value, &'static str> {
    Value::parse(text).map_err(|_| "ItemReader data must be valid JSON")
}

/// The value of a JSON Pointer.
fn below<'a>(document: &'a Value, pointer: &str) -> Option<&'a Value> {
    pointer.split('/').skip(1).try_fold(document, |value, step| {
        let step = step.replace("~1", "/").replace("~0", "~");
        match value {
            Value::Object(members) => members.get(&step),
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        }
    })
}

/// Rows of cells. A quoted cell may contain any character, with its quotes doubled.
fn rows(text: &str, delimiter: char) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let (mut row, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => cell.extend(letters.next()),
            '"' => quoted = !quoted,
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            letter if letter == delimiter && !quoted => row.push(std::mem::take(&mut cell)),
            letter => cell.push(letter),
        }
    }
    if !cell.is_empty() || !row.is_empty() {
        row.push(cell);
        rows.push(row);
    }
    rows
}
