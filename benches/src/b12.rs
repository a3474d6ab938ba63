//! B12: the Lambda binaries. Measures the size of each zip, and the time from start to the first request for work, which a
//! cold start waits for.

use std::{
    fmt, fs,
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use flate2::{Compression, write::DeflateEncoder};
use serde::Serialize;

use crate::{
    error::Error,
    gate::Gate,
    peers,
    place::Place,
    report::{Spread, load, progress},
};

const TARGET_ZIP_MB: f64 = 4.0;
const TARGET_MILLIS: f64 = 10.0;
const TARGET_PEAK_MIB: f64 = 20.0;

/// Bytes of a zip besides the compressed file: two headers, the name twice, and the end record.
const ZIP_FRAME: u64 = 30 + 46 + 22 + 2 * "bootstrap".len() as u64;

/// The environment of every function. Nothing is called.
const ENVIRONMENT: [(&str, &str); 23] = [
    ("AWS_DEFAULT_REGION", "eu-west-1"),
    ("AWS_REGION", "eu-west-1"),
    ("AWS_ACCESS_KEY_ID", "none"),
    ("AWS_SECRET_ACCESS_KEY", "none"),
    ("AWS_LAMBDA_FUNCTION_NAME", "function"),
    ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
    ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
    ("DATA_BUCKET", "bucket"),
    ("OPT_INS_TABLE", "opt-ins"),
    ("CONSENTS_TABLE", "consents"),
    ("BATCHES_TABLE", "batches"),
    ("CLAIMS_TABLE", "claims"),
    ("EVENTS_TABLE", "events"),
    ("RESPONSES_TABLE", "responses"),
    ("DESTINATIONS_TABLE", "destinations"),
    ("DELIVERIES_TABLE", "deliveries"),
    ("EVENTS_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/000000000000/events"),
    ("LANES_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/000000000000/lanes"),
    ("ALLOWED_DESTINATIONS", ""),
    ("TEST_DESTINATION_STATE_MACHINE_ARN", "arn:aws:states:eu-west-1:000000000000:stateMachine:test"),
    ("RECORDS_STATE_MACHINE_ARN", "arn:aws:states:eu-west-1:000000000000:stateMachine:records"),
    ("RECORDS_EXPRESS_STATE_MACHINE_ARN", "arn:aws:states:eu-west-1:000000000000:stateMachine:express"),
    ("BATCH_STATE_MACHINE_ARN", "arn:aws:states:eu-west-1:000000000000:stateMachine:batch"),
];

/// The results of the functions.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The load average of the last minute.
    pub load: f64,
    /// One for each function, then the peer.
    pub rows: Vec<Row>,
}

/// One function.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its folder's name.
    pub name: String,
    /// The size of its zip in bytes; zero for the peer, whose libraries are elsewhere.
    pub zip: u64,
    /// From start to the first request for work, in milliseconds.
    pub millis: Spread,
    /// Peak resident memory until then, in bytes.
    pub peak: u64,
}

/// A program to start.
struct Function {
    name: String,
    zip: u64,
    program: PathBuf,
    argument: Option<PathBuf>,
    starts: Vec<(f64, u64)>,
}

/// Starts every `*/bootstrap` under `build`, the output of `sam build`, and the peer, in turns.
pub fn run(place: &Place, build: &Path, rounds: usize, with_peers: bool) -> Result<Report, Error> {
    let mut functions = built(build)?;
    if with_peers {
        functions.push(Function {
            name: "Python: boto3, jsonschema, pydantic".into(),
            zip: 0,
            program: place.python(&peers::folder().join("requirements.txt"))?,
            argument: Some(peers::folder().join("b12_bootstrap.py")),
            starts: Vec::new(),
        });
    }
    for round in 1..=rounds {
        progress(&format!("B12 {round}/{rounds}"));
        for function in &mut functions {
            let start = start(function)?;
            function.starts.push(start);
        }
    }
    let rows = functions.into_iter().map(|function| Row {
        name: function.name,
        zip: function.zip,
        millis: Spread::of(function.starts.iter().map(|start| start.0)),
        peak: function.starts.iter().map(|start| start.1).max().unwrap_or(0),
    });
    Ok(Report { load: load(), rows: rows.collect() })
}

