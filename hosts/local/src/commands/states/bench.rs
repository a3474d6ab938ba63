//! The host of an execution of `crmflow states run`: mocks, and this host for the other states.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use jiff::Timestamp;
use states::{
    Failure, HistoryEvent, ItemSource, Items, ResultFiles, TaskRequest, TaskRunner, Value, reserved,
};
use step_functions::{check_resource, clock, executions::Runner, mocks::MockedTasks};
use tokio::sync::Notify;

use super::run::unanswered;
use crate::functions;

/// Mocks, this host, and a clock, which answer the tasks of an execution.
pub(super) struct Bench {
    /// This host; `None`: all tasks have mocks.
    pub(super) host: Option<Runner>,
    /// With mocks, time is virtual.
    pub(super) mocks: Option<Mocks>,
    pub(super) events: Mutex<Vec<HistoryEvent>>,
}

/// A test case and its virtual time, which advances when all states wait.
pub(super) struct Mocks {
    tasks: MockedTasks,
    now: Mutex<Timestamp>,
    /// Number of tasks that this host runs at the moment.
    busy: AtomicUsize,
    idle: Notify,
}

/// A task that this host runs, until the value is dropped.
struct Busy<'m>(&'m Mocks);

impl Mocks {
    pub(super) fn new(tasks: MockedTasks) -> Self {
        Self { tasks, now: Mutex::new(clock::now()), busy: AtomicUsize::new(0), idle: Notify::new() }
    }

    /// Virtual time stops while this host runs a task.
    async fn pass(&self, due: Timestamp) {
        loop {
            let idle = self.idle.notified();
            if self.busy.load(Ordering::SeqCst) == 0 {
                let mut now = locked(&self.now);
                *now = due.max(*now);
                return;
            }
            idle.await;
        }
    }
}

impl<'m> Busy<'m> {
    fn on(mocks: Option<&'m Mocks>) -> Option<Self> {
        let mocks = mocks?;
        mocks.busy.fetch_add(1, Ordering::SeqCst);
        Some(Self(mocks))
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
        self.0.idle.notify_waiters();
    }
}

impl Bench {
    fn tasks(&self) -> Option<&MockedTasks> {
        self.mocks.as_ref().map(|mocks| &mocks.tasks)
    }

    /// This host, for a state without a mock.
    fn host(&self, state: &str, resource: &str) -> Result<&Runner, Failure> {
        let refused = |why: &str| {
            let cause =
                format!("The state '{state}' is not mocked and cannot be run here: '{resource}': {why}");
            Failure::new(reserved::RUNTIME, cause)
        };
        match (unanswered(resource), &self.host) {
            (None, Some(host)) => Ok(host),
            (Some(why), _) => Err(refused(&why)),
            (None, None) => Err(refused("this run opened no data folder, so it can call no function")),
        }
    }
}

impl TaskRunner for Bench {
    fn check(&self, resource: &str) -> Result<(), String> {
        check_resource(resource, functions::find)
    }

    async fn run(&self, task: TaskRequest) -> Result<Value, Failure> {
        if let Some(answer) = self.tasks().and_then(|tasks| tasks.run(&task)) {
            return answer;
        }
        let _busy = Busy::on(self.mocks.as_ref());
        self.host(&task.state, &task.resource)?.run(task).await
    }

    async fn watch(&self, task: TaskRequest) -> Result<Value, Failure> {
        match self.tasks().and_then(|tasks| tasks.answer(&task.state)) {
            Some(answer) => answer,
            None => self.host(&task.state, &task.resource)?.watch(task).await,
        }
    }

    async fn read_items(&self, source: ItemSource) -> Result<Items, Failure> {
        match self.tasks().and_then(|tasks| tasks.items(&source)) {
            Some(items) => items,
            None => self.host(&source.state, &source.resource)?.read_items(source).await,
        }
    }

    async fn write_results(&self, results: ResultFiles) -> Result<(), Failure> {
        if self.tasks().is_some_and(|tasks| tasks.has(&results.state)) {
            return Ok(());
        }
        self.host(&results.state, &results.resource)?.write_results(results).await
    }

    async fn sleep_until(&self, due: Timestamp) {
        match &self.mocks {
            Some(mocks) => mocks.pass(due).await,
            None => {
                let left = due.duration_since(clock::now());
                tokio::time::sleep(left.try_into().unwrap_or_default()).await;
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.mocks.as_ref().map_or_else(clock::now, |mocks| *locked(&mocks.now))
    }

    fn history(&self, event: &HistoryEvent) {
        locked(&self.events).push(event.clone());
    }
}

/// A panic leaves the value behind a lock consistent, because each change of it is a single step.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
