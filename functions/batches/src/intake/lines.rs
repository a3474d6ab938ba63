//! One record a line.

use super::{MAX_HELD_BYTES, Sink};
use kernel::error::Error;

/// Finds the lines; blank ones count as lines, not as records.
#[derive(Debug, Default)]
pub(super) struct LineFramer {
    carry: Vec<u8>,
    line: u64,
}

impl LineFramer {
    pub(super) fn push(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<(), Error> {
        let mut from = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            let piece = &bytes[from..end];
            from = end + 1;
            if self.carry.is_empty() {
                self.take(piece, sink)?;
            } else {
                self.carry.extend_from_slice(piece);
                let whole = std::mem::take(&mut self.carry);
                self.take(&whole, sink)?;
            }
        }
        self.carry.extend_from_slice(&bytes[from..]);
        if self.carry.len() > MAX_HELD_BYTES {
            return Err(Error::BadInput(format!("line {} is longer than 64 MiB", self.line + 1)));
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, sink: &mut impl Sink) -> Result<(), Error> {
        let last = std::mem::take(&mut self.carry);
        self.take(&last, sink)
    }

    fn take(&mut self, line: &[u8], sink: &mut impl Sink) -> Result<(), Error> {
        self.line += 1;
        let text = line.trim_ascii();
        if text.is_empty() { Ok(()) } else { sink.record(self.line, text, None) }
    }
}
