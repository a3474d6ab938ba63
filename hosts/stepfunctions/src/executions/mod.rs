//! Executions: started, stored, run to their end, resumed after a crash, and listed.
//!
//! A STANDARD execution is a row with its start, and a journal of its inputs. A step is in the journal before anything
//! follows from it, so a replay rebuilds the execution after a crash. Nothing of an EXPRESS execution is stored: its
//! caller starts it again.

mod activity_queue;
mod children;
mod definitions;
mod express;
mod history;
mod journal;
mod journal_acks;
mod map_runs;
mod resume;
mod row;
mod runner;
mod running;
mod start;
mod tokens;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use jiff::Timestamp;
use kernel::store::StoreError;
use rusqlite::Connection;
use sqlite_store::Readers;
use states::{Failure, HistoryEvent, Input, Outcome, Start, drive_with};

pub(crate) use activity_queue::{ActivityQueue, ActivityTask};
pub(crate) use children::Child;
pub use definitions::Definitions;
pub use express::Ended;
pub use history::history;
pub(crate) use journal::Journal;
pub use resume::RedriveError;
pub use row::{Execution, ListFilter, Status, parts};
pub use runner::Runner;
pub use start::{StartError, Started};
pub(crate) use tokens::{OpenToken, TokenError, Tokens};

use crate::{
    mocks::MockedTasks,
    services::{Finished, Services},
};

/// AWS's limit for the history of a STANDARD execution.
const MAX_EVENTS: u64 = 25_000;

/// The delay before a run is resumed whose step could not be stored.
const STORAGE_RETRY_DELAY: Duration = Duration::from_secs(10);

/// Every execution on this machine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Executions {
    /// The services that executions share.
    pub services: Services,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    running: running::Running,
    definitions: definitions::Definitions,
    tokens: Tokens,
    activities: ActivityQueue,
    /// Executions that are not resumed until they are released, by ARN.
    suspended: Mutex<HashSet<String>>,
}

impl Executions {
    /// The executions of a host, which run on this.
    pub fn new(services: Services) -> Self {
        Self { services, shared: Arc::default() }
    }

    /// Stops an execution; gives when it ended, by this or before. `None`: there is none with this ARN.
    pub(crate) async fn stop(&self, arn: &str, why: Failure) -> Result<Option<Timestamp>, StoreError> {
        if self.suspended().contains(arn)
            && let Some(execution) = self.find(arn)?
        {
            self.stop_idle(execution, why).await?;
            self.release(arn);
        } else if self.send(arn, Input::Stop(why)) {
            self.shared.running.wait_for_end(arn).await;
        }
        match self.find(arn)? {
            Some(execution) if execution.status == Status::Running => Err(not_running_here(arn)),
            execution => Ok(execution.and_then(|execution| execution.stopped_at)),
        }
    }

    /// Suspends executions: they are not resumed until they are released.
    pub fn suspend(&self, arns: HashSet<String>) {
        self.suspended().extend(arns);
    }

    /// Releases an execution: it may be resumed.
    pub fn release(&self, arn: &str) {
        self.suspended().remove(arn);
    }

    fn suspended(&self) -> MutexGuard<'_, HashSet<String>> {
        // No holder of the lock panics between two changes that belong together.
        self.shared.suspended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an execution is being worked on here.
    pub fn is_running(&self, arn: &str) -> bool {
        self.shared.running.contains(arn)
    }

    /// The executions that have not ended, oldest first.
    pub fn running(&self) -> Result<Vec<Execution>, StoreError> {
        self.services.host.store.readers.with(row::running)
    }

    /// Sends an input to a running execution; `false`: it does not run here.
    pub(crate) fn send(&self, arn: &str, input: Input) -> bool {
        self.shared.running.send(arn, input)
    }

    /// Sends an input to a running execution, and waits until its journal has it; `false`: it does not run here, or
    /// ended before.
    pub(crate) async fn send_and_journal(&self, arn: &str, input: Input) -> bool {
        self.shared.running.send_and_journal(arn, input).await
    }

    /// The tokens of tasks that wait.
    pub(crate) fn tokens(&self) -> &Tokens {
        &self.shared.tokens
    }

    /// The tasks of activities.
    pub(crate) fn activities(&self) -> &ActivityQueue {
        &self.shared.activities
    }

    /// Waits until an execution has ended, and gives it as it is then.
    pub async fn ended(&self, arn: &str) -> Result<Option<Execution>, StoreError> {
        self.shared.running.wait_for_end(arn).await;
        self.find(arn)
    }

    /// The execution with this ARN.
    pub fn find(&self, arn: &str) -> Result<Option<Execution>, StoreError> {
        find(&self.services.host.store.readers, arn)
    }

