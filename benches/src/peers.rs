//! The peers: Python scripts that do the same work, and print their counts.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde::Deserialize;

use crate::{
    child::Run,
    contest::{Contestant, Judged},
    error::Error,
    generate::Counts,
};

/// The last output line of a program in B1 or B10, as JSON.
#[derive(Debug, Deserialize)]
pub struct Said {
    /// Its version.
    pub version: String,
    /// The work by its own clock, in seconds.
    pub seconds: f64,
    /// Its counts.
    pub counts: Counts,
}

impl Said {
    /// Reads it.
    pub fn read(name: &str, run: &Run) -> Result<Self, Error> {
        serde_json::from_str(run.output.trim())
            .map_err(|error| Error::wrong(name, format!("it did not say what it counted: {error}")))
    }
}

/// The folder of the scripts.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// A script that reads a file of records and writes results to a folder.
pub struct Script<J> {
    /// Its name.
    pub name: &'static str,
    /// The Python to run it with.
    pub python: PathBuf,
    /// The script, in [`folder`].
    pub script: &'static str,
    /// The records.
    pub input: PathBuf,
    /// Makes the folder for its results, empty.
    pub output: Box<dyn Fn() -> Result<PathBuf, Error>>,
    /// Judges its output and its files.
    pub judge: J,
}

impl<J: FnMut(Said) -> Result<Judged, Error>> Contestant for Script<J> {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn command(&mut self) -> Result<Command, Error> {
        let mut command = Command::new(&self.python);
        command.arg(folder().join(self.script)).arg(&self.input).arg((self.output)()?);
        // The same number of threads as ours.
        command.arg(crate::b1::THREADS.to_string()).env("POLARS_MAX_THREADS", crate::b1::THREADS.to_string());
        Ok(command)
    }

    fn judge(&mut self, run: &Run) -> Result<Judged, Error> {
        (self.judge)(Said::read(self.name, run)?)
    }
}
