//! Requests of commands to the server that uses the folder: files in `requests/`. The server answers with a file beside
//! each. The next start processes requests that a crash interrupted.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use kernel::BatchId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use step_functions::clock;

use crate::{commands::grouped, data_folder::Paths, exit::Exit, flow::LocalFlow, interrupted};

/// Interval between a server's checks for requests.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Interval between a command's checks for its answer.
const ANSWER_INTERVAL: Duration = Duration::from_millis(20);
/// Maximum time that a command waits for its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum Request {
    /// Send the messages of a queue to another.
    Redrive { from: String, to: String },
    /// Resume a batch that waits for its operator.
    Resume { batch: BatchId },
    /// Cancel such a batch.
    Cancel { batch: BatchId },
}

/// The answer, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Answer {
    is_done: bool,
    text: String,
}

/// The files of a request.
struct Files {
    /// The request, not started.
    asked: PathBuf,
    /// The request in progress.
    taken: PathBuf,
    answer: PathBuf,
}

const REQUEST_EXTENSION: &str = "asked";
const RUNNING_EXTENSION: &str = "taken";
const ANSWER_EXTENSION: &str = "answer";

impl Files {
    fn new(folder: &Path, name: &str) -> Self {
        let file = |kind: &str| folder.join(name).with_extension(kind);
        Self {
            asked: file(REQUEST_EXTENSION),
            taken: file(RUNNING_EXTENSION),
            answer: file(ANSWER_EXTENSION),
        }
    }
}

/// Sends a request to the server that uses the folder; returns its answer.
pub(crate) fn ask(paths: &Paths, request: &Request) -> Result<String, Exit> {
    let folder = paths.requests();
    let files = Files::new(&folder, &BatchId::new(clock::now(), clock::random()).to_string());
    let failed = |error: io::Error| Exit::failed(format!("{}: {error}", folder.display()));
    fs::create_dir_all(&folder).map_err(failed)?;
    put(&files.asked, request).map_err(failed)?;
    let until = Instant::now() + ANSWER_TIMEOUT;
    while Instant::now() < until {
        if let Some(Answer { is_done, text }) = read(&files.answer).map_err(failed)? {
            fs::remove_file(&files.answer).map_err(failed)?;
            return if is_done { Ok(text) } else { Err(Exit::failed(text)) };
        }
        thread::sleep(ANSWER_INTERVAL);
    }
    let seconds = ANSWER_TIMEOUT.as_secs();
    Err(Exit::failed(match fs::remove_file(&files.asked) {
        Ok(()) => {
            format!("the server that uses the folder did not answer within {seconds} s; nothing was done")
        }
        Err(_) => format!("the server that uses the folder has needed more than {seconds} s, and continues"),
    }))
}

/// Processes requests one after the other, as long as it is polled.
pub(crate) async fn serve_requests(paths: Paths, flow: LocalFlow) {
    let folder = paths.requests();
    // An earlier server died over the first of them, and the commands of the others have ended.
    for name in names(&folder, RUNNING_EXTENSION) {
        let files = Files::new(&folder, &name);
        // A request that cannot be renamed stays for the next start.
        let _ = fs::rename(&files.taken, &files.asked);
    }
    for name in names(&folder, ANSWER_EXTENSION) {
        let _ = fs::remove_file(Files::new(&folder, &name).answer);
    }
    loop {
        for name in names(&folder, REQUEST_EXTENSION) {
            let files = Files::new(&folder, &name);
            // If the file is gone, the command has ended.
            if fs::rename(&files.asked, &files.taken).is_ok() {
                answer(&files, &flow).await;
            }
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn answer(files: &Files, flow: &LocalFlow) {
    let done = match read::<Request>(&files.taken) {
        Ok(Some(request)) => execute(request, flow).await.map_err(Exit::into_message),
        Ok(None) => return,
        Err(error) => Err(error.to_string()),
    };
    let (is_done, text) = match done {
        Ok(text) => (true, text),
        Err(text) => (false, text),
    };
    tracing::info!(is_done, "request of a command: {text}");
    let answered = put(&files.answer, &Answer { is_done, text }).and_then(|()| fs::remove_file(&files.taken));
    if let Err(error) = answered {
        tracing::error!("a command cannot be answered: {error}");
    }
}

async fn execute(request: Request, flow: &LocalFlow) -> Result<String, Exit> {
    match request {
        Request::Redrive { from, to } => redrive(flow, &from, &to).await,
        Request::Resume { batch } => {
            interrupted::resume(flow, batch).await?;
            Ok(format!("batch {batch} is resumed; `crmflow batches` shows its status"))
        }
        Request::Cancel { batch } => interrupted::cancel(flow, batch).await,
    }
}

/// Sends the messages of a queue to another; returns a report for people.
pub(crate) async fn redrive(flow: &LocalFlow, from: &str, to: &str) -> Result<String, Exit> {
    let moved = flow.services().host.queue.move_all(from, to).await?;
    Ok(format!("{} messages of {from} are in {to} again", grouped(moved)))
}

/// The names of the files of a kind, oldest first.
fn names(folder: &Path, kind: &str) -> Vec<String> {
    // Without the folder there was no request yet.
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == kind));
    let mut names: Vec<String> =
        files.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    names.sort_unstable();
    names
}

/// Writes a complete file, or none.
fn put(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let draft = path.with_extension("draft");
    fs::write(&draft, serde_json::to_vec(value)?)?;
    fs::File::open(&draft)?.sync_all()?;
    fs::rename(&draft, path)
}

/// The content of a file, if it exists.
fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
