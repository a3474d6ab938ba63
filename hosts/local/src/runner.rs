//! What executions run on: the engine that all share, and the runner that each has.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use delivery::worker::Courier;
use jiff::Timestamp;
use registry::{Function, Host, function};
use sqlite_store::{SqliteStore, queues::LocalQueue};
use states::{
    Entry, Failure, HistoryEvent, ItemSource, Items, MockFile, NotRecorded, Outcome, Problems, ResultFiles,
    TaskRequest, TaskRunner, Value,
};
use template::{Machine, Wiring};
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};
use tracing::Instrument;

use crate::{
    clock, couriers,
    executions::{Executions, Journal, Open},
    items::Buckets,
    machines::{Kept, Machines},
    mocks::MockedTasks,
    resources, scarce,
};

/// So many bytes of records are in machines within machines at once: a step holds those of its chunk several times over.
const MAX_NESTED_BYTES: usize = 12 * 1024 * 1024;
/// They are counted in pieces of so many bytes.
const NESTED_UNIT: usize = 64 * 1024;

/// What executions run on.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    pub(crate) host: Host<SqliteStore, LocalQueue>,
    pub(crate) wiring: Arc<Wiring>,
    /// Sends what lies in the lanes.
    pub(crate) courier: Courier<SqliteStore, LocalQueue>,
    /// As many functions at once as there are cores.
    permits: Arc<Semaphore>,
    /// The template's machines, and those made at run time.
    pub(crate) machines: Machines,
    /// A few machines within machines at once: chunks that are ahead reach the store while others are read.
    nested: Arc<Semaphore>,
    /// How many bytes of records they may have, in [`NESTED_UNIT`].
    nested_bytes: Arc<Semaphore>,
    /// How many machines within machines have ended since the start: chunks of batches.
    pub(crate) chunks_done: Arc<AtomicU64>,
    /// The test cases that executions may be started with.
    pub(crate) mock_file: Arc<MockFile>,
}

impl Engine {
    pub(crate) fn new(host: Host<SqliteStore, LocalQueue>, wiring: Wiring) -> Self {
        let cores = scarce::cores();
        Self {
            machines: Machines::new(host.store.clone()),
            courier: couriers::courier(&host),
            host,
            wiring: Arc::new(wiring),
            permits: Arc::new(Semaphore::new(cores)),
            nested: Arc::new(Semaphore::new(2 * cores)),
            nested_bytes: Arc::new(Semaphore::new(MAX_NESTED_BYTES / NESTED_UNIT)),
            chunks_done: Arc::default(),
            mock_file: Arc::default(),
        }
    }

    /// The same with a mock configuration file.
    pub(crate) fn with_mock_file(self, file: MockFile) -> Self {
        Self { mock_file: Arc::new(file), ..self }
    }

    /// Whether this host can run a resource for a machine. What a mock configuration file has test cases for may name
    /// any resource: a task that no mock answers fails when it is run.
    pub(crate) fn check_resource(&self, machine: &str, resource: &str) -> Result<(), String> {
        let is_mocked = self.mock_file.machines().any(|mocked| mocked == machine);
        if is_mocked { Ok(()) } else { resources::check_resource(resource) }
    }

    /// The machine with this ARN, in its latest revision.
    pub(crate) fn machine(&self, arn: &str) -> Option<Arc<Machine>> {
        let made = || self.ready(&self.machines.find(arn).ok()??).ok();
        self.wiring.machine(arn).cloned().or_else(made)
    }

    /// Waits until a machine within a machine may run on records of so many bytes. What is more than all that may run
    /// at once runs by itself.
    pub(crate) async fn nest(&self, bytes: u64) -> Result<[SemaphorePermit<'_>; 2], AcquireError> {
        let units = usize::try_from(bytes).unwrap_or(usize::MAX).min(MAX_NESTED_BYTES) / NESTED_UNIT;
        let one = self.nested.acquire().await?;
        let room = self.nested_bytes.acquire_many(u32::try_from(units).unwrap_or(u32::MAX)).await?;
        Ok([one, room])
    }

