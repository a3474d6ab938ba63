//! A file in blocks of whole lines, numbered, so that threads can share it.

use std::{
    fs::File,
    io::{self, Read},
};

/// Bytes of one read; a longer line makes its block longer.
const READ_BYTES: usize = 512 * 1024;

/// Some whole lines.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// The index of the block in the file, from zero.
    pub(super) number: usize,
    /// The number of its first line, from one.
    first_line: u64,
    bytes: Vec<u8>,
}

impl Block {
    /// The lines that are not blank, with their numbers.
    pub(super) fn lines(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let mut from = 0;
        let ends = memchr::memchr_iter(b'\n', &self.bytes).chain([self.bytes.len()]);
        let lines = ends.map(move |end| {
            let line = self.bytes[from.min(end)..end].trim_ascii();
            from = end + 1;
            line
        });
        (self.first_line..).zip(lines).filter(|(_, line)| !line.is_empty())
    }
}

/// The unread blocks of a file.
#[derive(Debug)]
pub(super) struct Blocks {
    file: File,
    /// The beginning of a line with an unread end.
    rest: Vec<u8>,
    number: usize,
    line: u64,
}

impl Blocks {
    pub(super) fn new(file: File) -> Self {
        Self { file, rest: Vec::new(), number: 0, line: 1 }
    }

    /// Fills `block` with the next one; `false` at the end of the file.
    pub(super) fn next(&mut self, block: &mut Block) -> io::Result<bool> {
        let bytes = &mut block.bytes;
        bytes.clear();
        bytes.append(&mut self.rest);
        loop {
            let before = bytes.len();
            let read = (&self.file).take(READ_BYTES as u64).read_to_end(bytes)?;
            match memchr::memrchr(b'\n', &bytes[before..]) {
                Some(end) => {
                    let end = before + end + 1;
                    self.rest.extend_from_slice(&bytes[end..]);
                    bytes.truncate(end);
                    break;
                }
                None if read == 0 => break,
                None => {}
            }
        }
        (block.number, block.first_line) = (self.number, self.line);
        self.number += 1;
        self.line += memchr::memchr_iter(b'\n', bytes).count() as u64;
        Ok(!bytes.is_empty())
    }
}
