//! Where chunks grow before they are stored: a folder of the function's own disk.

use std::path::PathBuf;

use functions::Error;

/// An empty folder; what an earlier call left behind is removed.
pub fn empty() -> Result<PathBuf, Error> {
    let folder = std::env::temp_dir().join("chunks");
    let made = match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => std::fs::create_dir_all(&folder),
    };
    made.map(|()| folder)
        .map_err(|error| Error::StorageRefused(format!("no folder for chunks: {}", error.kind())))
}
