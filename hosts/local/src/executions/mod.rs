//! Executions: started, kept, run to their end, gone on with after a crash, and looked at.
//!
//! A STANDARD execution is a row with what it was started with, and a journal of what came in since. A step
//! is in the journal before anything follows from it, so what a crash leaves is made again from there. An
//! EXPRESS execution leaves nothing: what fed it feeds it again.

mod definitions;
mod history;
mod journal;
mod kept;
mod live;
mod map_runs;
mod resume;
mod row;
mod tokens;
mod work;

use std::sync::Arc;

use functions::{Name, store::StoreError};
use futures::{FutureExt, future::BoxFuture};
use jiff::Timestamp;
use rusqlite::Connection;
use states::{
    Failure, HistoryEvent, Input, Outcome, REVISION, Start, StateTest, TestStateAnswer, TestStateError,
    Value, drive, drive_test, drive_with,
};

pub(crate) use definitions::Definitions;
pub(crate) use history::history;
pub(crate) use journal::Journal;
pub(crate) use resume::RedriveError;
pub(crate) use row::{Execution, ListFilter, Status, parts};
pub(crate) use tokens::{Open, TokenError, Tokens};
pub(crate) use work::{Job, Work};

use crate::{
    clock,
    runner::{Engine, Runner},
    sqlite::Readers,
    wiring::{self, Machine},
};

/// AWS's limit for the history of a STANDARD execution.
const MOST_EVENTS: u64 = 25_000;

/// Every execution on this machine. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Executions {
    pub(crate) engine: Engine,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    live: live::Live,
    definitions: definitions::Definitions,
    tokens: Tokens,
    work: Work,
}

/// An execution that was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Started {
    pub(crate) arn: String,
    pub(crate) started_at: Timestamp,
}

/// Why an execution was not started.
#[derive(Debug)]
pub(crate) enum StartError {
    /// Its name is taken: by one that has ended, or that was started with another input.
    AlreadyExists(Started),
    /// The storage is out of reach: trying again may help.
    Unavailable(String),
    /// It cannot be started as it is.
    Refused(String),
}

/// How an EXPRESS execution went.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) arn: String,
    pub(crate) outcome: Outcome,
    pub(crate) started_at: Timestamp,
    pub(crate) stopped_at: Timestamp,
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(why) => Self::Unavailable(why),
            StoreError::Refused(why) => Self::Refused(why),
        }
    }
}

