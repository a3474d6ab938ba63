//! Why a benchmark gave no result.

use std::{io, path::Path};

/// Why a benchmark gave no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or a process could not be used.
    #[error("{what}: {source}")]
    Io {
        /// Which.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A run ended badly.
    #[error("{name} failed: {why}")]
    Failed {
        /// Whose run.
        name: String,
        /// What it said last.
        why: String,
    },
    /// A run did not do its work: no time of it counts.
    #[error("{name} gave a wrong result: {why}")]
    Wrong {
        /// Whose run.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// Something that has to be there first is not.
    #[error("{0}")]
    Missing(String),
}

impl Error {
    /// For `map_err` where a file is used.
    pub fn at(path: &Path) -> impl Fn(io::Error) -> Self {
        let what = path.display().to_string();
        move |source| Self::Io { what: what.clone(), source }
    }

    /// For `map_err` where `what` is done.
    pub fn of(what: &str) -> impl Fn(io::Error) -> Self {
        let what = what.to_owned();
        move |source| Self::Io { what: what.clone(), source }
    }

    /// A run of `name` is wrong because of `why`.
    pub fn wrong(name: &str, why: impl Into<String>) -> Self {
        Self::Wrong { name: name.to_owned(), why: why.into() }
    }
}
