//! The storage of chunks while the input streams in: memory, or a folder.

use std::{
    fs::{self, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    path::PathBuf,
};

use bytes::Bytes;

use kernel::error::Error;

/// Size of the pieces in which a file is read. One thread reads a piece and another frees it; the allocator then
/// retains up to a hundred freed pieces for the first thread.
const PIECE_BYTES: usize = 256 * 1024;

/// Makes an empty folder; the files of an interrupted run are deleted.
pub fn empty(folder: PathBuf) -> Result<PathBuf, Error> {
    let cleared = match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => fs::create_dir_all(&folder),
    };
    cleared.map(|()| folder).map_err(|error| failure(&error))
}

#[derive(Debug)]
pub(super) enum Spool {
    Memory(Vec<Vec<u8>>),
    Folder(PathBuf),
}

impl Spool {
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        folder.map_or(Self::Memory(Vec::new()), Self::Folder)
    }

    pub(super) fn append(&mut self, file: usize, bytes: &[u8]) -> Result<(), Error> {
        match self {
            Self::Memory(files) => {
                if files.len() <= file {
                    files.resize_with(file + 1, Vec::new);
                }
                files[file].extend_from_slice(bytes);
            }
            Self::Folder(folder) => OpenOptions::new()
                .create(true)
                .append(true)
                .open(folder.join(file.to_string()))
                .and_then(|mut file| file.write_all(bytes))
                .map_err(|error| failure(&error))?,
        }
        Ok(())
    }

    /// The file in pieces.
    pub(super) fn pieces(
        &self,
        file: usize,
    ) -> Result<Box<dyn Iterator<Item = Result<Bytes, Error>> + Send>, Error> {
        match self {
            Self::Memory(files) => Ok(Box::new(std::iter::once(Ok(Bytes::from(files[file].clone()))))),
            Self::Folder(folder) => {
                let mut file =
                    fs::File::open(folder.join(file.to_string())).map_err(|error| failure(&error))?;
                Ok(Box::new(std::iter::from_fn(move || {
                    // Each piece but the last is full.
                    let mut piece = Vec::with_capacity(PIECE_BYTES);
                    match (&mut file).take(PIECE_BYTES as u64).read_to_end(&mut piece) {
                        Ok(0) => None,
                        Ok(_) => Some(Ok(piece.into())),
                        Err(error) => Some(Err(failure(&error))),
                    }
                })))
            }
        }
    }

    /// A reader of the file, to be read once while others are written.
    pub(super) fn reader(&mut self, file: usize) -> Result<Box<dyn Read + Send>, Error> {
        match self {
            Self::Memory(files) => Ok(Box::new(io::Cursor::new(std::mem::take(&mut files[file])))),
            Self::Folder(folder) => {
                let file = fs::File::open(folder.join(file.to_string())).map_err(|error| failure(&error))?;
                Ok(Box::new(file))
            }
        }
    }

    /// Deletes a file that is not needed any more.
    pub(super) fn discard(&mut self, file: usize) -> Result<(), Error> {
        match self {
            Self::Memory(files) => files[file] = Vec::new(),
            Self::Folder(folder) => {
                fs::remove_file(folder.join(file.to_string())).map_err(|error| failure(&error))?;
            }
        }
        Ok(())
    }
}

pub(super) fn failure(error: &io::Error) -> Error {
    Error::StorageRefused(format!("a chunk could not be spooled: {}", error.kind()))
}

impl Drop for Spool {
    /// The folder is deleted with its last file; if files remain it stays, and the next attempt empties it.
    fn drop(&mut self) {
        if let Self::Folder(folder) = self {
            let _ = fs::remove_dir(folder);
        }
    }
}
