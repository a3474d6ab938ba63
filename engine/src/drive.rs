//! Runs an execution on what a host offers: its tasks, its clock, its objects.

use std::collections::{HashMap, VecDeque};
use std::future::{Future, pending, poll_fn, ready};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use futures::channel::mpsc;
use futures::future::{AbortHandle, Aborted, Either, FutureExt, abortable, select};
use futures::stream::{self, FuturesUnordered, Stream, StreamExt};
use jiff::Timestamp;

use crate::effect::{Effect, ItemSource, Items, Outcome, Pattern, Progress, ResultFiles, TaskRequest};
use crate::failure::{Failure, reserved};
use crate::history::HistoryEvent;
use crate::ids::TaskId;
use crate::run::{Entry, Execution, Input};
use crate::value::Value;

/// What a host does for a run.
pub trait TaskRunner: Send + Sync {
    /// `Ok` when this host can run the resource; `Err` says why not. Asked when a machine is loaded.
    ///
    /// # Errors
    /// Why the resource cannot be run.
    fn check(&self, resource: &str) -> Result<(), String>;

    /// Runs a task. The future is dropped when the run does not wait for it any longer.
    ///
    /// What it gives depends on the task's [`Pattern`]: the result of a task that is asked and answers, what a
    /// service said when it took a request whose result comes later, or the name of the worker (a text, or
    /// null) who has taken an activity's task.
    fn run(&self, task: TaskRequest) -> impl Future<Output = Result<Value, Failure>> + Send;

    /// Waits for the result of a task that [`run`](Self::run) only got under way. Unless a host knows better,
    /// it comes from outside: an [`Input::TaskDone`] for the task that a token names.
    fn watch(&self, task: TaskRequest) -> impl Future<Output = Result<Value, Failure>> + Send {
        let _ = task;
        pending()
    }

    /// Reads the items of a distributed Map.
    fn read_items(&self, source: ItemSource) -> impl Future<Output = Result<Items, Failure>> + Send;

    /// Writes the results of a distributed Map. A host that takes none refuses `s3:putObject` when it is asked.
    fn write_results(&self, results: ResultFiles) -> impl Future<Output = Result<(), Failure>> + Send {
        let cause = format!("{} cannot be done here", results.resource);
        ready(Err(Failure::new(reserved::RESULT_WRITER_FAILED, cause)))
    }

    /// Ends when this moment has come.
    fn sleep_until(&self, due: Timestamp) -> impl Future<Output = ()> + Send;

    /// The time.
    fn now(&self) -> Timestamp;

    /// Told of every event, in order.
    fn history(&self, event: &HistoryEvent);

    /// Keeps a step of the run before anything follows from it; with `outcome`, the run ends with this step.
    /// A host whose runs need not survive it keeps nothing.
    fn record(
        &self,
        entry: &Entry,
        outcome: Option<&Outcome>,
    ) -> impl Future<Output = Result<(), NotRecorded>> + Send {
        let _ = (entry, outcome);
        ready(Ok(()))
    }
}

/// What the host is asked.
enum HostCall {
    Task(TaskRequest),
    Items(ItemSource),
    Results(ResultFiles),
}

/// A step could not be kept: the run goes no further here, and where it stood is in its journal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a step could not be recorded: {0}")]
pub struct NotRecorded(pub String);

/// Runs an execution to its end.
///
/// # Errors
/// When the host cannot record a step.
pub async fn drive(execution: Execution, runner: &impl TaskRunner) -> Result<Outcome, NotRecorded> {
    drive_with(execution, runner, stream::pending()).await
}

/// Runs an execution to its end, with what reaches it from elsewhere: heartbeats, answers to tokens, a stop.
///
/// # Errors
/// When the host cannot record a step.
pub async fn drive_with(
    mut execution: Execution,
    runner: &impl TaskRunner,
    outside: impl Stream<Item = Input> + Send,
) -> Result<Outcome, NotRecorded> {
    let (under_way, progress) = mpsc::unbounded();
    let answers = FuturesUnordered::new();
    let outside = pin!(outside.fuse());
    let mut incoming = InputQueue::new(progress, answers, outside);
    let mut running: HashMap<TaskId, AbortHandle> = HashMap::new();
    let mut inputs = Vec::new();
    loop {
        for effect in execution.take_effects() {
            let (id, call) = match effect {
                Effect::Event(event) => {
                    runner.history(&event);
                    continue;
                }
                Effect::Cancel(id) => {
                    incoming.unconfirmed.remove(&id);
                    running.remove(&id).iter().for_each(AbortHandle::abort);
                    continue;
                }
                Effect::StartTask(task) => {
                    if task.pattern != Pattern::RequestResponse && task.progress == Progress::New {
                        incoming.unconfirmed.insert(task.id, task.pattern);
                    }
                    (task.id, HostCall::Task(task))
                }
                Effect::ReadItems(source) => (source.id, HostCall::Items(source)),
                Effect::WriteResults(results) => (results.id, HostCall::Results(results)),
            };
            let (answer, handle) = abortable(call_host(runner, call, under_way.clone()));
            running.insert(id, handle);
            incoming.answers.push(answer);
        }
        if let Some(outcome) = execution.outcome() {
            return Ok(outcome.clone());
        }
        if inputs.is_empty() {
            inputs.extend(incoming.next_until(execution.next_due(), runner).await);
        }
        // Whatever else is there already shares the step.
        while let Some(Some(input)) = incoming.next().now_or_never() {
            inputs.push(input);
        }
        for task in inputs.iter().filter_map(Input::answered) {
            running.remove(&task).iter().for_each(AbortHandle::abort);
        }
        let entry = Entry { at: runner.now().max(execution.at()), inputs: std::mem::take(&mut inputs) };
        execution.step(&entry);
        // What comes in while the step is being kept goes together into the next one.
        let mut recorded = pin!(runner.record(&entry, execution.outcome()));
        loop {
            match select(recorded.as_mut(), pin!(incoming.next())).await {
                Either::Left((kept, _)) => break kept?,
                Either::Right((input, _)) => inputs.extend(input),
            }
        }
    }
}

