//! Intake: bytes of any size become a batch, small enough to pass between states or cut into chunks.
//!
//! Faults of the frame (no list, a list that ends early, damaged gzip) refuse the whole input before it has any effect.
//! Faults of a record make one invalid record.

mod array;
mod csv;
mod cutter;
mod format;
mod lines;
mod parts;
mod peek;
pub mod spool;
mod unzip;

pub use cutter::{Chunk, Manifest};
pub use format::Format;
pub use unzip::unpack;

use std::path::PathBuf;

use cutter::Cutter;
use format::Framer;
use kernel::{batch::Batch, error::Error, fault::Fault, objects::Objects, records::Records};
use unzip::Unzip;

/// Target number of records in a chunk (design, Numbers to hold).
pub const CHUNK_RECORDS: u64 = 20_000;
/// Target size of a chunk in bytes, unpacked: a step has some chunks several times in memory.
pub const CHUNK_BYTES: u64 = 4 * 1024 * 1024;
/// Maximum size of a record: it must fit in a DynamoDB item (400 KB) with crmflow's additions.
pub const MAX_RECORD_BYTES: usize = 256 * 1024;
/// Maximum size of a record that is stored as an invalid one; a larger one refuses the input.
pub const MAX_HELD_BYTES: usize = 64 * 1024 * 1024;

/// How to read an input.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Its format; `None`: detected by content.
    pub format: Option<Format>,
    /// How many bytes it has as they are pushed, which decides the number of chunks; `None`: not known, and then it
    /// should be small.
    pub size: Option<u64>,
    /// Maximum size once unpacked; a larger input is refused.
    pub max_unpacked: Option<u64>,
    /// Maximum number of records; more are refused. A tiny record needs many times its own bytes.
    pub max_records: Option<u64>,
    /// Whether a small batch may stay inline.
    pub inline: bool,
    /// An empty folder for chunks while they grow; `None`: they grow in memory.
    pub spool: Option<PathBuf>,
    /// How often a replay sent the records before.
    pub retry: u64,
}

/// A batch that is ready for its execution.
#[derive(Debug)]
pub struct Staged {
    /// How many records it has.
    pub received: u64,
    /// The records, if they stay inline.
    pub inline: Option<Records>,
    /// The key of the [`Manifest`], if they were cut.
    pub manifest: Option<String>,
    /// How many chunks they were cut into; zero if they stay inline.
    pub chunks: u32,
}

/// Reads an input, piece by piece. Memory does not grow with the input if a spool folder is set.
#[derive(Debug)]
pub struct Intake {
    unzip: Unzip,
    framing: Framing,
    cutter: Cutter,
    pushed: u64,
    unpacked: u64,
    max_unpacked: Option<u64>,
    size: Option<u64>,
}

impl Intake {
    /// An intake for one batch.
    pub fn new(batch: Batch, settings: Settings) -> Self {
        let Settings { format, size, max_unpacked, max_records, inline, spool, retry } = settings;
        Self {
            unzip: Unzip::default(),
            framing: Framing { format, head: Some(Vec::new()), framer: None },
            cutter: Cutter::new(batch, inline, spool, retry, max_records),
            pushed: 0,
            unpacked: 0,
            max_unpacked,
            size,
        }
    }

    /// Adds the next bytes of the input.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        for piece in bytes.chunks(unzip::PIECE_BYTES) {
            self.pushed += piece.len() as u64;
            self.cutter.progress(self.pushed, self.size);
            let Self { unzip, framing, cutter, unpacked, max_unpacked, .. } = self;
            let plain = unzip.push(piece)?;
            *unpacked += plain.len() as u64;
            if max_unpacked.is_some_and(|max| *unpacked > max) {
                return Err(Error::TooLarge("the input is larger, once unpacked, than is taken here".into()));
            }
            framing.push(plain, cutter)?;
        }
        Ok(())
    }

    /// Adds the next record of an input that needs no framing; then [`Intake::finish_records`] ends it.
    pub fn push_record(&mut self, bytes: &[u8], fault: Option<Fault>) -> Result<(), Error> {
        self.cutter.record(0, bytes, fault)
    }

    /// Ends the records: stores the chunks.
    pub async fn finish_records(self, objects: &Objects) -> Result<Staged, Error> {
        self.cutter.finish(objects).await
    }

    /// Ends the input: stores the chunks.
    pub async fn finish(mut self, objects: &Objects) -> Result<Staged, Error> {
        let plain = self.unzip.finish()?;
        self.framing.push(&plain, &mut self.cutter)?;
        self.framing.finish(&mut self.cutter)?;
        self.cutter.finish(objects).await
    }
}

/// The receiver of a framer's records.
trait Sink {
    /// One record, its bytes as received, on this line. `fault`: it is known to be invalid already.
    fn record(&mut self, line: u64, bytes: &[u8], fault: Option<Fault>) -> Result<(), Error>;
}

/// Detects the format, then finds the records.
#[derive(Debug)]
struct Framing {
    format: Option<Format>,
    head: Option<Vec<u8>>,
    framer: Option<Framer>,
}

impl Framing {
    fn push(&mut self, bytes: &[u8], sink: &mut Cutter) -> Result<(), Error> {
        if let Some(framer) = &mut self.framer {
            return framer.push(bytes, sink);
        }
        if let Some(head) = &mut self.head {
            head.extend_from_slice(bytes);
            if head.len() >= format::MAX_DETECTION_BYTES {
                return self.begin(sink);
            }
        }
        Ok(())
    }

    fn begin(&mut self, sink: &mut Cutter) -> Result<(), Error> {
        let head = self.head.take().unwrap_or_default();
        let text = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&head);
        let framer = self.framer.insert(Framer::new(format::resolve(self.format, text)?));
        framer.push(text, sink)
    }

    fn finish(&mut self, sink: &mut Cutter) -> Result<(), Error> {
        if self.framer.is_none() {
            self.begin(sink)?;
        }
        match &mut self.framer {
            Some(framer) => framer.finish(sink),
            None => Ok(()),
        }
    }
}
