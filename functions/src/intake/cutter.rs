//! The cutter: records in input order go inline, or into chunks by the hash of their key, so that two
//! records for one address always meet in one chunk.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{CHUNK_RECORDS, INLINE_BYTES, Sink, Staged, peek, spool::Spool};
use crate::{
    batch::{Batch, BatchId, Name},
    batches, door,
    error::Error,
    fault::Fault,
    objects::{self, Objects},
    received::{self, Received},
    records::{self, Records},
};

/// The chunks of a batch.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    /// In order of their numbers.
    pub chunks: Vec<Chunk>,
}

/// A chunk of a batch: one line of its manifest, and one child of the batch machine's map.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Chunk {
    /// Its number.
    pub chunk: u32,
    /// Its records.
    pub records: Records,
}

impl Manifest {
    /// The key of a batch's manifest.
    pub fn key(tenant: &Name, id: BatchId) -> String {
        format!("batches/{tenant}/{id}/manifest.jsonl")
    }

    /// Reads the manifest with this key.
    pub async fn read(key: &str, objects: &Objects) -> Result<Self, Error> {
        let text = objects.get(key).await?;
        let lines = text.split(|&b| b == b'\n').filter(|line| !line.is_empty());
        Ok(Self { chunks: lines.map(door::decode).collect::<Result<_, _>>()? })
    }

    async fn save(&self, batch: &Batch, objects: &Objects) -> Result<String, Error> {
        let mut text = Vec::new();
        for chunk in &self.chunks {
            text.extend_from_slice(&door::encode(chunk)?);
            text.push(b'\n');
        }
        let key = Self::key(&batch.tenant, batch.batch_id);
        objects.put(&key, text).await?;
        Ok(key)
    }
}

/// Takes the records of one batch.
#[derive(Debug)]
pub(super) struct Cutter {
    batch: Batch,
    inline: bool,
    retry: u64,
    spool: Option<PathBuf>,
    max_records: Option<u64>,
    count: u64,
    /// The share of the input that has been pushed: (bytes so far, bytes in all).
    progress: (u64, Option<u64>),
    line: Vec<u8>,
    held: Held,
    parts: Option<Parts>,
}

/// Records that may yet stay inline, or that say how many chunks are needed.
#[derive(Debug, Default)]
struct Held {
    lines: Vec<u8>,
    /// How many bytes they would take inline.
    inline: usize,
    /// The hash of each, and where its line ends.
    ends: Vec<(u64, usize)>,
}

impl Cutter {
    pub(super) fn new(
        batch: Batch,
        inline: bool,
        spool: Option<PathBuf>,
        retry: u64,
        max_records: Option<u64>,
    ) -> Self {
        Self {
            batch,
            inline,
            retry,
            spool,
            max_records,
            count: 0,
            progress: (0, None),
            line: Vec::new(),
            held: Held::default(),
            parts: None,
        }
    }

    pub(super) fn progress(&mut self, pushed: u64, size: Option<u64>) {
        self.progress = (pushed, size);
    }

    pub(super) async fn finish(mut self, objects: &Objects) -> Result<Staged, Error> {
        if self.count == 0 {
            return Err(Error::BadInput("the input holds no record; at least one is needed".into()));
        }
        if self.inline && self.parts.is_none() {
            let inline = Some(Records::inline(&self.held.lines)?);
            return Ok(Staged { received: self.count, inline, manifest: None, chunks: 0 });
        }
        if self.parts.is_none() {
            self.cut()?;
        }
        let (received, batch) = (self.count, self.batch);
        let Some(parts) = self.parts else {
            return Err(Error::BadInput("the input was not cut".into()));
        };
        let manifest = parts.finish(&batch, objects).await?;
        let chunks = u32::try_from(manifest.chunks.len()).unwrap_or(u32::MAX);
        Ok(Staged { received, inline: None, manifest: Some(manifest.save(&batch, objects).await?), chunks })
    }

    /// From here on records go into chunks: as many as the part of the input that was seen makes expect.
    fn cut(&mut self) -> Result<(), Error> {
        let expected = match self.progress {
            (pushed @ 1.., Some(size)) if size > pushed => self.count.saturating_mul(size) / pushed,
            _ => self.count,
        };
        let chunks = usize::try_from(expected.div_ceil(CHUNK_RECORDS).max(1)).unwrap_or(usize::MAX);
        let mut parts = Parts::new(chunks, self.spool.take());
        let Held { lines, ends, .. } = std::mem::take(&mut self.held);
        let mut from = 0;
        for (hash, end) in ends {
            parts.push(hash, &lines[from..end])?;
            from = end;
        }
        self.parts = Some(parts);
        Ok(())
    }
}

