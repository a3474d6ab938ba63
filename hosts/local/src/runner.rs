//! Runs what a state machine asks for: crmflow's functions, and machines within machines.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use functions::{Function, Host, function};
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::json;
use states::{
    Execution, Failure, HistoryEvent, ItemFormat, ItemSource, Items, ObjectSet, Outcome, Start, StateTest,
    TaskRequest, TaskRunner, TestStateAnswer, TestStateError, Value, drive, drive_test, reserved,
};
use tokio::sync::Semaphore;
use tracing::Instrument;

use crate::{
    clock,
    machines::Machines,
    resources::{self, Resource},
    sqlite::SqliteStore,
    wiring::{self, Machine, Wiring},
};

/// What executions run on.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    pub(crate) host: Host<SqliteStore>,
    pub(crate) wiring: Arc<Wiring>,
    /// The template's machines, and those made at run time.
    pub(crate) machines: Machines,
    /// As many functions at once as there are cores.
    permits: Arc<Semaphore>,
    /// A few machines within machines at once: chunks that are ahead reach the store while others are read.
    nested: Arc<Semaphore>,
    /// How many machines within machines have ended since the start: chunks of batches.
    pub(crate) chunks_done: Arc<AtomicU64>,
}

/// How an execution went.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    /// Its events.
    pub(crate) history: Vec<HistoryEvent>,
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

    /// The machine with this name.
    pub(crate) fn machine(&self, name: &str) -> Option<Arc<Machine>> {
        let made = || {
            let kept = self.machines.find(&wiring::machine_arn(name)).ok()??;
            self.machines.ready(&kept).ok()
        };
        self.wiring.machine(name).cloned().or_else(made)
    }

    /// Runs a machine to its end. Boxed, since a machine may run another.
    pub(crate) fn run<'a>(
        &'a self,
        machine: &'a Machine,
        name: &str,
        input: Value,
        started_at: Timestamp,
    ) -> BoxFuture<'a, Ended> {
        #[expect(clippy::cast_possible_truncation, reason = "a seed needs no more than 64 bits")]
        let mut start = Start::named(&machine.name, name, clock::random() as u64);
        let arn: Arc<str> = wiring::execution_arn(&machine.name, name).into();
        start.execution_id = Arc::clone(&arn);
        start.machine_id = machine.arn().into();
        start.role = Some(Arc::clone(&machine.role));
        let execution = Execution::start(Arc::clone(&machine.machine), start, input, started_at);
        Box::pin(async move {
            let runner = Runner { engine: self, arn, events: Mutex::default() };
            let outcome = drive(execution, &runner).await;
            let outcome = outcome
                .unwrap_or_else(|error| Outcome::Failed(Failure::new("States.Runtime", error.to_string())));
            Ended { outcome, history: runner.events.into_inner().unwrap_or_default() }
        })
    }

    /// Takes the test of one state to its end.
    pub(crate) async fn test(&self, test: StateTest) -> Result<TestStateAnswer, TestStateError> {
        let runner = Runner { engine: self, arn: Arc::from(""), events: Mutex::default() };
        drive_test(test, &runner).await
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

struct Runner<'a> {
    engine: &'a Engine,
    /// The execution's ARN.
    arn: Arc<str>,
    events: Mutex<Vec<HistoryEvent>>,
}

impl TaskRunner for Runner<'_> {
    fn check(&self, resource: &str) -> Result<(), String> {
        wiring::check_resource(resource)
    }

    async fn run(&self, task: TaskRequest) -> Result<Value, Failure> {
        let unknown = |why| Failure::new(reserved::RUNTIME, why);
        let resource = Resource::parse(&task.resource).map_err(unknown)?;
        resources::run(resource, &task, self.engine).await
    }

    async fn read_items(&self, source: ItemSource) -> Result<Items, Failure> {
        let unreadable = |why: String| Failure::new("States.ItemReaderFailed", why);
        if source.format != ItemFormat::JsonLines || source.objects != ObjectSet::Named {
            return Err(unreadable("this host reads items from JSONL".into()));
        }
        let key = source.arguments.get("Key").and_then(Value::as_str).unwrap_or_default();
        let bytes = self.engine.host.objects.get(key).await.map_err(|error| unreadable(error.to_string()))?;
        let text = std::str::from_utf8(&bytes).map_err(|_| unreadable(format!("{key} is not UTF-8")))?;
        let items = text.lines();
        let items =
            items.map(|line| Value::parse(line).map_err(|_| unreadable(format!("{key} is not JSONL"))));
        Ok(items.collect::<Result<Vec<_>, _>>()?.into())
    }

    async fn sleep_until(&self, due: Timestamp) {
        let left = due.duration_since(clock::now());
        tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await;
    }

    fn now(&self) -> Timestamp {
        clock::now()
    }

    /// The children of a distributed Map have histories of their own, on AWS too.
    fn history(&self, event: &HistoryEvent) {
        if event.execution != self.arn {
            return;
        }
        if let Ok(mut events) = self.events.lock() {
            events.push(event.clone());
        }
    }
}

impl Engine {
    /// `StartSyncExecution`: runs an EXPRESS machine and says how it ended, which is no failure of the call.
    pub(crate) async fn run_machine(&self, arguments: &Value) -> Result<Value, Failure> {
        let text = |name: &str| arguments.get(name).and_then(Value::as_str);
        let refused = |why: &str| Failure::new("Sfn.SfnException", why);
        let machine = text("StateMachineArn").and_then(|arn| self.wiring.machine(arn));
        let machine = machine
            .filter(|machine| machine.express)
            .ok_or_else(|| refused("there is no such EXPRESS machine"))?;
        let input =
            Value::parse(text("Input").unwrap_or("{}")).map_err(|_| refused("the input is not JSON"))?;
        let name = text("Name").map_or_else(|| ulid::Ulid::generate().to_string(), ToOwned::to_owned);
        let _permit = self.nested.acquire().await.map_err(|_| refused("crmflow is stopping"))?;
        let started = clock::now();
        let ended = self.run(machine, &name, input, started).await;
        self.chunks_done.fetch_add(1, Ordering::Relaxed);
        let (status, output, error, cause) = parts(&ended.outcome);
        let answer = json!({
            "ExecutionArn": wiring::execution_arn(&machine.name, &name),
            "StateMachineArn": machine.arn(),
            "Name": name,
            "StartDate": started.to_string(),
            "StopDate": clock::now().to_string(),
            "Status": status,
            "Output": output,
            "Error": error,
            "Cause": cause,
        });
        Value::parse(&answer.to_string()).map_err(|error| Failure::new("States.Runtime", error.to_string()))
    }
}

/// Status, output, error and cause of an outcome, as Step Functions has them.
pub(crate) fn parts(outcome: &Outcome) -> (&'static str, Option<String>, Option<String>, Option<String>) {
    match outcome {
        Outcome::Succeeded(output) => ("SUCCEEDED", serde_json::to_string(output).ok(), None, None),
        Outcome::Failed(Failure { error, cause }) => ("FAILED", None, error.clone(), cause.clone()),
        Outcome::TimedOut(Failure { error, cause }) => ("TIMED_OUT", None, error.clone(), cause.clone()),
        Outcome::Aborted(Failure { error, cause }) => ("ABORTED", None, error.clone(), cause.clone()),
    }
}
