//! The services that all executions share: storage, the template, functions, and limits.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
};

use futures::future::BoxFuture;
use kernel::Objects;
use sqlite_store::{SqliteStore, queues::LocalQueue};
use states::{MockFile, Problems};
use template::{Machine, Template};
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};
use tracing::Instrument;

use crate::{
    functions::{Function, Functions},
    machines::{Machines, StoredMachine},
    resource::check_resource,
};

/// The most bytes of records in nested executions at once: a step has the records of its chunk in memory several times.
const MAX_NESTED_BYTES: usize = 12 * 1024 * 1024;
/// The unit in which these bytes are counted.
const NESTED_UNIT: usize = 64 * 1024;

/// The host: its storage, and all that this crate cannot know.
#[derive(Clone)]
pub struct Host {
    /// The tables.
    pub store: SqliteStore,
    /// The queues.
    pub queue: LocalQueue,
    /// The objects.
    pub objects: Objects,
    /// The functions that tasks may call.
    pub functions: Functions,
    /// The bytes of records of an execution with this input.
    pub bytes_of: fn(&str) -> u64,
    /// Called when an execution of the template has succeeded, or cannot be redriven any more: its working files may be
    /// deleted.
    pub on_end: OnEnd,
    /// The largest number of functions that compute at once.
    pub cores: usize,
}

/// An execution that has ended, as it was started.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its name.
    pub name: String,
    /// Its input, as JSON.
    pub input: String,
}

/// The hook for the end of an execution.
pub type OnEnd = Arc<dyn Fn(Finished) -> BoxFuture<'static, ()> + Send + Sync>;

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}

/// The services of executions.
#[derive(Clone, Debug)]
pub struct Services {
    /// The host.
    pub host: Host,
    /// The template.
    pub template: Arc<Template>,
    /// As many functions at once as there are cores.
    permits: Arc<Semaphore>,
    /// The template's machines, and those made at run time.
    pub machines: Machines,
    /// Limits nested executions: the chunks ahead reach the store while others are read.
    nested: Arc<Semaphore>,
    /// Limits the bytes of their records, in [`NESTED_UNIT`].
    nested_bytes: Arc<Semaphore>,
    /// How many machines within machines have ended since the start: chunks of batches.
    pub chunks_done: Arc<AtomicU64>,
    /// The test cases that executions may be started with.
    pub(crate) mock_file: Arc<MockFile>,
}

impl Services {
    /// On a host, with the machines of a template.
    pub fn new(host: Host, template: Template) -> Self {
        let cores = host.cores;
        Self {
            machines: Machines::new(host.store.clone()),
            host,
            template: Arc::new(template),
            permits: Arc::new(Semaphore::new(cores)),
            nested: Arc::new(Semaphore::new(2 * cores)),
            nested_bytes: Arc::new(Semaphore::new(MAX_NESTED_BYTES / NESTED_UNIT)),
            chunks_done: Arc::default(),
            mock_file: Arc::default(),
        }
    }

    /// The same with a mock configuration file.
    pub fn with_mock_file(self, file: MockFile) -> Self {
        Self { mock_file: Arc::new(file), ..self }
    }

    /// Whether this host can run a resource for a machine. A machine with test cases in the mock configuration file may
    /// name any resource: a task without a mock fails when it runs.
    pub(crate) fn check_resource(&self, machine: &str, resource: &str) -> Result<(), String> {
        let is_mocked = self.mock_file.machines().any(|mocked| mocked == machine);
        if is_mocked { Ok(()) } else { check_resource(resource, self.host.functions.find) }
    }

    /// The machine with this ARN, in its latest revision.
    pub(crate) fn machine(&self, arn: &str) -> Option<Arc<Machine>> {
        let made = || self.ready(&self.machines.find(arn).ok()??).ok();
        self.template.machine(arn).cloned().or_else(made)
    }

    /// Waits until a nested execution with this many bytes of records may run. An execution that is larger than the
    /// limit runs alone.
    pub(crate) async fn nest(&self, bytes: u64) -> Result<[SemaphorePermit<'_>; 2], AcquireError> {
        let units = usize::try_from(bytes).unwrap_or(usize::MAX).min(MAX_NESTED_BYTES) / NESTED_UNIT;
        let one = self.nested.acquire().await?;
        let room = self.nested_bytes.acquire_many(u32::try_from(units).unwrap_or(u32::MAX)).await?;
        Ok([one, room])
    }

    /// A stored machine, ready to run. Its definition was valid when it was stored; a later version of crmflow, or a
    /// server without its mocks, may refuse it.
    pub(crate) fn ready(&self, stored: &StoredMachine) -> Result<Arc<Machine>, Problems> {
        self.machines.ready(stored, &|resource| self.check_resource(&stored.name, resource))
    }

    /// Calls one function, on a thread where it may compute as long as it needs.
    pub async fn call(&self, function: Function, input: Vec<u8>) -> Result<Vec<u8>, kernel::Error> {
        let span = tracing::info_span!("function", name = function.name);
        let call = (self.host.functions.call)(function, input).instrument(span);
        if !function.is_blocking {
            return call.await;
        }
        let stopping = || kernel::Error::StorageUnavailable("crmflow is stopping".into());
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| stopping())?;
        let runtime = tokio::runtime::Handle::current();
        let called = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            runtime.block_on(call)
        });
        called.await.map_err(|_| stopping())?
    }
}
