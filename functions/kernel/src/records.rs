//! The records of a step: inside the state's data, or in an object. Only [`Records`] knows which.
//!
//! Inside the state's data they are one text, which a state machine passes on unchanged. As JSON values, their numbers
//! would lose digits, and their repeated names one of their values.

mod lines;

use std::io::Write;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use object_store::PutPayload;
use serde::{Deserialize, Serialize};

pub use self::lines::Lines;
use crate::{
    batch::Batch,
    error::Error,
    objects::{self, Objects, Upload},
};

/// Maximum size of an inline batch. Step Functions passes 256 KiB, and the step that sorts the records returns them
/// together with their faults (design, Numbers to hold).
pub const MAX_INLINE_BATCH_BYTES: usize = 192 * 1024;
/// Maximum size of a list that a step returns in the state's data. A step returns two lists and some counts, and Step
/// Functions passes 256 KiB.
pub const MAX_INLINE_LIST_BYTES: usize = 64 * 1024;

/// Some records, one line each: `{"count": 2, "lines": "{..}\n{..}\n"}` or `{"count": 20000, "key": ".."}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Records {
    /// How many records there are.
    pub count: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lines: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The size of the object in bytes, unpacked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
}

impl Records {
    /// Records in an object that has so many bytes once it is unpacked.
    pub fn object(key: String, count: u64, bytes: u64) -> Self {
        Self { count, lines: None, key: Some(key), bytes: Some(bytes) }
    }

    /// No records.
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

    /// The key of their object, if they are in one.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Their size in bytes, unpacked; zero if it is not known.
    pub fn bytes(&self) -> u64 {
        self.lines.as_ref().map_or(0, |lines| lines.len() as u64).max(self.bytes.unwrap_or(0))
    }

    /// Reads them line by line while the object streams in: memory contains almost nothing of a chunk.
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

/// The size of lines inside the state's data, as a part of a JSON string.
pub fn inline_len(lines: &[u8]) -> usize {
    // JSON escapes these bytes of its own lines: quotes, backslashes, and the white space that is not a space.
    lines.len() + lines.iter().filter(|&&byte| matches!(byte, b'"' | b'\\' | 0..0x20)).count()
}

/// Maximum size of an unpacked list in the staging folder. A list of that size stays plain: the next step reads it at
/// once, and packing would take longer than everything else. A larger one (a chunk of many records for one address) is
/// packed and written as it grows, since memory must not grow with it.
const MAX_PLAIN_BYTES: u64 = 8 * 1024 * 1024;
/// Approximate size of the pieces of a list in memory: a list in one piece would be copied as it grows. All but the first
/// have their room from the start, since most lists are small.
const PIECE_BYTES: usize = 256 * 1024;

/// Writes a step's records line by line; they stay inline up to [`MAX_INLINE_LIST_BYTES`].
#[derive(Debug)]
pub struct RecordsWriter<'a> {
    objects: &'a Objects,
    key: String,
    count: u64,
    /// How many bytes were pushed.
    bytes: u64,
    /// The lines since the last full piece.
    lines: Vec<u8>,
    /// The full pieces.
    pieces: Vec<Bytes>,
    /// The size of the lines inside the state's data.
    inline: usize,
    packed: Option<Packed>,
}

/// A list that is written as it grows.
#[derive(Debug)]
struct Packed {
    key: String,
    packer: GzEncoder<Vec<u8>>,
    upload: Upload,
}

impl<'a> RecordsWriter<'a> {
    /// A list that becomes the object `name` in the batch's staging folder if it is too large for the state's data.
    pub fn new(batch: &Batch, name: &str, objects: &'a Objects) -> Self {
        let (staging, tenant, id) = (objects::STAGING, &batch.tenant, batch.batch_id);
        let key = format!("{staging}{tenant}/{id}/{}/{name}.ndjson", batch.chunk_label());
        Self {
            objects,
            key,
            count: 0,
            bytes: 0,
            lines: Vec::new(),
            pieces: Vec::new(),
            inline: 0,
            packed: None,
        }
    }

    /// Adds a line, without its line feed.
    pub async fn push(&mut self, line: &[u8]) -> Result<(), Error> {
        self.count += 1;
        self.bytes += line.len() as u64 + 1;
        self.lines.extend_from_slice(line);
        self.lines.push(b'\n');
        if self.inline <= MAX_INLINE_LIST_BYTES {
            self.inline += inline_len(line) + 2;
        }
        if self.lines.len() < PIECE_BYTES {
            return Ok(());
        }
        let next = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 16);
        self.pieces.push(std::mem::replace(&mut self.lines, next).into());
        if self.bytes <= MAX_PLAIN_BYTES { Ok(()) } else { self.pack().await }
    }

    /// Packs the full pieces, and writes them.
    async fn pack(&mut self) -> Result<(), Error> {
        let packed = match &mut self.packed {
            Some(packed) => packed,
            None => {
                let key = format!("{}.gz", self.key);
                let upload = self.objects.upload(&key).await?;
                let packer = GzEncoder::new(Vec::new(), Compression::fast());
                self.packed.insert(Packed { key, packer, upload })
            }
        };
        for piece in self.pieces.drain(..) {
            // Writing to memory cannot fail.
            let _ = packed.packer.write_all(&piece);
            let some = std::mem::take(packed.packer.get_mut());
            packed.upload.put(some.into()).await?;
        }
        Ok(())
    }

    /// How many lines it has.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The list, stored in an object if it is too large for the state's data.
    pub async fn finish(mut self) -> Result<Records, Error> {
        if self.inline <= MAX_INLINE_LIST_BYTES {
            return Records::inline(&self.lines);
        }
        self.pieces.push(std::mem::take(&mut self.lines).into());
        if self.packed.is_some() {
            self.pack().await?;
        }
        let key = match self.packed {
            None => {
                self.objects.put_payload(&self.key, PutPayload::from_iter(self.pieces)).await?;
                self.key
            }
            Some(Packed { key, packer, mut upload }) => {
                let rest = packer.finish().map_err(|error| Error::StorageRefused(error.to_string()))?;
                upload.put(rest.into()).await?;
                upload.finish().await?;
                key
            }
        };
        Ok(Records::object(key, self.count, self.bytes))
    }
}