impl Executions {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine, shared: Arc::default() }
    }

    /// Starts an execution of a STANDARD machine. It is on the disk when this returns.
    ///
    /// The same name with the same input again gives the first one, as long as that runs.
    pub(crate) async fn start(
        &self,
        machine: &Arc<Machine>,
        name: &str,
        input: String,
    ) -> Result<Started, StartError> {
        let value = Value::parse(&input).map_err(|error| StartError::Refused(error.to_string()))?;
        let mut execution = fresh(machine, name, input);
        let about = about(&execution);
        let states = Arc::clone(&machine.machine);
        let run = states::Execution::start(states, about, value, execution.started_at);
        execution.stands(run.outcome(), execution.started_at);
        match self.create(machine, &execution).await? {
            Ok(id) => {
                execution.id = id;
                let started = Started { arn: execution.arn.clone(), started_at: execution.started_at };
                self.go_on(execution, run, 0);
                Ok(started)
            }
            Err(found) => {
                let started = Started { arn: found.arn, started_at: found.started_at };
                let same = found.status == Status::Running && found.input == execution.input;
                if same { Ok(started) } else { Err(StartError::AlreadyExists(started)) }
            }
        }
    }

    /// Puts the row in; gives the one that has its ARN already, if there is one.
    async fn create(
        &self,
        machine: &Machine,
        execution: &Execution,
    ) -> Result<Result<i64, Execution>, StoreError> {
        let definitions = &self.shared.definitions;
        let text = (!definitions.holds(&machine.hash)).then(|| Arc::clone(&machine.text));
        let row = execution.clone();
        let written = self.engine.host.store.writer.write(move |connection| {
            if let Some(text) = text {
                definitions::keep(connection, &row.definition, &text)?;
            }
            if let Some(id) = row::insert(connection, &row)? {
                return Ok(Ok(id));
            }
            Ok(Err(row::one(connection, &row.arn)?.unwrap_or(row)))
        });
        let created = written.await?;
        definitions.note(&machine.hash, &machine.machine);
        Ok(created)
    }

    /// Runs an EXPRESS machine and waits for its end.
    pub(crate) async fn run_express(&self, machine: &Arc<Machine>, name: &str, input: String) -> Ended {
        self.express(machine, name, input).1.await
    }

    /// Starts an EXPRESS machine. It runs once, or not to its end if the program is stopped: whoever started
    /// it starts it again then.
    pub(crate) fn start_express(&self, machine: &Arc<Machine>, name: &str, input: String) -> Started {
        let (started, run) = self.express(machine, name, input);
        tokio::spawn(run);
        started
    }

    /// A run of an EXPRESS machine. Boxed, since a machine may run another.
    fn express(
        &self,
        machine: &Arc<Machine>,
        name: &str,
        input: String,
    ) -> (Started, BoxFuture<'static, Ended>) {
        let started_at = clock::now();
        let arn = wiring::express_arn(&machine.name, name, &clock::uuid());
        let started = Started { arn: arn.clone(), started_at };
        let about = Start {
            execution_id: arn.as_str().into(),
            execution_name: name.into(),
            machine_id: machine.arn().into(),
            machine_name: machine.name.as_str().into(),
            role: Some(Arc::clone(&machine.role)),
            seed: clock::seed(),
            history_limit: None,
        };
        let (executions, states) = (self.clone(), Arc::clone(&machine.machine));
        let run = async move {
            let outcome = match Value::parse(&input) {
                Ok(input) => {
                    let run = states::Execution::start(states, about, input, started_at);
                    let runner = Runner::new(executions, None);
                    drive(run, &runner).await.unwrap_or_else(|error| failed(error.to_string()))
                }
                Err(error) => failed(error.to_string()),
            };
            Ended { arn, outcome, started_at, stopped_at: clock::now() }
        };
        (started, run.boxed())
    }

    /// Takes the test of one state to its end.
    pub(crate) async fn test(&self, test: StateTest) -> Result<TestStateAnswer, TestStateError> {
        drive_test(test, &Runner::new(self.clone(), None)).await
    }

    /// Stops an execution; gives when it ended, by this or before. `None`: there is none with this ARN.
    pub(crate) async fn stop(&self, arn: &str, why: Failure) -> Result<Option<Timestamp>, StoreError> {
        if self.tell(arn, Input::Stop(why)) {
            self.shared.live.gone(arn).await;
        }
        Ok(self.find(arn)?.and_then(|execution| execution.stopped_at))
    }

    /// Tells a running execution what came in; `false`: it does not run here.
    pub(crate) fn tell(&self, arn: &str, input: Input) -> bool {
        self.shared.live.tell(arn, input)
    }

    /// Tells a running execution what came in, and waits until its journal has it; `false`: it does not run
    /// here, or ended before.
    pub(crate) async fn tell_and_keep(&self, arn: &str, input: Input) -> bool {
        self.shared.live.tell_and_keep(arn, input).await
    }

    /// The tokens of tasks that wait.
    pub(crate) fn tokens(&self) -> &Tokens {
        &self.shared.tokens
    }

    /// What activities have to do.
    pub(crate) fn work(&self) -> &Work {
        &self.shared.work
    }

    /// Waits until an execution has ended, and gives it as it is then.
    pub(crate) async fn ended(&self, arn: &str) -> Result<Option<Execution>, StoreError> {
        self.shared.live.gone(arn).await;
        self.find(arn)
    }

    /// The execution with this ARN.
    pub(crate) fn find(&self, arn: &str) -> Result<Option<Execution>, StoreError> {
        find(&self.engine.host.store.readers, arn)
    }

    /// The latest executions, newest first.
    pub(crate) fn list(&self, filter: &ListFilter) -> Result<Vec<Execution>, StoreError> {
        list(&self.engine.host.store.readers, filter)
    }

    /// The events of an execution so far, or of a child of one of its Map runs.
    pub(crate) fn history(&self, arn: &str) -> Result<Option<Vec<HistoryEvent>>, StoreError> {
        history(&self.engine.host.store.readers, &self.shared.definitions, arn)
    }

    /// Runs what was begun, unless its first step was its last.
    fn go_on(&self, execution: Execution, run: states::Execution, lines: i64) {
        let arn: Arc<str> = execution.arn.as_str().into();
        if run.outcome().is_some() {
            return;
        }
        if let Some(presence) = self.shared.live.enter(Arc::clone(&arn)) {
            tokio::spawn(self.clone().run(execution, run, lines, presence));
        }
    }

    /// Boxed, since an execution may start another.
    fn run(
        self,
        execution: Execution,
        run: states::Execution,
        lines: i64,
        presence: live::Presence,
    ) -> BoxFuture<'static, ()> {
        let (arn, name) = (execution.arn.clone(), execution.name.clone());
        let ours = self.engine.wiring.machine(&execution.machine_arn).is_some();
        let writer = Arc::clone(&self.engine.host.store.writer);
        async move {
            let live::Presence { inputs, kept, end: _ended } = presence;
            let journal = Some(Journal::new(writer, lines, execution, kept));
            let runner = Runner::new(self.clone(), journal);
            match drive_with(run, &runner, inputs).await {
                Ok(outcome) => {
                    let status = parts(&outcome).0.name();
                    tracing::info!(execution.arn = arn, status, "execution {arn} ended: {status}");
                    // One that failed may be redriven, and needs its files then.
                    if ours && matches!(outcome, Outcome::Succeeded(_)) {
                        self.clear_staging(&name).await;
                    }
                }
                Err(error) => {
                    tracing::error!(execution.arn = arn, "{arn} goes on at the next start: {error}");
                }
            }
            self.shared.live.leave(&arn);
        }
        .boxed()
    }

    /// Working files of a batch that has ended are of no use; on AWS a lifecycle rule clears them.
    pub(crate) async fn clear_staging(&self, name: &str) {
        let prefix = format!("{}{}/{name}/", functions::objects::STAGING, Name::default_tenant());
        if let Err(error) = self.engine.host.objects.delete_all(&prefix).await {
            tracing::warn!("working files were left: {error}");
        }
    }
}

