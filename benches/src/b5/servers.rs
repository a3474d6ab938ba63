//! The measured servers. Each is a separate process on a free port of this machine.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::{error::Error, peers, place::Place, report::progress};

/// A server that runs until it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    /// The address on which it listens.
    pub(super) address: String,
}

impl Server {
    /// Starts a program that prints its address first.
    pub(super) fn start(name: &str, command: &mut Command) -> Result<Self, Error> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::of(name))?;
        let said = child.stdout.take().map(BufReader::new);
        let mut lines = said.into_iter().flat_map(BufRead::lines).map_while(Result::ok);
        let address = lines.find_map(|line| {
            let behind = line.split("http://").nth(1)?;
            behind.split([' ', '/', ')']).next().map(ToOwned::to_owned)
        });
        // A full pipe would block the program, so a thread reads its other output.
        thread::spawn(move || lines.for_each(drop));
        match address {
            Some(address) => Ok(Self { child, address }),
            None => Err(Error::wrong(name, "it did not print the address on which it listens")),
        }
    }

    /// `crmflow serve` on a folder.
    pub(super) fn crmflow(program: &Path, data: &Path, sink: Option<&str>) -> Result<Self, Error> {
        let mut command = Command::new(program);
        command.arg("--data").arg(data);
        command.args(["serve", "--listen", "127.0.0.1:0", "--sfn-listen", "127.0.0.1:0"]);
        command.args(["--queue-limit", "100000000"]);
        if let Some(sink) = sink {
            command.args(["--allow-destination", sink]);
        }
        Self::start("crmflow serve", &mut command)
    }

    /// CPU seconds of all its threads until now.
    pub(super) fn cpu(&self) -> f64 {
        // Linux counts in hundredths of a second here (proc(5), USER_HZ).
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let behind = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<&str> = behind.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
        (ticks(11) + ticks(12)) / 100.0
    }

    /// Peak memory, in MiB.
    pub(super) fn peak_mib(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
    }

    /// Kills the server with SIGKILL, which it cannot catch.
    pub(super) fn kill(&mut self) {
        // The server may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The peers' runtimes.
#[derive(Debug)]
pub(super) struct Peers {
    python: PathBuf,
    node_modules: PathBuf,
}

impl Peers {
    /// Installs the missing ones.
    pub(super) fn install(place: &Place) -> Result<Self, Error> {
        let python = place.python(&peers::folder().join("requirements.txt"))?;
        let folder = place.path("node");
        let wanted = peers::folder().join("package.json");
        let (from, installed) = (fs::read(&wanted).map_err(Error::at(&wanted))?, folder.join("installed"));
        if !fs::read(&installed).is_ok_and(|have| have == from) {
            progress("installing the peers from npm");
            fs::create_dir_all(&folder).map_err(Error::at(&folder))?;
            fs::copy(&wanted, folder.join("package.json")).map_err(Error::at(&wanted))?;
            let mut npm = Command::new("npm");
            npm.args(["install", "--silent", "--no-audit", "--no-fund"]).current_dir(&folder);
            if !npm.status().map_err(Error::of("npm"))?.success() {
                let why = "Express could not be installed; --no-peers runs without the peers";
                return Err(Error::Missing(why.into()));
            }
            fs::write(&installed, from).map_err(Error::at(&installed))?;
        }
        Ok(Self { python, node_modules: folder.join("node_modules") })
    }

    /// Starts Express.
    pub(super) fn express(&self) -> Result<Server, Error> {
        let mut command = Command::new("node");
        command.arg(peers::folder().join("b5_express.js")).arg(&self.node_modules);
        Server::start("Express", command.env("NODE_ENV", "production"))
    }

    /// Starts FastAPI.
    pub(super) fn fastapi(&self) -> Result<Server, Error> {
        Server::start("FastAPI", Command::new(&self.python).arg(peers::folder().join("b5_fastapi.py")))
    }
}

/// Waits until a condition is true; checks it twenty times a second.
pub(super) fn until(what: &str, mut is_so: impl FnMut() -> Result<bool, Error>) -> Result<(), Error> {
    for _ in 0..12_000 {
        if is_so()? {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Err(Error::wrong("crmflow", format!("after ten minutes this is still not true: {what}")))
}