impl Sink for Cutter {
    fn record(&mut self, line: u64, bytes: &[u8], fault: Option<Fault>) -> Result<(), Error> {
        let index = self.count;
        if let Some(max) = self.max_records.filter(|&max| index == max) {
            return Err(Error::TooLarge(format!(
                "the input has more than the {max} records that are taken here"
            )));
        }
        self.count += 1;
        let mut out = std::mem::take(&mut self.line);
        out.clear();
        let hash = write(index, line, self.retry, bytes, fault, &mut out)?;
        out.push(b'\n');
        match &mut self.parts {
            Some(parts) => parts.push(hash, &out)?,
            None => {
                self.held.lines.extend_from_slice(&out);
                self.held.inline += records::inline_len(&out);
                self.held.ends.push((hash, self.held.lines.len()));
                if self.held.inline > INLINE_BYTES {
                    self.cut()?;
                }
            }
        }
        self.line = out;
        Ok(())
    }
}

/// Writes a record's line; gives the hash that decides its chunk.
fn write(
    index: u64,
    line: u64,
    retry: u64,
    bytes: &[u8],
    fault: Option<Fault>,
    out: &mut Vec<u8>,
) -> Result<u64, Error> {
    let by_bytes = || xxhash_rust::xxh3::xxh3_64(bytes);
    let (mut received, hash, spaced);
    match peek::key_hash(bytes) {
        Ok(key) => {
            // A line feed between the tokens of a record would end its line here.
            spaced = received::one_line(bytes);
            let record: &RawValue =
                serde_json::from_slice(&spaced).map_err(|error| Error::BadInput(door::describe(&error)))?;
            received = Received::json(index, line, record);
            received.faults.extend(fault);
            hash = key.unwrap_or_else(by_bytes);
        }
        Err(found) => {
            received = Received::unreadable(index, line, bytes, fault.unwrap_or(found));
            hash = by_bytes();
        }
    }
    received.retry = retry;
    received.write(out)?;
    Ok(hash)
}

/// How much of all chunks together is held before it is packed.
const HELD_BYTES: usize = 16 * 1024 * 1024;

/// The chunks while they grow: each a file of gzip members.
#[derive(Debug)]
struct Parts {
    spool: Spool,
    held: Vec<Vec<u8>>,
    counts: Vec<u64>,
    chunk_of_record: Vec<u8>,
    hold: usize,
}

impl Parts {
    fn new(chunks: usize, folder: Option<PathBuf>) -> Self {
        Self {
            // One file more, for the numbers of the records' chunks.
            spool: Spool::new(folder, chunks + 1),
            held: vec![Vec::new(); chunks],
            counts: vec![0; chunks],
            chunk_of_record: Vec::new(),
            hold: (HELD_BYTES / chunks).clamp(4 * 1024, 256 * 1024),
        }
    }

    /// Chunk `n` of `N` has the hashes from `n/N` to `(n+1)/N` of all: contacts that lie together in the
    /// store are written together.
    fn push(&mut self, hash: u64, line: &[u8]) -> Result<(), Error> {
        let chunks = self.held.len();
        let chunk = ((u128::from(hash) * chunks as u128) >> 64) as usize;
        self.counts[chunk] += 1;
        self.chunk_of_record.extend_from_slice(&u32::try_from(chunk).unwrap_or(u32::MAX).to_le_bytes());
        if self.chunk_of_record.len() >= 64 * 1024 {
            self.spool.append(chunks, &self.chunk_of_record)?;
            self.chunk_of_record.clear();
        }
        self.held[chunk].extend_from_slice(line);
        if self.held[chunk].len() >= self.hold {
            self.spool.append(chunk, &objects::gzip(&self.held[chunk]))?;
            self.held[chunk].clear();
        }
        Ok(())
    }

    async fn finish(mut self, batch: &Batch, objects: &Objects) -> Result<Manifest, Error> {
        let (tenant, id) = (&batch.tenant, batch.batch_id);
        let mut manifest = Manifest::default();
        let last = self.held.len();
        self.spool.append(last, &self.chunk_of_record)?;
        let index = futures::stream::iter(self.spool.pieces(last)?);
        objects.put_stream(&batches::chunk_index_key(tenant, id), index).await?;
        self.spool.discard(last)?;
        for (chunk, count) in self.counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
            if !self.held[chunk].is_empty() {
                self.spool.append(chunk, &objects::gzip(&self.held[chunk]))?;
            }
            let key = format!("batches/{tenant}/{id}/chunks/{chunk:05}.ndjson.gz");
            objects.put(&key, self.spool.take(chunk)?).await?;
            let chunk = u32::try_from(chunk).unwrap_or(u32::MAX);
            manifest.chunks.push(Chunk { chunk, records: Records::object(key, count) });
        }
        Ok(manifest)
    }
}
