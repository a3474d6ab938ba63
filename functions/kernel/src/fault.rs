//! Faults: the reasons why a record is invalid, in words that contain no value of it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// One reason why a record is invalid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The location: a JSON Pointer (RFC 6901) into the record; empty for the record itself.
    pub pointer: Cow<'static, str>,
    /// The rule: a JSON Schema keyword (`required`, `type`, `minItems`), or one of [`rule`].
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
    /// It is larger than `MAX_RECORD_BYTES` of the intake.
    pub const SIZE: &str = "size";
    /// A name occurs twice in the object (RFC 7493), so readers may disagree on its value.
    pub const UNIQUE_NAMES: &str = "uniqueNames";
    /// Two names of one field occur in the object, with different values.
    pub const TWO_NAMES: &str = "twoNames";
    /// The text of a consent field is not understood.
    pub const CONSENT: &str = "consent";
    /// The address is not valid.
    pub const EMAIL: &str = "email";
    /// The event's id belongs to another event.
    pub const CONFLICT: &str = "conflict";
    /// A destination did not accept the event.
    pub const DELIVERY: &str = "delivery";
    /// A step failed permanently; the record itself may be valid.
    pub const PROCESSING: &str = "processing";
}

/// The class of fault for which a record is in quarantine: the `{error-type}` of its path (S1-052).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorType {
    /// It could not be parsed as a record.
    Unreadable,
    /// It violates the schema, or its consent field is not understood.
    Schema,
    /// It matches the schema, but its address is not valid.
    Address,
    /// It is an event whose id belongs to another event.
    Conflict,
    /// It is an event that one destination did not accept.
    Delivery,
    /// It may be valid; a step failed permanently.
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
    /// A fault by one of crmflow's own rules.
    pub fn new(
        pointer: impl Into<Cow<'static, str>>,
        rule: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { pointer: pointer.into(), rule: rule.into(), message: message.into() }
    }

    /// Pointer and message in one sentence: `/email is missing`; the message alone if the fault is of the record as a
    /// whole.
    pub fn sentence(&self) -> String {
        let Self { pointer, message, .. } = self;
        if pointer.is_empty() { message.to_string() } else { format!("{pointer} {message}") }
    }

    /// The class of this fault.
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

/// The class of a record with these faults: the gravest class of them.
pub fn error_type(faults: &[Fault]) -> ErrorType {
    faults.iter().map(Fault::error_type).min().unwrap_or(ErrorType::Processing)
}

/// Maximum number of faults, duplicates and conflicts of a batch that a summary lists.
pub const MAX_LISTED: usize = 10;

/// A fault with the place of its record in the input, for a summary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedFault {
    /// The record's index in the batch, from zero.
    pub index: u64,
    /// The line of the input; zero if lines have no meaning there.
    pub line: u64,
    /// The fault.
    pub fault: Fault,
}
