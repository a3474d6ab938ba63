//! Objects: whole batches, their outcomes and the quarantine. S3 on AWS, files on one machine.

use std::{
    io::{BufRead, BufReader, Read, Write},
    sync::Arc,
};

use bytes::Bytes;
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use futures::TryStreamExt;
use jiff::Timestamp;
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart, path::Path,
};

use crate::error::Error;

/// Prefix of the working files of steps. They may vanish in a crash, since the step that wrote them runs again.
pub const STAGING: &str = "staging/";

/// Size of the parts of a streamed object; S3 accepts none smaller than 5 MiB.
const PART_BYTES: usize = 8 * 1024 * 1024;
/// Maximum number of parts in flight.
const MAX_PARTS_IN_FLIGHT: usize = 2;

/// The object store, with the two levels of durability that the flow needs.
#[derive(Clone, Debug)]
pub struct Objects {
    durable: Arc<dyn ObjectStore>,
    scratch: Arc<dyn ObjectStore>,
}

/// One object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written, in seconds since 1970.
    pub modified: i64,
    /// The entity tag of its content, if the store has one.
    pub e_tag: Option<String>,
}

/// An object that is written piece by piece.
#[derive(Debug)]
pub struct Upload {
    key: String,
    write: WriteMultipart,
}

impl Upload {
    /// Writes the next piece.
    pub async fn put(&mut self, piece: Bytes) -> Result<(), Error> {
        let has_room = self.write.wait_for_capacity(MAX_PARTS_IN_FLIGHT).await;
        has_room.map_err(|error| failure(&self.key, error))?;
        self.write.put(piece);
        Ok(())
    }

    /// Completes the object.
    pub async fn finish(self) -> Result<(), Error> {
        self.write.finish().await.map_err(|error| failure(&self.key, error))?;
        Ok(())
    }
}

impl Objects {
    /// `durable` must survive a power cut once a put returned; `scratch` stores [`STAGING`] only.
    pub fn new(durable: Arc<dyn ObjectStore>, scratch: Arc<dyn ObjectStore>) -> Self {
        Self { durable, scratch }
    }

    /// Objects in memory, for small inputs whose working files nobody needs later.
    pub fn in_memory() -> Self {
        let memory: Arc<dyn ObjectStore> = Arc::new(object_store::memory::InMemory::new());
        Self::new(memory.clone(), memory)
    }

    /// Writes an object whole, over an existing one.
    pub async fn put(&self, key: &str, bytes: impl Into<Bytes> + Send) -> Result<(), Error> {
        self.put_payload(key, PutPayload::from_bytes(bytes.into())).await
    }

    /// Writes an object whole, from pieces in memory.
    pub async fn put_payload(&self, key: &str, payload: PutPayload) -> Result<(), Error> {
        self.of(key).put(&Path::from(key), payload).await.map_err(|error| failure(key, error))?;
        Ok(())
    }

    /// Writes an object from a stream. The object exists whole or not at all; an error `E` of the stream aborts it.
    pub async fn put_stream<E: From<Error>>(
        &self,
        key: &str,
        pieces: impl futures::Stream<Item = Result<Bytes, E>> + Send,
    ) -> Result<u64, E> {
        let mut upload = self.upload(key).await?;
        let mut pieces = std::pin::pin!(pieces);
        let mut size = 0;
        loop {
            match pieces.try_next().await {
                Ok(Some(piece)) => {
                    size += piece.len() as u64;
                    upload.put(piece).await?;
                }
                Ok(None) => break,
                Err(error) => {
                    // The written parts are cleared; if that fails, a lifecycle rule clears them.
                    let _ = upload.write.abort().await;
                    return Err(error);
                }
            }
        }
        upload.finish().await?;
        Ok(size)
    }

    /// Begins to write an object piece by piece. It exists once the upload is finished.
    pub async fn upload(&self, key: &str) -> Result<Upload, Error> {
        let upload =
            self.of(key).put_multipart(&Path::from(key)).await.map_err(|error| failure(key, error))?;
        Ok(Upload { key: key.to_owned(), write: WriteMultipart::new_with_chunk_size(upload, PART_BYTES) })
    }

    /// The object's bytes.
    pub async fn get(&self, key: &str) -> Result<Bytes, Error> {
        let got = self.of(key).get(&Path::from(key)).await.map_err(|error| failure(key, error))?;
        got.bytes().await.map_err(|error| failure(key, error))
    }

    /// The object's bytes, and when they were written.
    pub async fn get_dated(&self, key: &str) -> Result<(Bytes, Timestamp), Error> {
        let got = self.of(key).get(&Path::from(key)).await.map_err(|error| failure(key, error))?;
        let put_at = Timestamp::from_millisecond(got.meta.last_modified.timestamp_millis());
        let bytes = got.bytes().await.map_err(|error| failure(key, error))?;
        Ok((bytes, put_at.unwrap_or_default()))
    }

