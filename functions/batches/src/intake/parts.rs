//! The chunks of a batch while they grow.

use std::{
    io::{BufRead, BufReader, Read},
    path::PathBuf,
};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use super::{
    CHUNK_BYTES, Chunk, Manifest,
    spool::{Spool, failure},
};
use crate::stored;
use kernel::{
    batch::Batch,
    error::Error,
    objects::{self, Objects},
    records::Records,
};

/// Maximum size of the buffers of all chunks together.
const MAX_BUFFERED_BYTES: usize = 16 * 1024 * 1024;
/// Maximum size of a chunk; a larger one is cut again: hashes are spread evenly, but not to the last one.
const MAX_CHUNK_BYTES: u64 = 2 * CHUNK_BYTES;
/// The spool's file of the records' hashes, 8 bytes a record; those of the chunks follow.
const HASH_FILE: usize = 0;
const HASH_BYTES: usize = 8;

/// The chunks while they grow: each a file of gzip members.
#[derive(Debug)]
pub(super) struct Parts {
    spool: Spool,
    group: ChunkGroup,
    hashes: Vec<u8>,
}

/// Chunks in consecutive files of the spool.
#[derive(Debug)]
struct ChunkGroup {
    /// The spool's file of the first.
    first: usize,
    buffer: Vec<Vec<u8>>,
    counts: Vec<u64>,
    /// How many bytes each has, unpacked.
    bytes: Vec<u64>,
    /// Maximum size of the buffer of each.
    max_buffered: usize,
}

/// The chunk of each hash, once it is known which chunks are cut again.
#[derive(Clone, Debug)]
struct Numbers {
    /// Of each chunk that existed at first: the number of its first piece, and how many pieces it is cut into.
    pieces: Vec<(u64, u64)>,
}

impl Parts {
    pub(super) fn new(chunks: usize, folder: Option<PathBuf>) -> Self {
        Self { spool: Spool::new(folder), group: ChunkGroup::new(HASH_FILE + 1, chunks), hashes: Vec::new() }
    }

    /// Chunk `n` of `N` has the hashes from `n/N` to `(n+1)/N` of all: contacts that are neighbours in the store are
    /// written together.
    pub(super) fn push(&mut self, hash: u64, line: &[u8]) -> Result<(), Error> {
        self.hashes.extend_from_slice(&hash.to_le_bytes());
        if self.hashes.len() >= 64 * 1024 {
            self.spool.append(HASH_FILE, &self.hashes)?;
            self.hashes.clear();
        }
        let (chunk, _) = range_of(hash, self.group.counts.len() as u64);
        self.group.push(index(chunk), line, &mut self.spool)
    }

    pub(super) async fn finish(mut self, batch: &Batch, objects: &Objects) -> Result<Manifest, Error> {
        let (tenant, id) = (&batch.tenant, batch.batch_id);
        self.spool.append(HASH_FILE, &self.hashes)?;
        self.group.flush(&mut self.spool)?;
        let numbers = Numbers::new(&self.group.bytes);
        let numbered = numbers.clone();
        let chunk_of_record = self.spool.pieces(HASH_FILE)?.map(move |piece| {
            let numbers = hashes(&piece?).map(|hash| numbered.of(hash)).collect::<Vec<_>>();
            Ok::<_, Error>(Bytes::from_iter(numbers.into_iter().flat_map(u32::to_le_bytes)))
        });
        let index_key = stored::chunk_index_key(tenant, id);
        objects.put_stream(&index_key, futures::stream::iter(chunk_of_record)).await?;
        let mut manifest = Manifest::default();
        for (chunk, &(first, pieces)) in numbers.pieces.iter().enumerate() {
            let finer = if pieces == 1 { None } else { Some(self.cut_again(chunk, pieces)?) };
            let group = finer.as_ref().unwrap_or(&self.group);
            let begin = if pieces == 1 { chunk } else { 0 };
            for (slot, number) in (begin..).zip(first..first + pieces) {
                let (count, bytes, file) = (group.counts[slot], group.bytes[slot], group.first + slot);
                if count == 0 {
                    continue;
                }
                let key = format!("batches/{tenant}/{id}/chunks/{number:05}.ndjson.gz");
                if bytes > MAX_CHUNK_BYTES {
                    // Records of one address stay together, however many there are.
                    objects.put_stream(&key, futures::stream::iter(self.spool.pieces(file)?)).await?;
                } else {
                    let pieces = self.spool.pieces(file)?.collect::<Result<Vec<_>, _>>()?;
                    objects.put_payload(&key, pieces.into_iter().collect()).await?;
                }
                self.spool.discard(file)?;
                let chunk = u32::try_from(number).unwrap_or(u32::MAX);
                manifest.chunks.push(Chunk { chunk, records: Records::object(key, count, bytes) });
            }
        }
        self.spool.discard(HASH_FILE)?;
        Ok(manifest)
    }