/// The execution with this ARN.
pub(crate) fn find(readers: &Readers, arn: &str) -> Result<Option<Execution>, StoreError> {
    readers.with(|connection| row::one(connection, arn))
}

/// The latest executions, newest first.
pub(crate) fn list(readers: &Readers, filter: &ListFilter) -> Result<Vec<Execution>, StoreError> {
    readers.with(|connection| row::list(connection, filter))
}

/// Forgets every execution of a machine.
pub(crate) fn forget(connection: &Connection, machine_arn: &str) -> rusqlite::Result<()> {
    row::forget(connection, machine_arn)
}

/// An execution that is about to start.
fn fresh(machine: &Machine, name: &str, input: String) -> Execution {
    Execution {
        id: 0,
        arn: wiring::execution_arn(&machine.name, name),
        name: name.to_owned(),
        machine_arn: machine.arn(),
        definition: machine.hash.clone(),
        role: Some(machine.role.to_string()),
        status: Status::Running,
        input,
        output: None,
        error: None,
        cause: None,
        started_at: clock::now(),
        stopped_at: None,
        redrive_count: 0,
        redriven_at: None,
        seed: clock::seed(),
        revision: REVISION,
    }
}

/// What the engine is told of an execution: the same each time it is made again.
fn about(execution: &Execution) -> Start {
    let machine = &execution.machine_arn;
    Start {
        execution_id: execution.arn.as_str().into(),
        execution_name: execution.name.as_str().into(),
        machine_id: machine.as_str().into(),
        machine_name: machine.rsplit(':').next().unwrap_or(machine).into(),
        role: execution.role.as_deref().map(Arc::from),
        seed: execution.seed,
        history_limit: Some(MOST_EVENTS),
    }
}

fn failed(why: String) -> Outcome {
    Outcome::Failed(Failure::new("States.Runtime", why))
}
