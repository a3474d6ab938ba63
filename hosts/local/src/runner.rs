//! Runs what a state machine asks for: crmflow's functions, and machines within machines.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use functions::{Function, Host, function};
use jiff::Timestamp;
use serde_json::json;
use states::{
    Entry, Failure, HistoryEvent, ItemSource, Items, NotRecorded, Outcome, Pattern, ResultFiles, TaskRequest,
    TaskRunner, Value,
};
use tokio::sync::Semaphore;
use tracing::Instrument;

use crate::{
    clock,
    executions::{Executions, Job, Journal, Open, parts},
    items,
    machines::Machines,
    sqlite::SqliteStore,
    wiring::{self, Machine, Wiring},
};

/// What executions run on.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    pub(crate) host: Host<SqliteStore>,
    pub(crate) wiring: Arc<Wiring>,
    /// As many functions at once as there are cores.
    permits: Arc<Semaphore>,
    /// The template's machines, and those made at run time.
    pub(crate) machines: Machines,
    /// A few machines within machines at once: chunks that are ahead reach the store while others are read.
    nested: Arc<Semaphore>,
    /// How many machines within machines have ended since the start: chunks of batches.
    pub(crate) chunks_done: Arc<AtomicU64>,
}

impl Engine {
    pub(crate) fn new(host: Host<SqliteStore>, wiring: Wiring) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            machines: Machines::new(host.store.clone()),
            host,
            wiring: Arc::new(wiring),
            permits: Arc::new(Semaphore::new(cores)),
            nested: Arc::new(Semaphore::new(2 * cores)),
            chunks_done: Arc::default(),
        }
    }

    /// The machine with this ARN, in its latest revision.
    pub(crate) fn machine(&self, arn: &str) -> Option<Arc<Machine>> {
        let made = || self.machines.ready(&self.machines.find(arn).ok()??).ok();
        self.wiring.machine(arn).cloned().or_else(made)
    }

    /// Calls one function, on a thread where it may compute as long as it needs.
    pub(crate) async fn call(&self, function: Function, input: Vec<u8>) -> Result<Vec<u8>, functions::Error> {
        let stopping = || functions::Error::StorageUnavailable("crmflow is stopping".into());
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| stopping())?;
        let host = self.host.clone();
        let runtime = tokio::runtime::Handle::current();
        let span = tracing::info_span!("function", name = function.name());
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
}

impl TaskRunner for Runner {
    fn check(&self, resource: &str) -> Result<(), String> {
        wiring::check_resource(resource)
    }

    async fn run(&self, task: TaskRequest) -> Result<Value, Failure> {
        let open = task.token.as_ref().map(|token| self.executions.tokens().open(token));
        let result = match wiring::function(&task.resource) {
            _ if task.pattern == Pattern::Activity => self.offer(&task).await,
            Some(function) => self.call(function, &task.arguments).await,
            None => self.run_machine(&task.arguments).await,
        };
        // A task that is under way is watched next, and waits all the time.
        open.filter(|_| result.is_ok()).into_iter().for_each(Open::leave);
        result
    }

    /// The result comes from whoever has the token.
    async fn watch(&self, task: TaskRequest) -> Result<Value, Failure> {
        let _open = task.token.as_ref().map(|token| self.executions.tokens().open(token));
        pending().await
    }

    async fn read_items(&self, source: ItemSource) -> Result<Items, Failure> {
        items::read(&self.executions.engine.host.objects, source).await
    }

    async fn write_results(&self, results: ResultFiles) -> Result<(), Failure> {
        items::write(&self.executions.engine.host.objects, results).await
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
        match &self.journal {
            Some(journal) => journal.record(entry, outcome).await,
            None => Ok(()),
        }
    }
}

impl Runner {
    async fn call(&self, function: Function, arguments: &Value) -> Result<Value, Failure> {
        let input = serde_json::to_vec(arguments)
            .map_err(|error| Failure::new("States.Runtime", error.to_string()))?;
        let output =
            self.executions.engine.call(function, input).await.map_err(|error| failed(function, &error))?;
        serde_json::from_slice(&output).map_err(|error| Failure::new("States.Runtime", error.to_string()))
    }

    /// Offers the task of an activity until a worker takes it; gives the worker's name.
    async fn offer(&self, task: &TaskRequest) -> Result<Value, Failure> {
        let token = task.token.as_ref().map(ToString::to_string).unwrap_or_default();
        let job = Job { token, input: task.arguments.to_string() };
        let worker = self.executions.work().offer(&task.resource, job).await;
        Ok(worker.map_or(Value::Null, Value::string))
    }

    /// `StartSyncExecution`: runs an EXPRESS machine and says how it ended, which is no failure of the call.
    async fn run_machine(&self, arguments: &Value) -> Result<Value, Failure> {
        let text = |name: &str| arguments.get(name).and_then(Value::as_str);
        let refused = |why: &str| Failure::new("Sfn.SfnException", why);
        let machine = text("StateMachineArn").and_then(|arn| self.executions.engine.machine(arn));
        let machine = machine
            .filter(|machine| machine.express)
            .ok_or_else(|| refused("there is no such EXPRESS machine"))?;
        let input = text("Input").unwrap_or("{}").to_owned();
        let name = text("Name").map_or_else(|| ulid::Ulid::generate().to_string(), ToOwned::to_owned);
        let _permit =
            self.executions.engine.nested.acquire().await.map_err(|_| refused("crmflow is stopping"))?;
        let ended = self.executions.run_express(&machine, &name, input).await;
        self.executions.engine.chunks_done.fetch_add(1, Ordering::Relaxed);
        let (status, output, error, cause) = parts(&ended.outcome);
        let answer = json!({
            "ExecutionArn": ended.arn,
            "StateMachineArn": machine.arn(),
            "Name": name,
            "StartDate": ended.started_at.to_string(),
            "StopDate": ended.stopped_at.to_string(),
            "Status": status.name(),
            "Output": output,
            "Error": error,
            "Cause": cause,
        });
        Value::parse(&answer.to_string()).map_err(|error| Failure::new("States.Runtime", error.to_string()))
    }
}

/// What Lambda says of a failed function, so that a machine catches the same here and there. It is logged
/// here, once: a machine that catches it goes on.
fn failed(function: Function, error: &functions::Error) -> Failure {
    tracing::error!(
        function.name = function.name(),
        error.name = error.name(),
        "{} failed: {error}",
        function.name()
    );
    let cause = json!({ "errorType": error.name(), "errorMessage": error.to_string() });
    Failure::new(error.name(), cause.to_string())
}