    /// The object's bytes; `None` if there is no such object.
    pub async fn find(&self, key: &str) -> Result<Option<Bytes>, Error> {
        match self.get(key).await {
            Err(Error::ObjectMissing(_)) => Ok(None),
            got => got.map(Some),
        }
    }

    /// The object's size in bytes.
    pub async fn size(&self, key: &str) -> Result<u64, Error> {
        let meta = self.of(key).head(&Path::from(key)).await.map_err(|error| failure(key, error))?;
        Ok(meta.size)
    }

    /// The first bytes of an object, and how many it has in all.
    pub async fn get_front(&self, key: &str, bytes: u64) -> Result<(Bytes, u64), Error> {
        let front = GetOptions { range: Some(GetRange::Bounded(0..bytes)), ..GetOptions::default() };
        let got =
            self.of(key).get_opts(&Path::from(key), front).await.map_err(|error| failure(key, error))?;
        let size = got.meta.size;
        Ok((got.bytes().await.map_err(|error| failure(key, error))?, size))
    }

    /// A range of the object's bytes.
    pub async fn get_range(&self, key: &str, range: std::ops::Range<u64>) -> Result<Bytes, Error> {
        self.of(key).get_range(&Path::from(key), range).await.map_err(|error| failure(key, error))
    }

    /// The object as a stream of pieces.
    pub async fn stream(
        &self,
        key: &str,
    ) -> Result<impl futures::Stream<Item = Result<Bytes, Error>> + Send + use<>, Error> {
        let got = self.of(key).get(&Path::from(key)).await.map_err(|error| failure(key, error))?;
        let key = key.to_owned();
        Ok(got.into_stream().map_err(move |error| failure(&key, error)))
    }

    /// All objects under a prefix that ends in `/`, sorted by key.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Listed>, Error> {
        let path = Path::from(prefix.trim_end_matches('/'));
        let found = self.of(prefix).list(Some(&path)).try_collect::<Vec<_>>().await;
        let mut listed: Vec<Listed> = found
            .map_err(|error| failure(prefix, error))?
            .into_iter()
            .map(|meta| Listed {
                key: meta.location.to_string(),
                size: meta.size,
                modified: meta.last_modified.timestamp(),
                e_tag: meta.e_tag,
            })
            .collect();
        listed.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(listed)
    }

    /// Deletes every object under a prefix that ends in `/`.
    pub async fn delete_all(&self, prefix: &str) -> Result<(), Error> {
        for object in self.list(prefix).await? {
            match self.of(prefix).delete(&Path::from(object.key.as_str())).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(failure(&object.key, error)),
            }
        }
        Ok(())
    }

    fn of(&self, key: &str) -> &Arc<dyn ObjectStore> {
        if key.starts_with(STAGING) { &self.scratch } else { &self.durable }
    }
}

fn failure(key: &str, error: object_store::Error) -> Error {
    use object_store::Error as E;
    match error {
        E::NotFound { .. } => Error::ObjectMissing(key.to_owned()),
        E::PermissionDenied { .. }
        | E::Unauthenticated { .. }
        | E::NotImplemented { .. }
        | E::NotSupported { .. } => Error::StorageRefused(format!("{key}: {}", kind(&error))),
        error => Error::StorageUnavailable(format!("{key}: {}", kind(&error))),
    }
}

/// The error with its causes: the outer text alone often says only that something failed.
fn kind(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

/// Whether bytes begin like gzip (RFC 1952).
pub fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// Packs bytes as gzip, at the level that is about as fast as the disk.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::with_capacity(bytes.len() / 4 + 64), Compression::fast());
    // Writing to memory cannot fail.
    let _ = packer.write_all(bytes);
    packer.finish().unwrap_or_default()
}

/// Unpacks gzip, of one member or many.
pub fn gunzip(key: &str, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    MultiGzDecoder::new(bytes).read_to_end(&mut out).map_err(|_| broken(key))?;
    Ok(out)
}

/// Calls `line` with every line of an object, without its line feed. An object whose key ends in `.gz` is unpacked
/// while it is read.
pub fn for_each_line(
    key: &str,
    bytes: &[u8],
    mut line: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    if !is_packed(key) {
        let mut lines = bytes.split(|&b| b == b'\n').filter(|text| !text.is_empty());
        return lines.try_for_each(line);
    }
    let mut lines = BufReader::with_capacity(64 * 1024, MultiGzDecoder::new(bytes));
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        if lines.read_until(b'\n', &mut buffer).map_err(|_| broken(key))? == 0 {
            return Ok(());
        }
        let text = buffer.strip_suffix(b"\n").unwrap_or(&buffer);
        if !text.is_empty() {
            line(text)?;
        }
    }
}

/// Whether the object with this key is gzip.
pub(crate) fn is_packed(key: &str) -> bool {
    key.ends_with(".gz")
}

pub(crate) fn broken(key: &str) -> Error {
    Error::StorageRefused(format!("{key} is not whole: its gzip ends early or is damaged"))
}