    /// A kept machine, ready to run. Its definition was sound when it was kept; a later version of crmflow, or a
    /// server without its mocks, may think otherwise.
    pub(crate) fn ready(&self, kept: &Kept) -> Result<Arc<Machine>, Problems> {
        self.machines.ready(kept, &|resource| self.check_resource(&kept.name, resource))
    }

    /// Calls one function, on a thread where it may compute as long as it needs.
    pub(crate) async fn call(&self, function: Function, input: Vec<u8>) -> Result<Vec<u8>, kernel::Error> {
        let span = tracing::info_span!("function", name = function.name());
        if function == Function::TestDestination {
            // It waits for somebody else, and computes next to nothing.
            return function::call(function, &input, &self.host, clock::now()).instrument(span).await;
        }
        let stopping = || kernel::Error::StorageUnavailable("crmflow is stopping".into());
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| stopping())?;
        let host = self.host.clone();
        let runtime = tokio::runtime::Handle::current();
        let called = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            runtime.block_on(function::call(function, &input, &host, clock::now()).instrument(span))
        });
        called.await.map_err(|_| stopping())?
    }
}

/// What one execution runs on.
pub(crate) struct Runner {
    pub(crate) executions: Executions,
    /// Of a STANDARD execution.
    pub(crate) journal: Option<Journal>,
    /// Whether a step could not be kept. The run goes on at the next start, and so must what it waits for.
    pub(crate) is_adrift: AtomicBool,
    /// What is answered in the place of its tasks.
    mocks: Option<Arc<MockedTasks>>,
}

impl Runner {
    pub(crate) fn new(executions: Executions, journal: Option<Journal>) -> Self {
        Self { executions, journal, is_adrift: AtomicBool::new(false), mocks: None }
    }

    /// The same with a test case, if there is one.
    pub(crate) fn with_mocks(self, mocks: Option<Arc<MockedTasks>>) -> Self {
        Self { mocks, ..self }
    }

    fn buckets<'h>(&'h self, has: &'h (dyn Fn(&str) -> bool + Sync)) -> Buckets<'h> {
        Buckets { objects: &self.executions.engine.host.objects, has }
    }
}

impl TaskRunner for Runner {
    fn check(&self, resource: &str) -> Result<(), String> {
        resources::check_resource(resource)
    }

    async fn run(&self, task: TaskRequest) -> Result<Value, Failure> {
        if let Some(answer) = self.mocks.as_ref().and_then(|mocks| mocks.run(&task)) {
            return answer;
        }
        let open = task.token.as_ref().map(|token| self.executions.tokens().open(token));
        let result = resources::run(&task, self).await;
        // A task that is under way is watched next, and waits all the time.
        open.filter(|_| result.is_ok()).into_iter().for_each(Open::leave);
        result
    }

    async fn watch(&self, task: TaskRequest) -> Result<Value, Failure> {
        if let Some(answer) = self.mocks.as_ref().and_then(|mocks| mocks.answer(&task.state)) {
            return answer;
        }
        let _open = task.token.as_ref().map(|token| self.executions.tokens().open(token));
        resources::watch(&task, self).await
    }

    async fn read_items(&self, source: ItemSource) -> Result<Items, Failure> {
        if let Some(items) = self.mocks.as_ref().and_then(|mocks| mocks.items(&source)) {
            return items;
        }
        self.buckets(&|name| self.executions.engine.wiring.is_bucket(name)).read(source).await
    }

    async fn write_results(&self, results: ResultFiles) -> Result<(), Failure> {
        if self.mocks.as_ref().is_some_and(|mocks| mocks.has(&results.state)) {
            return Ok(());
        }
        self.buckets(&|name| self.executions.engine.wiring.is_bucket(name)).write(results).await
    }

    async fn sleep_until(&self, due: Timestamp) {
        let left = due.duration_since(clock::now());
        tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await;
    }

    fn now(&self) -> Timestamp {
        clock::now()
    }

    /// Nobody listens: replaying the journal tells it.
    fn history(&self, _event: &HistoryEvent) {}

    async fn record(&self, entry: &Entry, outcome: Option<&Outcome>) -> Result<(), NotRecorded> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let recorded = journal.record(entry, outcome).await;
        self.is_adrift.store(recorded.is_err(), Ordering::Relaxed);
        recorded
    }
}
