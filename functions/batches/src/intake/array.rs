//! A JSON list, cut at the commas of its outermost level as it streams in. The text between two commas is a record,
//! good or bad; only a list that is itself broken refuses the input.

use super::{MAX_HELD_BYTES, Sink};
use kernel::error::Error;

/// Finds the elements of the list.
#[derive(Debug)]
pub(super) struct ArrayFramer {
    place: Place,
    depth: usize,
    line: u64,
    begin_line: u64,
    element: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    BeforeList,
    /// After the `[`, where the list may also end.
    AtFirst,
    /// After a comma, where an element must follow.
    AtNext,
    InElement,
    InString,
    /// After a backslash in a string.
    InEscape,
    AfterList,
}

impl Default for ArrayFramer {
    fn default() -> Self {
        Self { place: Place::BeforeList, depth: 0, line: 1, begin_line: 1, element: Vec::new() }
    }
}

impl ArrayFramer {
    pub(super) fn push(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<(), Error> {
        // The start of the current element in `bytes`, if it begins there.
        let mut from = 0;
        let mut at = 0;
        while at < bytes.len() {
            if self.place == Place::InString {
                at += memchr::memchr3(b'"', b'\\', b'\n', &bytes[at..]).unwrap_or(bytes.len() - at);
                if at == bytes.len() {
                    break;
                }
            }
            let byte = bytes[at];
            if byte == b'\n' {
                self.line += 1;
            }
            match self.step(byte)? {
                Step::On => {}
                Step::Begin => from = at,
                Step::End => {
                    self.end(&bytes[from..at], sink)?;
                    self.place = if byte == b']' { Place::AfterList } else { Place::AtNext };
                }
            }
            at += 1;
        }
        if self.is_inside() {
            self.element.extend_from_slice(&bytes[from..]);
        }
        if self.element.len() > MAX_HELD_BYTES {
            return Err(Error::BadInput(format!(
                "the record on line {} is longer than 64 MiB",
                self.begin_line
            )));
        }
        Ok(())
    }

    pub(super) fn finish(&mut self) -> Result<(), Error> {
        match self.place {
            Place::AfterList => Ok(()),
            Place::InElement | Place::InString | Place::InEscape => Err(Error::BadInput(format!(
                "the input ends in the middle of the record that begins on line {}",
                self.begin_line
            ))),
            Place::BeforeList | Place::AtFirst | Place::AtNext => {
                Err(Error::BadInput(format!("the list ends early, on line {}", self.line)))
            }
        }
    }

    fn is_inside(&self) -> bool {
        matches!(self.place, Place::InElement | Place::InString | Place::InEscape)
    }

    fn step(&mut self, byte: u8) -> Result<Step, Error> {
        match (self.place, byte) {
            (Place::InEscape, _) => self.place = Place::InString,
            (Place::InString, b'\\') => self.place = Place::InEscape,
            (Place::InString, b'"') => self.place = Place::InElement,
            (Place::InString, _) => {}
            (Place::InElement, b'"') => self.place = Place::InString,
            (Place::InElement, b'{' | b'[') => self.depth += 1,
            (Place::InElement, b',') if self.depth == 0 => return Ok(Step::End),
            (Place::InElement, b']') if self.depth == 0 => return Ok(Step::End),
            (Place::InElement, b'}' | b']') => self.depth = self.depth.saturating_sub(1),
            (Place::InElement, _) => {}
            (Place::BeforeList, b'[') => self.place = Place::AtFirst,
            (Place::AtFirst, b']') => self.place = Place::AfterList,
            (_, b' ' | b'\t' | b'\r' | b'\n') => {}
            (Place::AtFirst | Place::AtNext, b',' | b']') => {
                return Err(Error::BadInput(format!(
                    "a record is missing in the list, on line {}",
                    self.line
                )));
            }
            (Place::AtFirst | Place::AtNext, first) => {
                self.begin_line = self.line;
                self.depth = usize::from(matches!(first, b'{' | b'['));
                self.place = if first == b'"' { Place::InString } else { Place::InElement };
                return Ok(Step::Begin);
            }
            (Place::BeforeList | Place::AfterList, _) => {
                return Err(Error::BadInput(format!(
                    "something stands outside of the list, on line {}",
                    self.line
                )));
            }
        }
        Ok(Step::On)
    }

    fn end(&mut self, rest: &[u8], sink: &mut impl Sink) -> Result<(), Error> {
        if self.element.is_empty() {
            return sink.record(self.begin_line, rest.trim_ascii_end(), None);
        }
        self.element.extend_from_slice(rest);
        let element = std::mem::take(&mut self.element);
        sink.record(self.begin_line, element.trim_ascii_end(), None)
    }
}

enum Step {
    On,
    Begin,
    End,
}
