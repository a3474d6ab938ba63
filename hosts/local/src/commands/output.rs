//! The output of a command: the standard output, or a file that appears once it is complete.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::serve::stopped;
use crate::exit::Exit;

/// Permissions of an output with personal data: only its owner reads it.
const PRIVATE_MODE: u32 = 0o600;

/// An output, written piece by piece.
pub(super) enum Output {
    Stdout(BufWriter<io::Stdout>),
    File { file: BufWriter<File>, partial: PathBuf, path: PathBuf },
}

impl Output {
    /// Opens a file, or the standard output.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Exit> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            return Ok(Self::Stdout(BufWriter::new(io::stdout())));
        };
        if path.is_dir() {
            return Err(Exit::usage(format!("{} is a folder", path.display())));
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(format!(".{}.partial", std::process::id()));
        let partial = PathBuf::from(partial);
        let opened =
            File::options().write(true).create(true).truncate(true).mode(PRIVATE_MODE).open(&partial);
        let file = opened.map_err(|error| Exit::usage(format!("{}: {error}", path.display())))?;
        Ok(Self::File { file: BufWriter::new(file), partial, path: path.to_owned() })
    }

    /// Completes it.
    pub(super) fn finish(mut self) -> Result<(), Exit> {
        self.flush().map_err(|error| failed(&error))?;
        if let Self::File { file, partial, path } = &mut self {
            let kept = file.get_ref().sync_all().and_then(|()| fs::rename(&*partial, &*path));
            kept.map_err(|error| failed(&error))?;
            partial.clear();
        }
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::File { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::File { file, .. } => file.flush(),
        }
    }
}

impl Drop for Output {
    /// A file that was not completed is deleted.
    fn drop(&mut self) {
        if let Self::File { partial, .. } = self
            && !partial.as_os_str().is_empty()
        {
            let _ = fs::remove_file(partial);
        }
    }
}

/// Writes an export until it ends, or until a signal stops it. After a signal, no part of a file is left.
pub(super) async fn until_stopped<T>(work: impl Future<Output = Result<T, Exit>>) -> Result<T, Exit> {
    tokio::select! {
        done = work => done,
        () = stopped() => Err(Exit::interrupted("interrupted; nothing is left of the output file")),
    }
}

/// Prints the number of changed cells: a change of data is never silent.
pub(super) fn note_guarded(cells: u64) {
    if cells > 0 {
        let cells = if cells == 1 {
            "1 cell begins".to_owned()
        } else {
            format!("{} cells begin", super::grouped(cells))
        };
        super::note(&format!(
            "{cells} like a formula, and got an apostrophe; --raw writes cells as they are"
        ));
    }
}

/// The end of a command whose output cannot be written. A closed pipe is no failure: its reader has seen enough.
pub(super) fn failed(error: &io::Error) -> Exit {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Exit::silent();
    }
    Exit::failed(format!("the output cannot be written: {error}"))
}

/// A text for a terminal: control characters of a record must not move the cursor.
pub(super) fn shown(text: &str) -> String {
    text.chars()
        .flat_map(|letter| {
            let is_control =
                letter.is_control() || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if is_control { letter.escape_unicode().collect::<String>() } else { letter.to_string() }
                .chars()
                .collect::<Vec<_>>()
        })
        .collect()
}