    /// The latest executions, newest first.
    pub(crate) fn list(&self, filter: &ListFilter) -> Result<Vec<Execution>, StoreError> {
        list(&self.services.host.store.readers, filter)
    }

    /// The events of an execution so far, or of a child of one of its Map runs.
    pub(crate) fn history(&self, arn: &str) -> Result<Option<Vec<HistoryEvent>>, StoreError> {
        history(&self.services.host.store.readers, &self.shared.definitions, arn)
    }

    /// Runs what was begun, unless its first step was its last.
    fn spawn(
        &self,
        execution: Execution,
        run: states::Execution,
        lines: i64,
        mocks: Option<Arc<MockedTasks>>,
    ) {
        let arn: Arc<str> = execution.arn.as_str().into();
        if run.outcome().is_some() {
            return;
        }
        if let Some(guard) = self.shared.running.insert(Arc::clone(&arn)) {
            tokio::spawn(self.clone().run(execution, run, lines, guard, mocks));
        }
    }

    /// Boxed, since an execution may start another.
    fn run(
        self,
        execution: Execution,
        run: states::Execution,
        lines: i64,
        guard: running::RunGuard,
        mocks: Option<Arc<MockedTasks>>,
    ) -> BoxFuture<'static, ()> {
        let arn = execution.arn.clone();
        let ours = self.services.template.machine(&execution.machine_arn).is_some();
        let writer = Arc::clone(&self.services.host.store.writer);
        async move {
            let running::RunGuard { inputs, acks, end: _ended } = guard;
            let journal = Some(Journal::new(writer, lines, execution, acks));
            let runner = Runner::new(self.clone(), journal).with_mocks(mocks);
            match drive_with(run, &runner, inputs).await {
                Ok(outcome) => {
                    let status = parts(&outcome).0.name();
                    tracing::info!(execution.arn = arn, status, "execution {arn} ended: {status}");
                    // One that failed may be redriven, and needs its files then.
                    if ours && matches!(outcome, Outcome::Succeeded(_)) {
                        self.finish(&runner).await;
                    }
                }
                Err(error) => {
                    tracing::error!(execution.arn = arn, "{arn} goes on when storage is back: {error}");
                    tokio::spawn(self.clone().retry_later(arn.clone()));
                }
            }
            self.shared.running.remove(&arn);
        }
        .boxed()
    }

    /// Calls the host's hook for the end of an execution.
    async fn finish(&self, runner: &Runner) {
        let execution = runner.journal.as_ref().and_then(Journal::execution);
        if let Some(Execution { name, input, .. }) = execution {
            (self.services.host.on_end)(Finished { name, input }).await;
        }
    }

    /// Resumes a run whose step could not be stored: rebuilds it from its journal until that succeeds.
    fn retry_later(self, arn: String) -> BoxFuture<'static, ()> {
        async move {
            loop {
                tokio::time::sleep(STORAGE_RETRY_DELAY).await;
                match self.find(&arn) {
                    Ok(Some(execution)) if execution.status == Status::Running => {
                        if self.resume_one(execution).await.is_ok() {
                            return;
                        }
                    }
                    Ok(_) => return,
                    Err(_) => {}
                }
            }
        }
        .boxed()
    }
}

/// The error for an input to a run that has not ended: a step of it could not be stored, and it is resumed later.
fn not_running_here(arn: &str) -> StoreError {
    StoreError::Unavailable(format!("{arn} waits until its journal can be written; try again in a moment"))
}

/// The execution with this ARN.
pub fn find(readers: &Readers, arn: &str) -> Result<Option<Execution>, StoreError> {
    readers.with(|connection| row::one(connection, arn))
}

/// The latest executions, newest first.
pub fn list(readers: &Readers, filter: &ListFilter) -> Result<Vec<Execution>, StoreError> {
    readers.with(|connection| row::list(connection, filter))
}

/// Deletes every execution of a machine.
pub fn delete(connection: &Connection, machine_arn: &str) -> rusqlite::Result<()> {
    row::delete(connection, machine_arn)
}

/// The start of an execution for the engine: the same at each replay.
fn about(execution: &Execution) -> Start {
    let machine = &execution.machine_arn;
    Start {
        execution_id: execution.arn.as_str().into(),
        execution_name: execution.name.as_str().into(),
        machine_id: machine.as_str().into(),
        machine_name: machine.rsplit(':').next().unwrap_or(machine).into(),
        role: execution.role.as_deref().map(Arc::from),
        seed: execution.seed,
        history_limit: Some(MAX_EVENTS),
    }
}
