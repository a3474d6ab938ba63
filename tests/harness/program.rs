//! The real program: run to its end, or served until it is dropped.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::http::until;

/// How long anything may take before a test gives up on it. Nothing here is measured.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A folder of a test: the data folder, and files beside it. Gone when it is dropped.
pub(crate) struct Place {
    folder: TempDir,
    data: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        Self { data: folder.path().join("data"), folder }
    }

    /// A place whose data folder cannot be made, whoever tries.
    pub(crate) fn under_a_file() -> Self {
        let place = Self::new();
        Self { data: place.file("file", "").join("data"), ..place }
    }

    /// The data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.data.clone()
    }

    /// A path beside it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file beside it.
    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The program on this data folder.
    pub(crate) fn command<I: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crmflow"));
        command.arg("--data").arg(self.data()).args(args).current_dir(self.folder.path());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run<I: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Ended {
        run(&mut self.command(args), b"")
    }

    /// What `crmflow process --json` says of a file that is taken, also where some of its consent is not understood.
    #[track_caller]
    pub(crate) fn process(&self, file: &Path) -> Value {
        self.run([Path::new("process"), Path::new("--json"), file]).summary()
    }
}

/// A program that ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code; `None`: a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The JSON that it printed, having ended well.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The summary of a batch that it printed: it ended well, or with 1 where consent was not understood.
    #[track_caller]
    pub(crate) fn summary(&self) -> Value {
        let summary: Value =
            serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        let code = i32::from(summary["unreadConsent"].as_u64().unwrap() > 0);
        assert_eq!((self.code, &summary["status"]), (Some(code), &Value::from("SUCCEEDED")), "{self:?}");
        summary
    }

    /// Fails unless it ended with this code, having said all of this on the standard error.
    #[track_caller]
    pub(crate) fn check(&self, code: i32, said: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for text in said {
            assert!(self.stderr.contains(text), "{text:?} is missing: {self:?}");
        }
        assert!(!self.stderr.contains("panicked"), "{self:?}");
    }
}

/// Says that a test cannot run here for want of `what`. Where `CRMFLOW_TESTS_REQUIRE` names it, the test fails.
#[track_caller]
pub(crate) fn skip(what: &str, why: &str) {
    let required = std::env::var_os("CRMFLOW_TESTS_REQUIRE").unwrap_or_default();
    assert!(!required.to_string_lossy().split(',').any(|name| name == what), "{why}");
    println!("skipped: {why}");
}

/// Runs a command to its end, with this on its standard input.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Ended {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Killed(piped.spawn().unwrap());
    let mut stdin = child.0.stdin.take().unwrap();
    let input = input.to_vec();
    // Whoever does not read it to its end has a reason; the exit code tells it.
    let fed = thread::spawn(move || _ = stdin.write_all(&input));
    let (out, err) = (gather(child.0.stdout.take().unwrap()), gather(child.0.stderr.take().unwrap()));
    let code = child.wait().code();
    fed.join().unwrap();
    Ended { code, stdout: out.join().unwrap(), stderr: err.join().unwrap() }
}

fn gather(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// A process that does not outlive its test.
pub(crate) struct Killed(pub(crate) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Killed {
    /// A field of its memory in `/proc`: `VmRSS` is what it has, `VmHWM` the most that it had. `None` where the system does
    /// not tell.
    pub(crate) fn memory_kib(&self, field: &str) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        until(|| self.0.try_wait().unwrap())
    }

    /// Sends a signal by its name, as the shell's `kill` does.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.0.id())]).status();
        assert!(sent.unwrap().success());
    }
}

/// `crmflow serve` on a free port.
pub(crate) struct Server {
    pub(crate) process: Killed,
    /// `http://127.0.0.1:PORT`
    pub(crate) base: String,
    /// The Step Functions endpoint's.
    pub(crate) step_functions: String,
}

impl Server {
    pub(crate) fn start(place: &Place) -> Self {
        Self::start_with::<&str>(place, [])
    }

    /// With more options.
    pub(crate) fn start_with<I: AsRef<std::ffi::OsStr>>(
        place: &Place,
        options: impl IntoIterator<Item = I>,
    ) -> Self {
        let mut command = place.command(["serve", "--listen", "127.0.0.1:0", "--sfn-listen", "127.0.0.1:0"]);
        command
            .args(options)
            .stderr(File::options().create(true).append(true).open(place.path("stderr")).unwrap());
        Self::spawn(command)
    }

    /// Starts a command that serves, and waits for the line that says where.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut process = Killed(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap());
        let stdout = BufReader::new(process.0.stdout.take().unwrap());
        let (said, heard) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // Read on, heard or not: a full pipe would stop the program.
                let _ = said.send(line);
            }
        });
        let line = heard.recv_timeout(PATIENCE).expect("the program ended before it listened");
        let mut addresses = line.split_whitespace().filter(|word| word.starts_with("http://"));
        let mut address = || addresses.next().unwrap_or_else(|| panic!("no address in {line:?}")).to_owned();
        Self { process, base: address(), step_functions: address() }
    }

    /// Its host and port.
    pub(crate) fn authority(&self) -> &str {
        self.base.strip_prefix("http://").unwrap()
    }
}