fn built(build: &Path) -> Result<Vec<Function>, Error> {
    let mut functions = Vec::new();
    let folders = fs::read_dir(build).map_err(|_| {
        Error::Missing(format!("{} is not there: sam build, or --build FOLDER", build.display()))
    })?;
    for folder in folders {
        let folder = folder.map_err(Error::at(build))?.path();
        let program = folder.join("bootstrap");
        if program.is_file() {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let zip = zipped(&program).map_err(Error::at(&program))?;
            functions.push(Function { name, zip, program, argument: None, starts: Vec::new() });
        }
    }
    functions.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(functions)
}

/// The size of a zip of this file.
fn zipped(file: &Path) -> io::Result<u64> {
    let mut packed = DeflateEncoder::new(Counter(ZIP_FRAME), Compression::new(6));
    io::copy(&mut fs::File::open(file)?, &mut packed)?;
    Ok(packed.finish()?.0)
}

struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts a program against a runtime API without work. Returns the milliseconds until its first request, and its memory by
/// then.
fn start(function: &Function) -> Result<(f64, u64), Error> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(Error::of("a port on loopback"))?;
    let address = listener.local_addr().map_err(Error::of("a port on loopback"))?;
    let (asked, first) = mpsc::channel();
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            if asks_for_work(&connection) && asked.send((Instant::now(), connection)).is_err() {
                return;
            }
        }
    });
    let mut command = Command::new(&function.program);
    command.args(&function.argument).env_clear().envs(ENVIRONMENT);
    command.env("AWS_LAMBDA_RUNTIME_API", address.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let began = Instant::now();
    let mut child = command.spawn().map_err(Error::of(&function.name))?;
    // The connection stays open until the memory is read: a function without it would end.
    let asked = first.recv_timeout(Duration::from_secs(20));
    let peak = peak(&child);
    let stopped = child.kill().and_then(|()| child.wait());
    stopped.map_err(Error::of(&function.name))?;
    // Wakes the listening thread, which then ends.
    drop(first);
    let _ = TcpStream::connect(address).and_then(|mut one| one.write_all(NEXT.as_bytes()));
    let (at, _connection) = asked.map_err(|_| Error::Failed {
        name: function.name.clone(),
        why: "it did not ask for work within 20 s".into(),
    })?;
    Ok((at.duration_since(began).as_secs_f64() * 1000.0, peak))
}

const NEXT: &str = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n\r\n";

fn asks_for_work(connection: &TcpStream) -> bool {
    let mut line = String::new();
    let read = BufReader::new(connection).read_line(&mut line);
    read.is_ok() && NEXT.starts_with(line.trim_end())
}

/// Peak resident memory of a process, in bytes.
fn peak(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|kib| kib.trim().parse().ok());
    kib.unwrap_or(0_u64) * 1024
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "B12: load average {:.2}\n", self.load)?;
        writeln!(f, "| function | zip MB | start to first question, ms | peak MiB |\n|---|---|---|---|")?;
        for Row { name, zip, millis, peak } in &self.rows {
            let Spread { median, min, max } = millis;
            let peak = *peak as f64 / 1_048_576.0;
            let zip = if *zip == 0 { String::new() } else { format!("{:.2}", *zip as f64 / 1e6) };
            writeln!(f, "| {name} | {zip} | {median:.1} ({min:.1}-{max:.1}) | {peak:.1} |")?;
        }
        let ours: Vec<&Row> = self.rows.iter().filter(|row| row.zip > 0).collect();
        let largest = |figure: fn(&Row) -> f64| ours.iter().map(|row| figure(row)).fold(0.0, f64::max);
        let gates = [
            Gate::at_most("largest zip, MB", largest(|row| row.zip as f64 / 1e6), TARGET_ZIP_MB),
            Gate::at_most("slowest start, ms", largest(|row| row.millis.median), TARGET_MILLIS),
            Gate::at_most("most memory, MiB", largest(|row| row.peak as f64 / 1_048_576.0), TARGET_PEAK_MIB),
        ];
        gates.iter().try_for_each(|gate| writeln!(f, "\n{gate}"))
    }
}
