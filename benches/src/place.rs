//! The folder of record sets, results and the peers' packages.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    error::Error,
    generate::{Oracle, Plan},
    report::progress,
};

/// A folder to work in.
#[derive(Clone, Debug)]
pub struct Place {
    folder: PathBuf,
}

impl Place {
    /// Creates the folder if necessary.
    pub fn new(folder: &Path) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(Error::at(folder))?;
        Ok(Self { folder: fs::canonicalize(folder).map_err(Error::at(folder))? })
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes the record set, with its right counts. The set is then in the page cache for all programs.
    pub fn records(&self, plan: &Plan) -> Result<(PathBuf, Oracle), Error> {
        let width = if plan.wide { "wide-" } else { "" };
        let path = self.path(&format!("contacts-{width}{}-{}.ndjson", plan.records, plan.seed));
        let file = File::create(&path).map_err(Error::at(&path))?;
        let mut to = BufWriter::with_capacity(256 * 1024, file);
        let written = plan.write(&mut to).and_then(|oracle| to.flush().map(|()| oracle));
        let oracle = written.map_err(Error::at(&path))?;
        let mean = oracle.bytes / plan.records.max(1);
        progress(&format!("{} records of {mean} bytes: {}", plan.records, path.display()));
        Ok((path, oracle))
    }

    /// An empty folder with this name; earlier content is deleted.
    pub fn empty(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.path(name);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::at(&path)(error)),
            _ => {}
        }
        fs::create_dir_all(&path).map_err(Error::at(&path))?;
        Ok(path)
    }

    /// The Python of the peers, in a separate environment that the first use creates.
    pub fn python(&self, requirements: &Path) -> Result<PathBuf, Error> {
        let (environment, python) = (self.path("peers"), self.path("peers/bin/python"));
        let wanted = fs::read(requirements).map_err(Error::at(requirements))?;
        let installed = self.path("peers/requirements.txt");
        if fs::read(&installed).is_ok_and(|have| have == wanted) {
            return Ok(python);
        }
        progress("installing the peers from PyPI");
        let made = Command::new("python3").args(["-m", "venv"]).arg(&environment).status();
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(requirements);
        for status in [made, pip.status()] {
            let status = status.map_err(Error::of("python3"))?;
            if !status.success() {
                let why = "the peers could not be installed; --no-peers runs without them";
                return Err(Error::Missing(why.into()));
            }
        }
        fs::write(&installed, wanted).map_err(Error::at(&installed))?;
        Ok(python)
    }
}