/// What can reach a run.
struct InputQueue<A, O> {
    /// Tasks whose result comes later.
    progress: mpsc::UnboundedReceiver<Input>,
    /// Tasks and readings under way.
    answers: A,
    outside: O,
    /// Tasks of which it is not known yet whether they are under way, with their pattern.
    unconfirmed: HashMap<TaskId, Pattern>,
    /// Results that came before that was known.
    early_results: Vec<Input>,
    /// What comes next.
    queued: VecDeque<Input>,
}

impl<A, O> InputQueue<A, O>
where
    A: Stream<Item = Result<Input, Aborted>> + Unpin,
    O: Stream<Item = Input> + Unpin,
{
    fn new(progress: mpsc::UnboundedReceiver<Input>, answers: A, outside: O) -> Self {
        let (unconfirmed, early_results, queued) = (HashMap::new(), Vec::new(), VecDeque::new());
        Self { progress, answers, outside, unconfirmed, early_results, queued }
    }

    /// Waits for an input; `None`: a task that was given up is gone.
    ///
    /// A task's result is from_outside after how the task began, also when it was quicker.
    async fn next(&mut self) -> Option<Input> {
        loop {
            if let Some(input) = self.queued.pop_front() {
                self.on_started(&input);
                return Some(input);
            }
            match self.receive().await {
                Some((done @ Input::TaskDone { task, .. }, false))
                    if self.unconfirmed.contains_key(&task) =>
                {
                    self.early_results.push(done);
                    if self.unconfirmed[&task] == Pattern::Activity {
                        // The worker that answers has the task. A crash came before that could be recorded.
                        self.queued.push_back(Input::TaskStarted { task, worker: None });
                    }
                }
                Some((input, _)) => {
                    self.on_started(&input);
                    return Some(input);
                }
                None => return None,
            }
        }
    }

    /// A task is under way, or will not be: what came early_results is next.
    fn on_started(&mut self, input: &Input) {
        let task = match input {
            Input::TaskDone { task, .. }
            | Input::TaskStarted { task, .. }
            | Input::TaskSubmitted { task, .. } => task,
            _ => return,
        };
        if self.unconfirmed.remove(task).is_some() {
            let own = |input: &mut Input| input.answered() == Some(*task);
            self.queued.extend(self.early_results.extract_if(.., own));
        }
    }

    /// Waits for an input, and tells whether it comes from the host's own work.
    async fn receive(&mut self) -> Option<(Input, bool)> {
        let answered = pin!(async {
            match select(self.progress.next(), self.answers.next()).await {
                Either::Left((Some(input), _)) => Some(input),
                Either::Right((Some(answer), progress)) => match progress.now_or_never().flatten() {
                    Some(input) => {
                        self.queued.extend(answer.ok());
                        Some(input)
                    }
                    None => answer.ok(),
                },
                Either::Left((None, _)) | Either::Right((None, _)) => pending().await,
            }
        });
        let from_outside = pin!(async {
            match self.outside.next().await {
                Some(input) => input,
                None => pending().await,
            }
        });
        match select(answered, from_outside).await {
            Either::Left((answer, _)) => answer.map(|input| (input, true)),
            Either::Right((input, _)) => Some((input, false)),
        }
    }

    /// Waits for an input or the due time; `None`: the time has come.
    async fn next_until(&mut self, due: Option<Timestamp>, runner: &impl TaskRunner) -> Option<Input> {
        let sleep = pin!(async {
            match due {
                Some(due) if due <= runner.now() => yield_now().await,
                Some(due) => runner.sleep_until(due).await,
                None => pending().await,
            }
        });
        let input = pin!(async {
            loop {
                if let Some(input) = self.next().await {
                    break input;
                }
            }
        });
        match select(input, sleep).await {
            Either::Left((input, _)) => Some(input),
            Either::Right(_) => None,
        }
    }
}

/// Lets the host's other work have its turn.
async fn yield_now() {
    let mut waited = false;
    poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

async fn call_host(
    runner: &impl TaskRunner,
    call: HostCall,
    under_way: mpsc::UnboundedSender<Input>,
) -> Input {
    match call {
        HostCall::Task(task) => {
            Input::TaskDone { task: task.id, result: run_task(runner, task, under_way).await }
        }
        HostCall::Items(source) => {
            Input::ItemsRead { reading: source.id, items: runner.read_items(source).await }
        }
        HostCall::Results(results) => {
            Input::ResultsWritten { writing: results.id, result: runner.write_results(results).await }
        }
    }
}

/// Gets a task under way, unless it is already, and waits for its result.
async fn run_task(
    runner: &impl TaskRunner,
    task: TaskRequest,
    under_way: mpsc::UnboundedSender<Input>,
) -> Result<Value, Failure> {
    if task.pattern == Pattern::RequestResponse {
        return runner.run(task).await;
    }
    if task.progress != Progress::New {
        return runner.watch(task).await;
    }
    let output = runner.run(task.clone()).await?;
    let (input, progress) = if task.pattern == Pattern::Activity {
        let worker = output.as_str().map(Arc::from);
        (Input::TaskStarted { task: task.id, worker }, Progress::Started)
    } else {
        (Input::TaskSubmitted { task: task.id, output: output.clone() }, Progress::Submitted(output))
    };
    // The receiver lives as long as the drive that polls this.
    let _ = under_way.unbounded_send(input);
    runner.watch(TaskRequest { progress, ..task }).await
}
