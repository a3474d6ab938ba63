//! The task runner of one execution.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use states::{
    Entry, Failure, HistoryEvent, ItemSource, Items, NotRecorded, Outcome, ResultFiles, TaskRequest,
    TaskRunner, Value,
};

use super::{Executions, Journal, OpenToken};
use crate::{clock, integrations, items::Buckets, mocks::MockedTasks, resource::check_resource};

/// The task runner of one execution.
pub struct Runner {
    pub(crate) executions: Executions,
    /// Of a STANDARD execution.
    pub(crate) journal: Option<Journal>,
    /// Whether a step could not be stored. The run is resumed at the next start, so the executions that it waits for
    /// must not be stopped.
    pub(crate) journal_failed: AtomicBool,
    /// The mocks of its tasks.
    mocks: Option<Arc<MockedTasks>>,
}

impl Runner {
    /// A runner without a journal: for a run in memory, or of another driver.
    pub fn unkept(executions: Executions) -> Self {
        Self::new(executions, None)
    }

    /// A runner that records the steps in this journal, if there is one.
    pub fn new(executions: Executions, journal: Option<Journal>) -> Self {
        Self { executions, journal, journal_failed: AtomicBool::new(false), mocks: None }
    }

    /// The same with a test case, if there is one.
    pub(crate) fn with_mocks(self, mocks: Option<Arc<MockedTasks>>) -> Self {
        Self { mocks, ..self }
    }

    fn buckets<'h>(&'h self, has: &'h (dyn Fn(&str) -> bool + Sync)) -> Buckets<'h> {
        Buckets { objects: &self.executions.services.host.objects, has }
    }
}

impl TaskRunner for Runner {
    fn check(&self, resource: &str) -> Result<(), String> {
        check_resource(resource, self.executions.services.host.functions.find)
    }

    async fn run(&self, task: TaskRequest) -> Result<Value, Failure> {
        if let Some(answer) = self.mocks.as_ref().and_then(|mocks| mocks.run(&task)) {
            return answer;
        }
        let open = task.token.as_ref().map(|token| self.executions.tokens().open(token));
        let result = integrations::run(&task, self).await;
        // A task that is under way is watched next, and waits all the time.
        open.filter(|_| result.is_ok()).into_iter().for_each(OpenToken::stay_open);
        result
    }

    async fn watch(&self, task: TaskRequest) -> Result<Value, Failure> {
        if let Some(answer) = self.mocks.as_ref().and_then(|mocks| mocks.answer(&task.state)) {
            return answer;
        }
        let _open = task.token.as_ref().map(|token| self.executions.tokens().open(token));
        integrations::watch(&task, self).await
    }

    async fn read_items(&self, source: ItemSource) -> Result<Items, Failure> {
        if let Some(items) = self.mocks.as_ref().and_then(|mocks| mocks.items(&source)) {
            return items;
        }
        self.buckets(&|name| self.executions.services.template.is_bucket(name)).read(source).await
    }

    async fn write_results(&self, results: ResultFiles) -> Result<(), Failure> {
        if self.mocks.as_ref().is_some_and(|mocks| mocks.has(&results.state)) {
            return Ok(());
        }
        self.buckets(&|name| self.executions.services.template.is_bucket(name)).write(results).await
    }

    async fn sleep_until(&self, due: Timestamp) {
        let left = due.duration_since(clock::now());
        tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await;
    }

    fn now(&self) -> Timestamp {
        clock::now()
    }

    /// Not recorded: a replay of the journal makes the history.
    fn history(&self, _event: &HistoryEvent) {}

    async fn record(&self, entry: &Entry, outcome: Option<&Outcome>) -> Result<(), NotRecorded> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let recorded = journal.record(entry, outcome).await;
        self.journal_failed.store(recorded.is_err(), Ordering::Relaxed);
        recorded
    }
}
