//! What a command asks of the server that has the folder: a file in `requests/`, which the server takes up and answers
//! with a file beside it. What a crash cut off is taken up again at the next start.

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

/// How often a server looks for requests.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// How often a command looks for its answer.
const ANSWER_INTERVAL: Duration = Duration::from_millis(20);
/// How long a command waits for it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum Request {
    /// Send the messages of a queue to another.
    Redrive { from: String, to: String },
    /// Go on with a batch that waits for its operator.
    Resume { batch: BatchId },
    /// Drop what such a batch has not decided.
    Cancel { batch: BatchId },
}

/// What came of it, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Answer {
    is_done: bool,
    text: String,
}

/// The files of a request.
struct Files {
    /// To be taken up.
    asked: PathBuf,
    /// Being done.
    taken: PathBuf,
    answer: PathBuf,
}

const ASKED: &str = "asked";
const TAKEN: &str = "taken";
const ANSWER: &str = "answer";

impl Files {
    fn new(folder: &Path, name: &str) -> Self {
        let file = |kind: &str| folder.join(name).with_extension(kind);
        Self { asked: file(ASKED), taken: file(TAKEN), answer: file(ANSWER) }
    }
}

/// Has the server do it that has the folder; gives what it says.
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
        Ok(()) => format!("the server that has the folder did not answer in {seconds} s; nothing was done"),
        Err(_) => format!("the server that has the folder is at it for more than {seconds} s, and goes on"),
    }))
}

/// Takes requests up, one after the other, for as long as it is polled.
pub(crate) async fn take_up(paths: Paths, flow: LocalFlow) {
    let folder = paths.requests();
    // A server before this one died over the first; for the others nobody waits any more.
    for name in names(&folder, TAKEN) {
        let files = Files::new(&folder, &name);
        // What cannot be taken up again stays, and is looked at again at the next start.
        let _ = fs::rename(&files.taken, &files.asked);
    }
    for name in names(&folder, ANSWER) {
        let _ = fs::remove_file(Files::new(&folder, &name).answer);
    }
    loop {
        for name in names(&folder, ASKED) {
            let files = Files::new(&folder, &name);
            // Where it is gone, the command has given it up.
            if fs::rename(&files.asked, &files.taken).is_ok() {
                answer(&files, &flow).await;
            }
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

async fn answer(files: &Files, flow: &LocalFlow) {
    let done = match read::<Request>(&files.taken) {
        Ok(Some(request)) => carry_out(request, flow).await.map_err(Exit::into_message),
        Ok(None) => return,
        Err(error) => Err(error.to_string()),
    };
    let (is_done, text) = match done {
        Ok(text) => (true, text),
        Err(text) => (false, text),
    };
    tracing::info!(is_done, "asked by a command: {text}");
    let answered = put(&files.answer, &Answer { is_done, text }).and_then(|()| fs::remove_file(&files.taken));
    if let Err(error) = answered {
        tracing::error!("a command cannot be answered: {error}");
    }
}

async fn carry_out(request: Request, flow: &LocalFlow) -> Result<String, Exit> {
    match request {
        Request::Redrive { from, to } => redrive(flow, &from, &to).await,
        Request::Resume { batch } => {
            interrupted::resume(flow, batch).await?;
            Ok(format!("batch {batch} goes on; `crmflow batches` tells how it stands"))
        }
        Request::Cancel { batch } => interrupted::cancel(flow, batch).await,
    }
}

/// Sends the messages of a queue to another, and says so.
pub(crate) async fn redrive(flow: &LocalFlow, from: &str, to: &str) -> Result<String, Exit> {
    let moved = flow.services().host.queue.move_all(from, to).await?;
    Ok(format!("{} messages of {from} are in {to} again", grouped(moved)))
}

/// The names of the files of a kind, oldest first.
fn names(folder: &Path, kind: &str) -> Vec<String> {
    // No folder: nobody asked anything yet.
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == kind));
    let mut names: Vec<String> =
        files.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    names.sort_unstable();
    names
}

/// Puts a file there whole, or not at all.
fn put(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let draft = path.with_extension("draft");
    fs::write(&draft, serde_json::to_vec(value)?)?;
    fs::File::open(&draft)?.sync_all()?;
    fs::rename(&draft, path)
}

/// What a file holds, if it is there.
fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
