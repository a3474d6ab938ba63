//! Runs an execution on a host's tasks, clock and objects.

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

/// The work that a host does for a run.
pub trait TaskRunner: Send + Sync {
    /// Whether this host can run the resource. The loader asks for every resource of a definition.
    ///
    /// # Errors
    /// The reason why the host cannot run the resource.
    fn check(&self, resource: &str) -> Result<(), String>;

    /// Runs a task. The driver drops the future when the run no longer waits for the task.
    ///
    /// The value depends on the task's [`Pattern`]. `RequestResponse` gives the task's result. `Callback` and
    /// `Sync` give the service's answer to the request, and the result comes later. `Activity` gives the name
    /// of the worker that received the task (a text, or null).
    fn run(&self, task: TaskRequest) -> impl Future<Output = Result<Value, Failure>> + Send;

    /// Waits for the result of a task that [`run`](Self::run) only started. By default the result comes from
    /// outside, as an [`Input::TaskDone`] for the task that a token names.
    fn watch(&self, task: TaskRequest) -> impl Future<Output = Result<Value, Failure>> + Send {
        let _ = task;
        pending()
    }

    /// Reads the items of a distributed Map.
    fn read_items(&self, source: ItemSource) -> impl Future<Output = Result<Items, Failure>> + Send;

    /// Writes the results of a distributed Map. A host without storage refuses `s3:putObject` in
    /// [`check`](Self::check).
    fn write_results(&self, results: ResultFiles) -> impl Future<Output = Result<(), Failure>> + Send {
        let cause = format!("this host cannot run {}", results.resource);
        ready(Err(Failure::new(reserved::RESULT_WRITER_FAILED, cause)))
    }

    /// Completes at this moment.
    fn sleep_until(&self, due: Timestamp) -> impl Future<Output = ()> + Send;

    /// The time.
    fn now(&self) -> Timestamp;

    /// Receives every event of the run, in order.
    fn history(&self, event: &HistoryEvent);

    /// Stores a step before the driver acts on it. With `outcome`, the step ends the run. A host whose runs
    /// need not survive the process stores nothing.
    fn record(
        &self,
        entry: &Entry,
        outcome: Option<&Outcome>,
    ) -> impl Future<Output = Result<(), NotRecorded>> + Send {
        let _ = (entry, outcome);
        ready(Ok(()))
    }
}

/// A call to the host.
enum HostCall {
    Task(TaskRequest),
    Items(ItemSource),
    Results(ResultFiles),
}

/// The host could not store a step. The driver stops the run here, and the journal has its last stored state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a step could not be recorded: {0}")]
pub struct NotRecorded(pub String);

/// Runs an execution to its end.
///
/// # Errors
/// The host cannot record a step.
pub async fn drive(execution: Execution, runner: &impl TaskRunner) -> Result<Outcome, NotRecorded> {
    drive_with(execution, runner, stream::pending()).await
}

/// Runs an execution to its end, and feeds it the inputs from outside: heartbeats, answers to tokens, a stop.
///
/// # Errors
/// The host cannot record a step.
pub async fn drive_with(
    mut execution: Execution,
    runner: &impl TaskRunner,
    outside: impl Stream<Item = Input> + Send,
) -> Result<Outcome, NotRecorded> {
    let (progress_sender, progress) = mpsc::unbounded();
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
            let (answer, handle) = abortable(call_host(runner, call, progress_sender.clone()));
            running.insert(id, handle);
            incoming.answers.push(answer);
        }
        if let Some(outcome) = execution.outcome() {
            return Ok(outcome.clone());
        }
        if inputs.is_empty() {
            inputs.extend(incoming.next_until(execution.next_due(), runner).await);
        }
        // Other inputs that are ready now share the step.
        while let Some(Some(input)) = incoming.next().now_or_never() {
            inputs.push(input);
        }
        for task in inputs.iter().filter_map(Input::answered) {
            running.remove(&task).iter().for_each(AbortHandle::abort);
        }
        let entry = Entry { at: runner.now().max(execution.at()), inputs: std::mem::take(&mut inputs) };
        execution.step(&entry);
        // Inputs that arrive while the host records the step share the next step.
        let mut recorded = pin!(runner.record(&entry, execution.outcome()));
        loop {
            match select(recorded.as_mut(), pin!(incoming.next())).await {
                Either::Left((kept, _)) => break kept?,
                Either::Right((input, _)) => inputs.extend(input),
            }
        }
    }
}

/// The sources of a run's inputs.
struct InputQueue<A, O> {
    /// Started tasks whose result comes later.
    progress: mpsc::UnboundedReceiver<Input>,
    /// Tasks and reads in flight.
    answers: A,
    outside: O,
    /// Started tasks that no input has confirmed yet, with their pattern.
    unconfirmed: HashMap<TaskId, Pattern>,
    /// Results that arrived before the confirmation of their task.
    early_results: Vec<Input>,
    /// Inputs to deliver next.
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

    /// Waits for an input; `None`: a cancelled task has ended.
    ///
    /// The queue delivers a task's result after the confirmation that the task began, even if the result
    /// arrived first.
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
                        // The worker that answers has received the task. The host crashed before the run
                        // could record that.
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

    /// Releases the early results of a task that an input confirms or ends.
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

    /// Waits for an input. The flag says whether the host's own work produced it.
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

    /// Waits for an input or for the due time; `None`: the due time has come.
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

/// Yields once to the other futures of the host.
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
    progress_sender: mpsc::UnboundedSender<Input>,
) -> Input {
    match call {
        HostCall::Task(task) => {
            Input::TaskDone { task: task.id, result: run_task(runner, task, progress_sender).await }
        }
        HostCall::Items(source) => {
            Input::ItemsRead { reading: source.id, items: runner.read_items(source).await }
        }
        HostCall::Results(results) => {
            Input::ResultsWritten { writing: results.id, result: runner.write_results(results).await }
        }
    }
}

/// Starts a task, unless it is in progress already, and waits for its result.
async fn run_task(
    runner: &impl TaskRunner,
    task: TaskRequest,
    progress_sender: mpsc::UnboundedSender<Input>,
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
    // The receiver outlives this future: the same drive polls both.
    let _ = progress_sender.unbounded_send(input);
    runner.watch(TaskRequest { progress, ..task }).await
}
