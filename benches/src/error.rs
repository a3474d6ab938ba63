//! The failure of a benchmark.

use std::{io, path::Path};

/// The failure of a benchmark.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or a process could not be used.
    #[error("{what}: {source}")]
    Io {
        /// Its name.
        what: String,
        /// The error of the system.
        source: io::Error,
    },
    /// A run failed.
    #[error("{name} failed: {why}")]
    Failed {
        /// The program.
        name: String,
        /// Its last output.
        why: String,
    },
    /// A run had a wrong result, so its time does not count.
    #[error("{name} gave a wrong result: {why}")]
    Wrong {
        /// The program.
        name: String,
        /// The difference.
        why: String,
    },
    /// A prerequisite is missing.
    #[error("{0}")]
    Missing(String),
}

impl Error {
    /// For `map_err` of file accesses.
    pub fn at(path: &Path) -> impl Fn(io::Error) -> Self {
        let what = path.display().to_string();
        move |source| Self::Io { what: what.clone(), source }
    }

    /// For `map_err` of the operation `what`.
    pub fn of(what: &str) -> impl Fn(io::Error) -> Self {
        let what = what.to_owned();
        move |source| Self::Io { what: what.clone(), source }
    }

    /// A run of `name` is wrong because of `why`.
    pub fn wrong(name: &str, why: impl Into<String>) -> Self {
        Self::Wrong { name: name.to_owned(), why: why.into() }
    }
}
