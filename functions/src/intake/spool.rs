//! Where chunks grow while the input streams by: in memory, or in a folder.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    path::PathBuf,
};

use crate::error::Error;

/// Makes an empty folder; what an interrupted run left in it goes.
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
    pub(super) fn new(folder: Option<PathBuf>, files: usize) -> Self {
        match folder {
            Some(folder) => Self::Folder(folder),
            None => Self::Memory(vec![Vec::new(); files]),
        }
    }

    pub(super) fn append(&mut self, file: usize, bytes: &[u8]) -> Result<(), Error> {
        match self {
            Self::Memory(files) => files[file].extend_from_slice(bytes),
            Self::Folder(folder) => OpenOptions::new()
                .create(true)
                .append(true)
                .open(folder.join(file.to_string()))
                .and_then(|mut file| file.write_all(bytes))
                .map_err(|error| failure(&error))?,
        }
        Ok(())
    }

    /// The file whole, and gone from here.
    pub(super) fn take(&mut self, file: usize) -> Result<Vec<u8>, Error> {
        match self {
            Self::Memory(files) => Ok(std::mem::take(&mut files[file])),
            Self::Folder(folder) => {
                let path = folder.join(file.to_string());
                if !path.exists() {
                    return Ok(Vec::new());
                }
                let bytes = fs::read(&path).map_err(|error| failure(&error))?;
                fs::remove_file(&path).map_err(|error| failure(&error))?;
                Ok(bytes)
            }
        }
    }
}

fn failure(error: &std::io::Error) -> Error {
    Error::StorageRefused(format!("a chunk could not be spooled: {}", error.kind()))
}

impl Drop for Spool {
    /// The folder goes with its last file; where files are left it stays, and the next try empties it.
    fn drop(&mut self) {
        if let Self::Folder(folder) = self {
            let _ = fs::remove_dir(folder);
        }
    }
}
