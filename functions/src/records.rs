//! The records of a step: inside the state's data, or in an object. Only [`Records`] knows which.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{batch::Batch, error::Error, objects, objects::Objects};

/// A list that a step returns stays in the state's data up to so many bytes. A step returns two of them
/// beside some counts, and Step Functions passes 256 KiB.
pub const INLINE_LIMIT: usize = 64 * 1024;

/// Some records, one line each: `{"count": 2, "items": [{..}, {..}]}` or `{"count": 20000, "key": ".."}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Records {
    /// How many.
    pub count: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    items: Option<Vec<Box<RawValue>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl Records {
    /// Records that lie in a `.ndjson.gz` object.
    pub fn object(key: String, count: u64) -> Self {
        Self { count, items: None, key: Some(key) }
    }

    /// Records in the state's data; each line is one JSON object.
    pub fn inline(lines: &[u8]) -> Result<Self, Error> {
        let items = lines
            .split(|&b| b == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| {
                serde_json::from_slice(line).map_err(|error| Error::BadInput(crate::door::describe(&error)))
            })
            .collect::<Result<Vec<Box<RawValue>>, _>>()?;
        Ok(Self { count: items.len() as u64, items: Some(items), key: None })
    }

    /// The object that they lie in, if they do.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Fetches them, ready to be gone through.
    pub async fn open<'a>(&'a self, objects: &Objects) -> Result<Opened<'a>, Error> {
        match (&self.key, &self.items) {
            (Some(key), None) => Ok(Opened::Object { key, packed: objects.get(key).await? }),
            (None, Some(items)) => Ok(Opened::Inline(items)),
            _ if self.count == 0 => Ok(Opened::Inline(&[])),
            _ => Err(Error::BadInput("records are either items or a key".into())),
        }
    }
}

/// Records that were fetched.
#[derive(Debug)]
pub enum Opened<'a> {
    /// From the state's data.
    Inline(&'a [Box<RawValue>]),
    /// From an object.
    Object {
        /// Its key, for errors.
        key: &'a str,
        /// Its gzip bytes.
        packed: bytes::Bytes,
    },
}

impl Opened<'_> {
    /// Calls `each` with every line, in order.
    pub fn for_each(&self, mut each: impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        match self {
            Self::Inline(items) => items.iter().try_for_each(|item| each(item.get().as_bytes())),
            Self::Object { key, packed } => objects::for_each_line(key, packed, each),
        }
    }
}

/// Takes a step's records line by line; keeps them small and inline as long as it can.
#[derive(Debug)]
pub struct RecordsWriter {
    key: String,
    count: u64,
    plain: Vec<u8>,
    packed: Option<GzEncoder<Vec<u8>>>,
}

impl RecordsWriter {
    /// A list that goes to the batch's staging folder as `name` if it grows too large to be passed.
    pub fn new(batch: &Batch, name: &str) -> Self {
        let key = format!(
            "{}{}/{}/{}/{name}.ndjson.gz",
            objects::STAGING,
            batch.tenant,
            batch.batch_id,
            batch.chunk_label()
        );
        Self { key, count: 0, plain: Vec::new(), packed: None }
    }

    /// One more line, without its line feed.
    pub fn push(&mut self, line: &[u8]) {
        self.count += 1;
        self.plain.extend_from_slice(line);
        self.plain.push(b'\n');
        if self.plain.len() > INLINE_LIMIT {
            let packer = self.packed.get_or_insert_with(|| GzEncoder::new(Vec::new(), Compression::fast()));
            // Writing to memory cannot fail.
            let _ = packer.write_all(&self.plain);
            self.plain.clear();
        }
    }

    /// How many lines it has.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The list, stored if it had to be.
    pub async fn finish(self, objects: &Objects) -> Result<Records, Error> {
        let Some(mut packer) = self.packed else {
            return Records::inline(&self.plain);
        };
        let _ = packer.write_all(&self.plain);
        let packed = packer.finish().map_err(|error| Error::StorageRefused(error.to_string()))?;
        objects.put(&self.key, packed).await?;
        Ok(Records::object(self.key, self.count))
    }
}
