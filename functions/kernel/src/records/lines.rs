//! The lines of an object, as it streams in.

use std::io::Write;

use bytes::{Buf, Bytes};
use flate2::write::MultiGzDecoder;

use crate::{
    error::Error,
    objects::{self, Objects},
};

/// Size of the pieces in which an object is fetched. One thread fetches a piece and another frees it; the allocator
/// then retains up to a hundred freed pieces for the first thread.
const FETCH_BYTES: u64 = 256 * 1024;
/// Size of the portions in which a piece is unpacked. Gzip grows at most about a thousandfold.
const UNPACK_BYTES: usize = 16 * 1024;

/// Records that are read line by line.
#[derive(Debug)]
pub struct Lines<'a> {
    /// Lines, then the part of the next one that was read.
    text: Vec<u8>,
    /// The start of the first line that was not returned.
    begin: usize,
    /// The search for a line feed continues here.
    searched: usize,
    source: Option<Source<'a>>,
}

#[derive(Debug)]
struct Source<'a> {
    key: &'a str,
    objects: &'a Objects,
    size: u64,
    fetched: u64,
    piece: Bytes,
    packed: Option<Box<MultiGzDecoder<Vec<u8>>>>,
}

impl<'a> Lines<'a> {
    pub(super) fn of_text(text: &str) -> Self {
        Self { text: text.as_bytes().to_vec(), begin: 0, searched: 0, source: None }
    }

    pub(super) async fn of_object(key: &'a str, objects: &'a Objects) -> Result<Self, Error> {
        let (piece, size) = objects.get_front(key, FETCH_BYTES).await?;
        let packed = objects::is_packed(key).then(|| Box::new(MultiGzDecoder::new(Vec::new())));
        let source = Source { key, objects, size, fetched: piece.len() as u64, piece, packed };
        Ok(Self { text: Vec::new(), begin: 0, searched: 0, source: Some(source) })
    }

    /// The next line, without its line feed.
    pub async fn next(&mut self) -> Result<Option<&[u8]>, Error> {
        loop {
            let end = match memchr::memchr(b'\n', &self.text[self.searched..]) {
                Some(length) => self.searched + length,
                None if self.read().await? => continue,
                None if self.begin == self.text.len() => return Ok(None),
                None => self.text.len(),
            };
            let begin = std::mem::replace(&mut self.begin, (end + 1).min(self.text.len()));
            self.searched = self.begin;
            if begin < end {
                return Ok(Some(&self.text[begin..end]));
            }
        }
    }

    /// Reads more; returns whether there was any.
    async fn read(&mut self) -> Result<bool, Error> {
        self.searched = self.text.len();
        let Some(source) = &mut self.source else {
            return Ok(false);
        };
        self.text.drain(..self.begin);
        self.begin = 0;
        self.searched = self.text.len();
        if source.read(&mut self.text).await? {
            return Ok(true);
        }
        self.source = None;
        Ok(self.text.len() > self.searched)
    }
}

impl Source<'_> {
    async fn read(&mut self, text: &mut Vec<u8>) -> Result<bool, Error> {
        if self.piece.is_empty() && self.fetched < self.size {
            let to = self.size.min(self.fetched + FETCH_BYTES);
            self.piece = self.objects.get_range(self.key, self.fetched..to).await?;
            self.fetched = to;
        }
        let portion = self.piece.split_to(self.piece.remaining().min(UNPACK_BYTES));
        let Some(packed) = &mut self.packed else {
            text.extend_from_slice(&portion);
            return Ok(!portion.is_empty());
        };
        let unpacked = if portion.is_empty() {
            packed.try_finish()
        } else {
            packed.write_all(&portion).and_then(|()| packed.flush())
        };
        unpacked.map_err(|_| objects::broken(self.key))?;
        text.append(packed.get_mut());
        Ok(!portion.is_empty())
    }
}
