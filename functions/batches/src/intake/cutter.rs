//! The cutter: writes records in input order inline, or into chunks by the hash of their key, so that two records for
//! one address always share a chunk.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{CHUNK_BYTES, CHUNK_RECORDS, Sink, Staged, parts::Parts, peek};
use kernel::{
    batch::{Batch, BatchId, Name},
    error::Error,
    fault::Fault,
    json,
    objects::Objects,
    raw_record::{self, RawRecord},
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
        Ok(Self { chunks: lines.map(json::decode).collect::<Result<_, _>>()? })
    }

    async fn save(&self, batch: &Batch, objects: &Objects) -> Result<String, Error> {
        let mut text = Vec::new();
        for chunk in &self.chunks {
            text.extend_from_slice(&json::encode(chunk)?);
            text.push(b'\n');
        }
        let key = Self::key(&batch.tenant, batch.batch_id);
        objects.put(&key, text).await?;
        Ok(key)
    }
}

/// Initial maximum number of chunks: a file for each is open for a moment again and again, and some bytes of each are
/// buffered.
const MAX_CHUNKS: u64 = 4096;

/// Collects the records of one batch.
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

/// Records that may yet stay inline, or that show how many chunks are needed.
#[derive(Debug, Default)]
struct Held {
    lines: Vec<u8>,
    /// The size of the lines inside the state's data.
    inline: usize,
    /// The hash of each record, and the end of its line.
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

    /// Cuts records into chunks from here on. The number of chunks follows from the input so far, by records and by
    /// bytes. A chunk that is larger in the end is cut again.
    fn cut(&mut self) -> Result<(), Error> {
        let expected = |seen: u64| match self.progress {
            (pushed @ 1.., Some(size)) if size > pushed => {
                u64::try_from(u128::from(seen) * u128::from(size) / u128::from(pushed)).unwrap_or(u64::MAX)
            }
            _ => seen,
        };
        let by_records = expected(self.count).div_ceil(CHUNK_RECORDS);
        let by_bytes = expected(self.held.lines.len() as u64).div_ceil(CHUNK_BYTES);
        let chunks = usize::try_from(by_records.max(by_bytes).clamp(1, MAX_CHUNKS)).unwrap_or(1);
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
                if self.held.inline > records::MAX_INLINE_BATCH_BYTES {
                    self.cut()?;
                }
            }
        }
        self.line = out;
        Ok(())
    }
}

/// Writes a record's line; returns the hash that decides its chunk.
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
            spaced = raw_record::one_line(bytes);
            hash = key.unwrap_or_else(by_bytes);
            if fault.is_none() {
                raw_record::write_json(index, line, retry, &spaced, out)?;
                return Ok(hash);
            }
            let record: &RawValue =
                serde_json::from_slice(&spaced).map_err(|error| Error::BadInput(json::describe(&error)))?;
            received = RawRecord::json(index, line, record);
            received.faults.extend(fault);
        }
        Err(found) => {
            received = RawRecord::unreadable(index, line, bytes, fault.unwrap_or(found));
            hash = by_bytes();
        }
    }
    received.retry = retry;
    received.write(out)?;
    Ok(hash)
}
