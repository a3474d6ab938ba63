//! Runs an execution on what a host offers: its tasks, its clock, its objects.

use std::collections::HashMap;
use std::future::{Future, pending, poll_fn, ready};
use std::pin::pin;
use std::task::Poll;

use futures::future::{AbortHandle, Aborted, Either, FutureExt, abortable, select};
use futures::stream::{self, FuturesUnordered, Stream, StreamExt};
use jiff::Timestamp;

use crate::effect::{Effect, ItemSource, Items, Outcome, ResultFiles, TaskId, TaskRequest};
use crate::failure::{Failure, reserved};
use crate::history::HistoryEvent;
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
    fn run(&self, task: TaskRequest) -> impl Future<Output = Result<Value, Failure>> + Send;

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
enum Question {
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
    let mut arrivals = Arrivals { answers: FuturesUnordered::new(), outside: pin!(outside.fuse()) };
    let mut running: HashMap<TaskId, AbortHandle> = HashMap::new();
    let mut inputs = Vec::new();
    loop {
        for effect in execution.take_effects() {
            let (id, question) = match effect {
                Effect::Event(event) => {
                    runner.history(&event);
                    continue;
                }
                Effect::Cancel(id) => {
                    running.remove(&id).iter().for_each(AbortHandle::abort);
                    continue;
                }
                Effect::StartTask(task) => (task.id, Question::Task(task)),
                Effect::ReadItems(source) => (source.id, Question::Items(source)),
                Effect::WriteResults(results) => (results.id, Question::Results(results)),
            };
            let (answer, handle) = abortable(ask(runner, question));
            running.insert(id, handle);
            arrivals.answers.push(answer);
        }
        if let Some(outcome) = execution.outcome() {
            return Ok(outcome.clone());
        }
        if inputs.is_empty() {
            inputs.extend(arrivals.next_until(execution.next_due(), runner).await);
        }
        // Whatever else is there already shares the step.
        while let Some(Some(input)) = arrivals.next().now_or_never() {
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
            match select(recorded.as_mut(), pin!(arrivals.next())).await {
                Either::Left((kept, _)) => break kept?,
                Either::Right((input, _)) => inputs.extend(input),
            }
        }
    }
}

/// What can reach a run.
struct Arrivals<A, O> {
    /// Tasks and readings under way.
    answers: A,
    outside: O,
}

impl<A, O> Arrivals<A, O>
where
    A: Stream<Item = Result<Input, Aborted>> + Unpin,
    O: Stream<Item = Input> + Unpin,
{
    /// Waits for an input; `None`: a task that was given up is gone.
    async fn next(&mut self) -> Option<Input> {
        let answered = pin!(async {
            match self.answers.next().await {
                Some(answer) => answer.ok(),
                None => pending().await,
            }
        });
        let told = pin!(async {
            match self.outside.next().await {
                Some(input) => input,
                None => pending().await,
            }
        });
        match select(answered, told).await {
            Either::Left((answer, _)) => answer,
            Either::Right((input, _)) => Some(input),
        }
    }

    /// Waits for an input or the due time; `None`: the time has come.
    async fn next_until(&mut self, due: Option<Timestamp>, runner: &impl TaskRunner) -> Option<Input> {
        let sleep = pin!(async {
            match due {
                Some(due) if due <= runner.now() => give_way().await,
                Some(due) => runner.sleep_until(due).await,
                None => pending().await,
            }
        });
        let arrived = pin!(async {
            loop {
                if let Some(input) = self.next().await {
                    break input;
                }
            }
        });
        match select(arrived, sleep).await {
            Either::Left((input, _)) => Some(input),
            Either::Right(_) => None,
        }
    }
}

/// Lets the host's other work have its turn.
async fn give_way() {
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

async fn ask(runner: &impl TaskRunner, question: Question) -> Input {
    match question {
        Question::Task(task) => Input::TaskDone { task: task.id, result: runner.run(task).await },
        Question::Items(source) => {
            Input::ItemsRead { reading: source.id, items: runner.read_items(source).await }
        }
        Question::Results(results) => {
            Input::ResultsWritten { writing: results.id, result: runner.write_results(results).await }
        }
    }
}
