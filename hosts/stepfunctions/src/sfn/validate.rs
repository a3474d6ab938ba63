//! The members of a request: AWS's constraints, and its words for violations.

use std::ops::RangeInclusive;

use serde_json::{Map, Value as Json};

use super::error::Error;

/// The members of a request or of a structure in it. Reading continues after a violated constraint, so that
/// [`Fields::finish`] names all of them.
#[derive(Debug, Default)]
pub(super) struct Fields {
    given: Map<String, Json>,
    /// Where the structure is in the request: `loggingConfiguration.`, or nothing.
    path: String,
    broken: Vec<String>,
    mistyped: Option<&'static str>,
}

/// Whether a refusal may repeat a member's value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    OpenToken,
    Sensitive,
}

impl Fields {
    /// Reads a request's body.
    pub(super) fn read(body: &[u8]) -> Result<Self, Error> {
        match serde_json::from_slice(body) {
            Ok(Json::Object(given)) => Ok(Self { given, ..Self::default() }),
            Ok(_) => Err(Error::serialization("Unexpected field type")),
            Err(_) => Err(Error::serialization("The request body is not JSON")),
        }
    }

    /// A text that must be there.
    pub(super) fn required(&mut self, name: &str, length: RangeInclusive<usize>) -> String {
        let text = self.measured(name, length, Value::OpenToken);
        self.demand(name, text)
    }

    /// A text that must be there and is not for logs.
    pub(super) fn secret(&mut self, name: &str, length: RangeInclusive<usize>) -> String {
        let text = self.measured(name, length, Value::Sensitive);
        self.demand(name, text)
    }

    /// An ARN that must be there.
    pub(super) fn arn(&mut self, name: &str) -> String {
        self.required(name, 1..=256)
    }

    /// A text.
    pub(super) fn text(&mut self, name: &str, length: RangeInclusive<usize>) -> Option<String> {
        self.measured(name, length, Value::OpenToken)
    }

    /// A text of some length that is not for logs.
    pub(super) fn hidden(&mut self, name: &str, length: RangeInclusive<usize>) -> Option<String> {
        self.measured(name, length, Value::Sensitive)
    }

    /// A text that is not for logs.
    pub(super) fn data(&mut self, name: &str, longest: usize) -> Option<String> {
        self.measured(name, 0..=longest, Value::Sensitive)
    }

    /// One of some words.
    pub(super) fn word(&mut self, name: &str, words: &[&str]) -> Option<String> {
        let word = self.string(name)?;
        if !words.contains(&word.as_str()) {
            let set = format!("satisfy enum value set: [{}]", words.join(", "));
            self.violate(name, Some(&word), &set);
        }
        Some(word)
    }

    /// A whole number.
    pub(super) fn number(&mut self, name: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let number = match self.take(name)? {
            Json::Number(number) => number,
            other => return self.mistype(&other, "Integer"),
        };
        let text = number.to_string();
        let whole = number.as_u64().or_else(|| whole(&number));
        match whole {
            Some(whole) if range.contains(&whole) => Some(whole),
            Some(whole) if whole > *range.end() => {
                let bound = format!("have value less than or equal to {}", range.end());
                self.violate(name, Some(&text), &bound);
                None
            }
            _ => {
                let bound = format!("have value greater than or equal to {}", range.start());
                self.violate(name, Some(&text), &bound);
                None
            }
        }
    }

    /// A number.
    pub(super) fn fraction(&mut self, name: &str, range: RangeInclusive<f64>) -> Option<f64> {
        let number = match self.take(name)? {
            Json::Number(number) => number,
            other => return self.mistype(&other, "Float"),
        };
        let float = number.as_f64().unwrap_or(f64::NAN);
        if range.contains(&float) {
            return Some(float);
        }
        let bound = if float > *range.end() {
            format!("have value less than or equal to {}", range.end())
        } else {
            format!("have value greater than or equal to {}", range.start())
        };
        self.violate(name, Some(&number.to_string()), &bound);
        None
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        match self.take(name)? {
            Json::Bool(flag) => Some(flag),
            other => self.mistype(&other, "Boolean"),
        }
    }

