//! The body of a message in the file: a text, or a text that is compressed with Zstandard if it is large. The disk is
//! the bottleneck, and compression reduces a list of events to a sixth.

use std::cell::RefCell;

use rusqlite::{
    ToSql,
    types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef},
};
use zstd::bulk::Compressor;

/// Compression of smaller bodies is not worth the time.
const MIN_COMPRESSED_BYTES: usize = 4 * 1024;
/// More than a message may have. A body that claims to be larger is damaged.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
/// The fastest level that compresses well.
const COMPRESSION_LEVEL: i32 = 1;

thread_local! {
    /// The creation of a compressor takes longer than the compression of a list.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = RefCell::new(Compressor::new(COMPRESSION_LEVEL).ok());
}

fn pack(bytes: &[u8]) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|compressor| compressor.as_mut()?.compress(bytes).ok())
}

/// A body to write.
#[derive(Debug)]
pub(super) enum Body {
    Text(String),
    Packed(Vec<u8>),
}

impl Body {
    pub(super) fn new(text: String) -> Self {
        if text.len() < MIN_COMPRESSED_BYTES {
            return Self::Text(text);
        }
        match pack(text.as_bytes()) {
            Some(packed) => Self::Packed(packed),
            None => Self::Text(text),
        }
    }

    /// How many bytes the body has in the file.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Packed(bytes) => bytes.len(),
        }
    }
}

impl ToSql for Body {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Packed(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// A body that was read.
#[derive(Debug)]
pub(super) struct Text(pub(super) String);

impl FromSql for Text {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let ValueRef::Blob(packed) = value else { return String::column_result(value).map(Self) };
        let size = zstd::zstd_safe::get_frame_content_size(packed).ok().flatten();
        let size =
            size.and_then(|size| usize::try_from(size).ok()).unwrap_or(MAX_BODY_BYTES).min(MAX_BODY_BYTES);
        let bytes =
            zstd::bulk::decompress(packed, size).map_err(|error| FromSqlError::Other(error.into()))?;
        String::from_utf8(bytes).map(Self).map_err(|error| FromSqlError::Other(error.into()))
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    /// Writes and reads a body, and compares its type in the file.
    #[track_caller]
    fn check(text: &str, kept_as: &str) {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE one (body TEXT NOT NULL)").unwrap();
        connection.execute("INSERT INTO one VALUES (?1)", [Body::new(text.to_owned())]).unwrap();
        let found = connection.query_row("SELECT typeof(body), body FROM one", [], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, Text>(1)?.0))
        });
        assert_eq!(found.unwrap(), (kept_as.to_owned(), text.to_owned()));
    }

    #[test]
    fn a_body_is_read_as_it_was_written() {
        check("", "text");
        check("{\"user\":\"Zoë\"}", "text");
        check(&"ë".repeat(MIN_COMPRESSED_BYTES / 2 - 1), "text");
        check(&"ë".repeat(MIN_COMPRESSED_BYTES / 2), "blob");
        check(&format!("[{}]", "0123456789,".repeat(100_000)), "blob");
    }
}
