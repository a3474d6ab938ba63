//! A raw record: a received record with its index in the input; one line of a chunk object.

use std::{borrow::Cow, io::Write};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{error::Error, fault::Fault, json, provenance::Provenance};

/// A received record, unchanged.
///
/// JSON stays its text, so that no number loses a digit. A record that is not JSON is in `text`; one that is not even
/// UTF-8 is in `base64`. Both then have their fault.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawRecord<'a> {
    /// Its index in the batch, from zero.
    pub index: u64,
    /// The line of the input on which it begins, from one; zero if lines have no meaning there.
    #[serde(default, skip_serializing_if = "crate::json::is_default")]
    pub line: u64,
    /// How often a replay sent it out of quarantine.
    #[serde(default, skip_serializing_if = "crate::json::is_default")]
    pub retry: u64,
    /// The record, if it is JSON.
    #[serde(borrow, default, deserialize_with = "json::present", skip_serializing_if = "Option::is_none")]
    pub record: Option<&'a RawValue>,
    /// The record, if it is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Cow<'a, str>>,
    /// The record, if it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<Cow<'a, str>>,
    /// Its provenance, if it is an event.
    #[serde(rename = "arrival", default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// Its faults, as far as they are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

impl<'a> RawRecord<'a> {
    /// A record that is JSON.
    pub fn json(index: u64, line: u64, record: &'a RawValue) -> Self {
        Self {
            index,
            line,
            retry: 0,
            record: Some(record),
            text: None,
            base64: None,
            provenance: None,
            faults: Vec::new(),
        }
    }

    /// Bytes that could not be parsed as JSON, and why.
    pub fn unreadable(index: u64, line: u64, bytes: &'a [u8], fault: Fault) -> Self {
        let (text, base64) = match std::str::from_utf8(bytes) {
            Ok(text) => (Some(Cow::Borrowed(text)), None),
            Err(_) => (None, Some(Cow::Owned(BASE64_STANDARD.encode(bytes)))),
        };
        Self { index, line, retry: 0, record: None, text, base64, provenance: None, faults: vec![fault] }
    }

    /// Reads one line of a chunk object.
    pub fn parse(line: &'a [u8]) -> Result<Self, Error> {
        serde_json::from_slice(line).map_err(|error| Error::BadInput(json::describe(&error)))
    }

    /// The index of the record in a line, without a parse of the record.
    pub fn index_of(line: &'a [u8]) -> Result<u64, Error> {
        let digits = line.strip_prefix(br#"{"index":"#).unwrap_or_default();
        let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or_default();
        let index = std::str::from_utf8(&digits[..end]).ok().and_then(|digits| digits.parse().ok());
        index.map_or_else(|| Self::parse(line).map(|record| record.index), Ok)
    }

    /// Writes it as one line, without the line feed.
    pub fn write(&self, to: &mut Vec<u8>) -> Result<(), Error> {
        serde_json::to_writer(to, self).map_err(|error| Error::BadInput(json::describe(&error)))
    }

    /// The provenance of an event. Every event of a batch has one.
    pub fn provenance(&self) -> Result<&Provenance, Error> {
        self.provenance
            .as_ref()
            .ok_or_else(|| Error::BadInput("an event does not say where it came from".into()))
    }

    /// The bytes as received.
    pub fn raw(&self) -> Vec<u8> {
        match (self.record, &self.text, &self.base64) {
            (Some(record), ..) => record.get().as_bytes().to_vec(),
            (None, Some(text), _) => text.as_bytes().to_vec(),
            (None, None, Some(base64)) => BASE64_STANDARD.decode(base64.as_bytes()).unwrap_or_default(),
            (None, None, None) => Vec::new(),
        }
    }
}

/// Writes the line of a record without faults, as [`RawRecord::write`] does. `json` was parsed before, and is not
/// parsed again.
pub fn write_json(index: u64, line: u64, retry: u64, json: &[u8], to: &mut Vec<u8>) -> Result<(), Error> {
    let mut write = || {
        write!(to, "{{\"index\":{index}")?;
        for (name, number) in [("line", line), ("retry", retry)] {
            if number != 0 {
                write!(to, ",\"{name}\":{number}")?;
            }
        }
        to.write_all(b",\"record\":")?;
        to.write_all(json.trim_ascii())?;
        to.write_all(b"}")
    };
    write().map_err(|error| Error::BadInput(error.to_string()))
}

/// JSON without line feeds; they can only occur between its tokens, where a space does as well.
pub fn one_line(json: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'\n', b'\r', json).is_none() {
        return json.into();
    }
    json.iter().map(|&b| if matches!(b, b'\n' | b'\r') { b' ' } else { b }).collect::<Vec<_>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(index: u64, line: u64, retry: u64, json: &str) {
        let (mut expected, mut found) = (Vec::new(), Vec::new());
        let record = RawRecord { retry, ..RawRecord::json(index, line, serde_json::from_str(json).unwrap()) };
        record.write(&mut expected).unwrap();
        write_json(index, line, retry, json.as_bytes(), &mut found).unwrap();
        assert_eq!(found, expected, "{json}");
    }

    #[test]
    fn parsed_json_is_written_like_a_record() {
        check(0, 0, 0, "{}");
        check(7, 8, 0, " \t{ \"a\" : 1.0 } ");
        check(7, 0, 2, "\r[1e5, \"\\u0061\"]\n");
        check(u64::MAX, u64::MAX, u64::MAX, "\"é\"");
    }
}
