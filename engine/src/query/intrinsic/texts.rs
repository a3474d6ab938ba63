//! Functions on texts.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::query::functions;
use crate::value::{Number, Value};

/// AWS's limit for a text to hash or to encode, in characters.
const MAX_TEXT_CHARS: usize = 10_000;

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| "an argument must be a string".into())
}

fn limited_text(value: &Value) -> Result<&str, String> {
    let text = text(value)?;
    if text.chars().count() > MAX_TEXT_CHARS {
        return Err(format!("the text has more than {MAX_TEXT_CHARS} characters"));
    }
    Ok(text)
}

/// Removes the escapes `\'`, `\{`, `\}` and `\\` of a text. Any other backslash is literal.
pub(super) fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let escaped = letters.next_if(|next| letter == '\\' && matches!(next, '\'' | '{' | '}' | '\\'));
        plain.push(escaped.unwrap_or(letter));
    }
    plain
}

pub(super) fn format(template: &Value, arguments: &[Value]) -> Result<Value, String> {
    let template = text(template)?;
    let mut filled = String::with_capacity(template.len());
    let mut arguments = arguments.iter();
    let mut letters = template.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => {
                let escaped = letters.next_if(|next| matches!(next, '\'' | '{' | '}' | '\\'));
                filled.push(escaped.unwrap_or('\\'));
            }
            '{' if letters.next_if_eq(&'}').is_some() => {
                let argument = arguments.next().ok_or("there are fewer arguments than places for them")?;
                shown(argument, &mut filled);
            }
            '{' | '}' => return Err("a brace in the text needs a backslash before it".into()),
            letter => filled.push(letter),
        }
    }
    if arguments.next().is_some() {
        return Err("there are more arguments than places for them".into());
    }
    Ok(Value::string(filled))
}

/// Writes a value inside a text in Java's form: `{a=1, b=[x, y]}`.
fn shown(value: &Value, text: &mut String) {
    match value {
        Value::String(own) => text.push_str(own),
        Value::Number(Number::Float(number)) => text.push_str(&double(*number)),
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index > 0 { ", " } else { "" });
                shown(item, text);
            }
            text.push(']');
        }
        Value::Object(members) => {
            text.push('{');
            for (index, (name, value)) in members.iter().enumerate() {
                // A write to a String cannot fail.
                let _ = write!(text, "{}{name}=", if index > 0 { ", " } else { "" });
                shown(value, text);
            }
            text.push('}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => text.push_str(&value.to_string()),
    }
}

/// A double in Java's form: `1.5`, `1.0E10`, `1.0E-5`.
fn double(number: f64) -> String {
    if number == 0.0 || (1e-3..1e7).contains(&number.abs()) {
        return format!("{number:?}");
    }
    let scientific = format!("{number:E}");
    match scientific.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => scientific,
    }
}

pub(super) fn split(value: &Value, delimiters: &Value) -> Result<Value, String> {
    let (text, delimiters) = (text(value)?, text(delimiters)?);
    let parts = text.split(|letter| delimiters.contains(letter)).filter(|part| !part.is_empty());
    Ok(parts.map(Value::from).collect::<Vec<_>>().into())
}

/// Parses JSON. A text of spaces gives null.
pub(super) fn parse(value: &Value) -> Result<Value, String> {
    let text = text(value)?;
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    Value::parse(text).map_err(|error| format!("the text is not JSON: {error}"))
}

pub(super) fn encode(value: &Value) -> Result<Value, String> {
    Ok(Value::string(STANDARD.encode(limited_text(value)?)))
}

pub(super) fn decode(value: &Value) -> Result<Value, String> {
    let bytes =
        STANDARD.decode(limited_text(value)?).map_err(|error| format!("the text is not Base64: {error}"))?;
    Ok(Value::string(String::from_utf8_lossy(&bytes)))
}

pub(super) fn hash(value: &Value, algorithm: &Value) -> Result<Value, String> {
    if let Value::String(_) = value {
        limited_text(value)?;
    }
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    functions::digest(&text, algorithm.as_str().unwrap_or_default())
        .map(Value::string)
        .ok_or_else(|| "the algorithm must be MD5, SHA-1, SHA-256, SHA-384 or SHA-512".into())
}