    /// A structure, read by a function.
    pub(super) fn structure<T>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        match self.take(name)? {
            Json::Object(given) => Some(self.within(format!("{name}."), given, read)),
            other => self.mistype(&other, "Structure"),
        }
    }

    /// A list of structures, each read by a function.
    pub(super) fn structures<T>(&mut self, name: &str, read: impl Fn(&mut Self) -> T) -> Option<Vec<T>> {
        let list = self.list(name)?;
        let mut read_all = Vec::new();
        for (index, member) in list.into_iter().enumerate() {
            match member {
                Json::Object(given) => {
                    let path = format!("{name}.{}.member.", index + 1);
                    read_all.push(self.within(path, given, &read));
                }
                other => _ = self.mistype::<()>(&other, "Structure"),
            }
        }
        Some(read_all)
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        let mut texts = Vec::new();
        for member in self.list(name)? {
            match member {
                Json::String(text) => texts.push(text),
                other => _ = self.mistype::<()>(&other, "String"),
            }
        }
        Some(texts)
    }

    /// Says of a member that it must be there.
    pub(super) fn missing(&mut self, name: &str) {
        let path = &self.path;
        self.broken.push(format!(
            "Value null at '{path}{name}' failed to satisfy constraint: Member must not be null"
        ));
    }

    /// Ends reading: reports all violations at once.
    pub(super) fn finish(self) -> Result<(), Error> {
        if let Some(mistyped) = self.mistyped {
            return Err(Error::serialization(mistyped));
        }
        let count = self.broken.len();
        if count == 0 {
            return Ok(());
        }
        let noun = if count == 1 { "error" } else { "errors" };
        Err(Error::validation(format!("{count} validation {noun} detected: {}", self.broken.join("; "))))
    }

    fn take(&mut self, name: &str) -> Option<Json> {
        self.given.remove(name).filter(|value| !value.is_null())
    }

    fn string(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Json::String(text) => Some(text),
            other => self.mistype(&other, "String"),
        }
    }

    fn list(&mut self, name: &str) -> Option<Vec<Json>> {
        match self.take(name)? {
            Json::Array(list) => Some(list),
            other => self.mistype(&other, "List"),
        }
    }

    /// The text, or an empty one with a violation if the request has none.
    fn demand(&mut self, name: &str, text: Option<String>) -> String {
        if text.is_none() && self.mistyped.is_none() {
            self.missing(name);
        }
        text.unwrap_or_default()
    }

    fn measured(&mut self, name: &str, length: RangeInclusive<usize>, value: Value) -> Option<String> {
        let text = self.string(name)?;
        // AWS counts as Java does.
        let units = text.encode_utf16().count();
        let shown = Some(text.as_str()).filter(|_| value == Value::OpenToken);
        if units < *length.start() {
            let bound = format!("have length greater than or equal to {}", length.start());
            self.violate(name, shown, &bound);
        } else if units > *length.end() {
            self.violate(name, shown, &format!("have length less than or equal to {}", length.end()));
        }
        Some(text)
    }

    fn violate(&mut self, name: &str, value: Option<&str>, must: &str) {
        let value = value.map_or_else(String::new, |value| format!("'{value}' "));
        let path = &self.path;
        self.broken
            .push(format!("Value {value}at '{path}{name}' failed to satisfy constraint: Member must {must}"));
    }

    fn mistype<T>(&mut self, found: &Json, wanted: &'static str) -> Option<T> {
        self.mistyped.get_or_insert(match (found, wanted) {
            (Json::Object(_), _) => "Start of structure or map found where not expected",
            (Json::Array(_), _) => "Start of list found where not expected",
            (_, "Structure") => "Expected structure or null",
            (_, "List") => "Expected list or null",
            (Json::String(_), "Integer") => "STRING_VALUE cannot be converted to Integer",
            (Json::String(_), "Float") => "STRING_VALUE cannot be converted to Float",
            (_, "Float") => "BOOLEAN_VALUE cannot be converted to Float",
            (Json::String(_), _) => "STRING_VALUE cannot be converted to Boolean",
            (Json::Number(_), "String") => "NUMBER_VALUE cannot be converted to String",
            (Json::Number(_), _) => "NUMBER_VALUE cannot be converted to Boolean",
            (_, "String") => "BOOLEAN_VALUE cannot be converted to String",
            _ => "BOOLEAN_VALUE cannot be converted to Integer",
        });
        None
    }

    fn within<T>(&mut self, path: String, given: Map<String, Json>, read: impl FnOnce(&mut Self) -> T) -> T {
        let path = format!("{}{path}", self.path);
        let mut inner = Self { given, path, ..Self::default() };
        let value = read(&mut inner);
        self.broken.append(&mut inner.broken);
        self.mistyped = self.mistyped.or(inner.mistyped);
        value
    }
}

/// `2.0` is a whole number too.
fn whole(number: &serde_json::Number) -> Option<u64> {
    let float = number.as_f64().filter(|float| *float >= 0.0 && float.fract() == 0.0 && *float < 9e15)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    let whole = float as u64;
    Some(whole)
}
