//! Fields of an event as their types: texts, ids, times, objects. A value of another type becomes a fault, and parsing
//! continues, so that a client learns all faults at once.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::{
    MAX_MESSAGE_ID_CHARS,
    fields::{Field, Fields, Given},
};
use kernel::{fault::Fault, json::Text};

/// An event that is being parsed.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    pub(super) fields: Fields<'a>,
    pub(super) faults: Vec<Fault>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(mut fields: Fields<'a>) -> Self {
        let faults = std::mem::take(&mut fields.faults);
        Self { fields, faults }
    }

    /// A text that is not blank.
    pub(super) fn text(&mut self, field: Field) -> Option<Cow<'a, str>> {
        let given = self.fields.get(field)?;
        let text = self.noted(text_of(given))?;
        if text.trim().is_empty() {
            self.faults.push(given.fault("minLength", "must not be blank"));
            return None;
        }
        Some(text)
    }

    /// A required text, by its canonical name.
    pub(super) fn required_text(&mut self, field: Field, name: &'static str) -> Option<Cow<'a, str>> {
        if self.fields.get(field).is_none() {
            self.missing(name);
        }
        self.text(field)
    }

    /// An id as Segment's SDKs send it: a number becomes its text, a blank one counts as absent.
    pub(super) fn loose_id(&mut self, field: Field) -> Option<Cow<'a, str>> {
        let given = self.fields.get(field)?;
        let digits = given.value.get();
        if digits.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
            return Some(Cow::Borrowed(digits));
        }
        self.loose_text(field)
    }

    /// A text; a blank one counts as absent.
    pub(super) fn loose_text(&mut self, field: Field) -> Option<Cow<'a, str>> {
        let given = self.fields.get(field)?;
        self.noted(text_of(given)).filter(|text| !text.trim().is_empty())
    }

    /// A time, with its offset (S3-054).
    pub(super) fn time(&mut self, field: Field) -> Option<Timestamp> {
        let given = self.fields.get(field)?;
        let text = self.noted(text_of(given))?;
        let moment = text.parse().map_err(|_| {
            given.fault(
                "format",
                "must be a time by RFC 3339 with its offset from UTC, such as 2025-08-08T16:30:00Z",
            )
        });
        self.noted(moment)
    }

    /// An object.
    pub(super) fn object(&mut self, field: Field) -> Option<&'a RawValue> {
        let given = self.fields.get(field)?;
        if !given.value.get().starts_with('{') {
            self.faults.push(given.fault("type", "must be of type object"));
            return None;
        }
        Some(given.value)
    }

    /// Checks the id that the client assigned, if it assigned one.
    pub(super) fn message_id(&mut self) {
        if let Some(given) = self.fields.get(Field::MessageId) {
            let id = message_id_of(given);
            self.noted(id);
        }
    }

    /// Adds the fault of a required field that is absent.
    pub(super) fn missing(&mut self, name: &'static str) {
        self.faults.push(Fault::new(format!("/{name}"), "required", "is missing"));
    }

    fn noted<T>(&mut self, read: Result<T, Fault>) -> Option<T> {
        read.map_err(|fault| self.faults.push(fault)).ok()
    }
}

/// A client's id, if it is valid. It is in a header of each delivery, which loses white space at its ends.
pub(super) fn message_id_of(given: Given<'_>) -> Result<Cow<'_, str>, Fault> {
    let id = text_of(given)?;
    if id.trim().is_empty() {
        return Err(given.fault("minLength", "must not be blank"));
    }
    if id.len() > MAX_MESSAGE_ID_CHARS && id.chars().count() > MAX_MESSAGE_ID_CHARS {
        return Err(given.fault("maxLength", format!("must have at most {MAX_MESSAGE_ID_CHARS} characters")));
    }
    if id.contains(char::is_control) || id.trim().len() != id.len() {
        let message = "must hold no control characters, and no white space at its ends";
        return Err(given.fault("pattern", message));
    }
    Ok(id)
}

fn text_of(given: Given<'_>) -> Result<Cow<'_, str>, Fault> {
    let json = given.value.get();
    let not_a_text = |_| given.fault("type", "must be of type string");
    serde_json::from_str::<Text<'_>>(json).map(|Text(text)| text).map_err(not_a_text)
}
