//! Faults: what is wrong with a record, in words that hold nothing out of it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// One thing that is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Where: a JSON Pointer (RFC 6901) into the record; empty for the record itself.
    pub pointer: Cow<'static, str>,
    /// Which rule: a JSON Schema keyword (`required`, `type`, `minItems`), or one of [`rule`].
    pub rule: Cow<'static, str>,
    /// The rule in a sentence.
    pub message: Cow<'static, str>,
}

/// The rules that are not keywords of JSON Schema.
pub mod rule {
    /// The record is not JSON.
    pub const JSON: &str = "json";
    /// The text is not UTF-8.
    pub const UTF8: &str = "utf8";
    /// A row of CSV does not fit its header.
    pub const CSV: &str = "csv";
    /// It nests deeper than [`crate::json_text::MAX_DEPTH`].
    pub const DEPTH: &str = "depth";
    /// It is larger than [`batches::intake::MAX_RECORD_BYTES`].
    pub const SIZE: &str = "size";
    /// A name stands twice in the object (RFC 7493), so readers may disagree on its value.
    pub const UNIQUE_NAMES: &str = "uniqueNames";
    /// Two names of one field stand in the object and say different things.
    pub const TWO_NAMES: &str = "twoNames";
    /// A word of consent is not understood.
    pub const CONSENT: &str = "consent";
    /// The address is not one.
    pub const EMAIL: &str = "email";
    /// Its id stands for another event.
    pub const CONFLICT: &str = "conflict";
    /// A destination did not take it.
    pub const DELIVERY: &str = "delivery";
    /// Nothing may be wrong with it: a step failed for good.
    pub const PROCESSING: &str = "processing";
}

/// What kind of trouble put a record in quarantine: the `{error-type}` of its path (S1-052).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorType {
    /// It could not be read as a record at all.
    Unreadable,
    /// It does not match the schema, or what it says of consent is not understood.
    Schema,
    /// It matches, but the address is not one.
    Address,
    /// It is an event whose id stands for another one.
    Conflict,
    /// It is an event that one destination did not take.
    Delivery,
    /// It may be fine; a step failed for good.
    Processing,
}

impl ErrorType {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Unreadable, Self::Schema, Self::Address, Self::Conflict, Self::Delivery, Self::Processing];

    /// The name in paths.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Schema => "schema",
            Self::Address => "address",
            Self::Conflict => "conflict",
            Self::Delivery => "delivery",
            Self::Processing => "processing",
        }
    }
}

impl Fault {
    /// A fault by a rule of our own.
    pub fn new(
        pointer: impl Into<Cow<'static, str>>,
        rule: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { pointer: pointer.into(), rule: rule.into(), message: message.into() }
    }

    /// Where and what in one sentence: `/email is missing`, or what is wrong with the record as a whole.
    pub fn sentence(&self) -> String {
        let Self { pointer, message, .. } = self;
        if pointer.is_empty() { message.to_string() } else { format!("{pointer} {message}") }
    }

    /// The kind of trouble it is.
    pub fn error_type(&self) -> ErrorType {
        match &*self.rule {
            rule::JSON | rule::UTF8 | rule::CSV | rule::DEPTH | rule::SIZE => ErrorType::Unreadable,
            rule::EMAIL => ErrorType::Address,
            rule::CONFLICT => ErrorType::Conflict,
            rule::DELIVERY => ErrorType::Delivery,
            rule::PROCESSING => ErrorType::Processing,
            _ => ErrorType::Schema,
        }
    }
}

/// The kind of trouble a record with these faults is in: the gravest of them.
pub fn error_type(faults: &[Fault]) -> ErrorType {
    faults.iter().map(Fault::error_type).min().unwrap_or(ErrorType::Processing)
}

/// How many faults, duplicates and conflicts a summary shows of a batch.
pub const SHOWN: usize = 10;

/// A fault with its place in the input, for a summary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedFault {
    /// The record's place in the batch, from zero.
    pub index: u64,
    /// The line of the input; zero where lines mean nothing.
    pub line: u64,
    /// What is wrong.
    pub fault: Fault,
}