    /// Cuts a chunk into finer ranges of hashes. Its lines have the order of its hashes.
    fn cut_again(&mut self, chunk: usize, pieces: u64) -> Result<ChunkGroup, Error> {
        let chunks = self.group.counts.len() as u64;
        let mut finer = ChunkGroup::new(self.group.first + self.group.counts.len(), index(pieces));
        let all = self.spool.pieces(HASH_FILE)?;
        let mut file = self.spool.reader(self.group.first + chunk)?;
        let mut lines = BufReader::with_capacity(64 * 1024, MultiGzDecoder::new(&mut file as &mut dyn Read));
        let mut line = Vec::new();
        for piece in all {
            let piece = piece?;
            let here = hashes(&piece).map(|hash| range_of(hash, chunks));
            for (_, inner_hash) in here.filter(|&(at, _)| index(at) == chunk) {
                line.clear();
                if lines.read_until(b'\n', &mut line).map_err(|error| failure(&error))? == 0 {
                    return Err(Error::StorageRefused("a chunk in the spool ends early".into()));
                }
                finer.push(index(range_of(inner_hash, pieces).0), &line, &mut self.spool)?;
            }
        }
        drop(lines);
        self.spool.discard(self.group.first + chunk)?;
        finer.flush(&mut self.spool)?;
        Ok(finer)
    }
}

impl ChunkGroup {
    fn new(first: usize, chunks: usize) -> Self {
        Self {
            first,
            buffer: vec![Vec::new(); chunks],
            counts: vec![0; chunks],
            bytes: vec![0; chunks],
            max_buffered: (MAX_BUFFERED_BYTES / chunks).clamp(4 * 1024, 256 * 1024),
        }
    }

    fn push(&mut self, slot: usize, line: &[u8], spool: &mut Spool) -> Result<(), Error> {
        self.counts[slot] += 1;
        self.bytes[slot] += line.len() as u64;
        let buffer = &mut self.buffer[slot];
        if buffer.len() + line.len() > self.max_buffered && !buffer.is_empty() {
            spool.append(self.first + slot, &objects::gzip(buffer))?;
            buffer.clear();
        }
        if line.len() > self.max_buffered {
            return spool.append(self.first + slot, &objects::gzip(line));
        }
        buffer.extend_from_slice(line);
        Ok(())
    }

    /// Packs the buffered lines.
    fn flush(&mut self, spool: &mut Spool) -> Result<(), Error> {
        for (file, buffer) in (self.first..).zip(&mut self.buffer) {
            let buffer = std::mem::take(buffer);
            if !buffer.is_empty() {
                spool.append(file, &objects::gzip(&buffer))?;
            }
        }
        Ok(())
    }
}

impl Numbers {
    fn new(bytes: &[u64]) -> Self {
        let mut next = 0;
        let pieces = bytes.iter().map(|&bytes| {
            let pieces = if bytes > MAX_CHUNK_BYTES { bytes.div_ceil(CHUNK_BYTES) } else { 1 };
            let first = next;
            next += pieces;
            (first, pieces)
        });
        Self { pieces: pieces.collect() }
    }

    fn of(&self, hash: u64) -> u32 {
        let (chunk, inner_hash) = range_of(hash, self.pieces.len() as u64);
        let (first, pieces) = self.pieces[index(chunk)];
        u32::try_from(first + range_of(inner_hash, pieces).0).unwrap_or(u32::MAX)
    }
}

/// The one of so many equal ranges that has a hash, and the place in it, as a hash of its own.
fn range_of(hash: u64, ranges: u64) -> (u64, u64) {
    let place = u128::from(hash) * u128::from(ranges);
    ((place >> 64) as u64, place as u64)
}

fn hashes(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.as_chunks::<HASH_BYTES>().0.iter().map(|bytes| u64::from_le_bytes(*bytes))
}

/// The index of a chunk; the number of chunks is small.
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
