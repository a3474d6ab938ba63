//! The records of a step: inside the state's data, or in an object. Only [`Records`] knows which.
//!
//! Inside the state's data they are one text, which a state machine passes on as it is. As JSON values their
//! numbers would lose digits there, and repeated names one of their values.

mod lines;

use std::io::Write;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use object_store::PutPayload;
use serde::{Deserialize, Serialize};

pub use self::lines::Lines;
use crate::{batch::Batch, error::Error, objects, objects::Objects};

/// A list that a step returns stays in the state's data up to so many bytes. A step returns two of them
/// beside some counts, and Step Functions passes 256 KiB.
pub const INLINE_LIMIT: usize = 64 * 1024;

/// Some records, one line each: `{"count": 2, "lines": "{..}\n{..}\n"}` or `{"count": 20000, "key": ".."}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Records {
    /// How many.
    pub count: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lines: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// How many bytes the object holds, unpacked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
}

impl Records {
    /// Records that lie in an object, and have so many bytes once it is unpacked.
    pub fn object(key: String, count: u64, bytes: u64) -> Self {
        Self { count, lines: None, key: Some(key), bytes: Some(bytes) }
    }

    /// None.
    pub fn none() -> Self {
        Self { count: 0, lines: None, key: None, bytes: None }
    }

    /// Records in the state's data; each line is one JSON object.
    pub fn inline(lines: &[u8]) -> Result<Self, Error> {
        let lines =
            std::str::from_utf8(lines).map_err(|_| Error::BadInput("the records are not UTF-8".into()))?;
        let count = lines.lines().count() as u64;
        Ok(Self { count, lines: Some(lines.to_owned()), key: None, bytes: None })
    }

    /// The object that they lie in, if they do.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// How many bytes they take, unpacked; zero where that is not known.
    pub fn bytes(&self) -> u64 {
        self.lines.as_ref().map_or(0, |lines| lines.len() as u64).max(self.bytes.unwrap_or(0))
    }

    /// Reads them line by line, as an object comes in: of a chunk next to nothing is held.
    pub async fn lines<'a>(&'a self, objects: &'a Objects) -> Result<Lines<'a>, Error> {
        match (&self.key, &self.lines) {
            (Some(key), None) => Lines::of_object(key, objects).await,
            (None, lines) if lines.is_some() || self.count == 0 => {
                Ok(Lines::of_text(lines.as_deref().unwrap_or_default()))
            }
            _ => Err(Error::BadInput("records are either lines or a key".into())),
        }
    }
}

/// How many bytes lines take inside the state's data, where they stand in a JSON string.
pub(crate) fn inline_len(lines: &[u8]) -> usize {
    // What is escaped in lines of JSON: quotes, backslashes, and the white space that is not a space.
    lines.len() + lines.iter().filter(|&&byte| matches!(byte, b'"' | b'\\' | 0..0x20)).count()
}

/// A list in the staging folder is packed when it grows beyond so many bytes. Up to that it lies there as it
/// is: the next step reads it at once, and packing would take longer than all else. Beyond it (a chunk of
/// many records for one address) memory must not grow with it.
const PLAIN_LIMIT: u64 = 8 * 1024 * 1024;
/// It is held in pieces of about so many bytes: one that grew as a whole would be copied as it does.
const PIECE: usize = 256 * 1024;

/// Takes a step's records line by line; keeps them small and inline as long as it can.
#[derive(Debug)]
pub struct RecordsWriter {
    key: String,
    count: u64,
    /// How many bytes were given.
    bytes: u64,
    /// What came last, until it fills a piece.
    lines: Vec<u8>,
    /// The pieces before it.
    pieces: Vec<Bytes>,
    /// How many bytes they would take inline.
    inline: usize,
    packed: Option<GzEncoder<Vec<u8>>>,
}

impl RecordsWriter {
    /// A list that goes to the batch's staging folder as `name` if it grows too large to be passed.
    pub fn new(batch: &Batch, name: &str) -> Self {
        let (staging, tenant, id) = (objects::STAGING, &batch.tenant, batch.batch_id);
        let key = format!("{staging}{tenant}/{id}/{}/{name}.ndjson", batch.chunk_label());
        Self { key, count: 0, bytes: 0, lines: Vec::new(), pieces: Vec::new(), inline: 0, packed: None }
    }

    /// One more line, without its line feed.
    pub fn push(&mut self, line: &[u8]) {
        self.count += 1;
        self.bytes += line.len() as u64 + 1;
        self.lines.extend_from_slice(line);
        self.lines.push(b'\n');
        if self.inline <= INLINE_LIMIT {
            self.inline += inline_len(line) + 2;
        }
        if self.lines.len() >= PIECE {
            self.fill();
        }
    }

    /// A piece is full: it is kept as it is, or packed.
    fn fill(&mut self) {
        if self.packed.is_none() && self.bytes <= PLAIN_LIMIT {
            self.pieces.push(std::mem::take(&mut self.lines).into());
            return;
        }
        let packer = self.packed.get_or_insert_with(|| GzEncoder::new(Vec::new(), Compression::fast()));
        // Writing to memory cannot fail.
        for piece in self.pieces.drain(..) {
            let _ = packer.write_all(&piece);
        }
        let _ = packer.write_all(&self.lines);
        self.lines.clear();
    }

    /// How many lines it has.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The list, stored if it had to be.
    pub async fn finish(self, objects: &Objects) -> Result<Records, Error> {
        if self.inline <= INLINE_LIMIT {
            return Records::inline(&self.lines);
        }
        let (key, bytes) = match self.packed {
            None => {
                let mut pieces = self.pieces;
                pieces.push(self.lines.into());
                (self.key, PutPayload::from_iter(pieces))
            }
            Some(mut packer) => {
                let _ = packer.write_all(&self.lines);
                let packed = packer.finish().map_err(|error| Error::StorageRefused(error.to_string()))?;
                (format!("{}.gz", self.key), packed.into())
            }
        };
        objects.put_payload(&key, bytes).await?;
        Ok(Records::object(key, self.count, self.bytes))
    }
}
