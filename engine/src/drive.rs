//! Runs an execution on what a host offers: its tasks, its clock, its objects.

use std::collections::HashMap;
use std::future::{Future, pending, poll_fn, ready};
use std::pin::pin;
use std::task::Poll;

use futures::future::{AbortHandle, Aborted, Either, abortable, select};
use futures::stream::{FuturesUnordered, Stream, StreamExt};
use jiff::Timestamp;

use crate::effect::{Effect, ItemSource, Items, Outcome, ResultFiles, TaskId, TaskRequest};
use crate::failure::{Failure, reserved};
use crate::history::HistoryEvent;
use crate::run::Execution;
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
}

/// A run that never waits gives way after so many effects.
const STEPS: u64 = 1_000;

/// An answer of the host.
enum Answer {
    Task(TaskId, Result<Value, Failure>),
    Items(TaskId, Result<Items, Failure>),
    Results(TaskId, Result<(), Failure>),
}

/// What the host is asked.
enum Question {
    Task(TaskRequest),
    Items(ItemSource),
    Results(ResultFiles),
}

/// Runs an execution to its end.
pub async fn drive(execution: Execution, runner: &impl TaskRunner) -> Outcome {
    drive_until(execution, runner, pending()).await
}

/// Runs an execution to its end, or until `stop` says why it must stop.
pub async fn drive_until(
    mut execution: Execution,
    runner: &impl TaskRunner,
    stop: impl Future<Output = Failure> + Send,
) -> Outcome {
    let mut stop = pin!(stop);
    let mut answers = FuturesUnordered::new();
    let mut running: HashMap<TaskId, AbortHandle> = HashMap::new();
    let mut steps = 0_u64;
    loop {
        while let Some(effect) = execution.next_effect(runner.now()) {
            steps += 1;
            if steps.is_multiple_of(STEPS) {
                give_way().await;
            }
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
            answers.push(answer);
        }
        if let Some(outcome) = execution.outcome() {
            return outcome.clone();
        }
        let happened = pin!(something(&mut answers, runner, execution.next_due()));
        match select(happened, stop.as_mut()).await {
            Either::Left((None, _)) => {}
            Either::Left((Some(Answer::Task(id, result)), _)) => {
                running.remove(&id);
                execution.task_done(id, result);
            }
            Either::Left((Some(Answer::Items(id, items)), _)) => {
                running.remove(&id);
                execution.items_read(id, items);
            }
            Either::Left((Some(Answer::Results(id, result)), _)) => {
                running.remove(&id);
                execution.results_written(id, result);
            }
            Either::Right((why, _)) => execution.stop(why, runner.now()),
        }
    }
}

/// Waits for an answer or the due time; `None`: the time has come, or a task that was given up is gone.
async fn something(
    answers: &mut (impl Stream<Item = Result<Answer, Aborted>> + Unpin),
    runner: &impl TaskRunner,
    due: Option<Timestamp>,
) -> Option<Answer> {
    let sleep = pin!(async {
        match due {
            Some(due) => runner.sleep_until(due).await,
            None => pending().await,
        }
    });
    let answered = pin!(async {
        match answers.next().await {
            Some(answer) => answer.ok(),
            None => pending().await,
        }
    });
    match select(answered, sleep).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => None,
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

async fn ask(runner: &impl TaskRunner, question: Question) -> Answer {
    match question {
        Question::Task(task) => Answer::Task(task.id, runner.run(task).await),
        Question::Items(source) => Answer::Items(source.id, runner.read_items(source).await),
        Question::Results(results) => Answer::Results(results.id, runner.write_results(results).await),
    }
}
