//! Resumes executions that were running at a crash, and redrives failed ones.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use kernel::store::StoreError;
use states::{Entry, Failure, Input, Outcome, REVISION, Value};

use super::{
    Executions, Status, about, definitions, history, journal,
    row::{self, Execution},
};
use crate::{clock, services::Finished};

/// How long after its end an execution can be redriven, as on AWS.
const MAX_REDRIVE_AGE: SignedDuration = SignedDuration::from_hours(14 * 24);
/// How often, as on AWS.
const MAX_REDRIVES: u32 = 1_000;

/// An execution that was redriven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redriven {
    pub(crate) at: Timestamp,
}

/// Why an execution was not redriven.
#[derive(Debug)]
pub enum RedriveError {
    /// There is none with this ARN.
    NotFound,
    /// Why it cannot be redriven, in AWS's words.
    NotRedrivable(String),
    /// The store failed.
    Store(StoreError),
}

impl fmt::Display for RedriveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("there is no such execution"),
            Self::NotRedrivable(why) => f.write_str(why),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl From<StoreError> for RedriveError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Execution {
    /// Whether the execution can be redriven according to its row; `Err` gives the reason against it.
    pub(crate) fn redrivable(&self, now: Timestamp) -> Result<(), &'static str> {
        match self.status {
            Status::Running => Err("Execution is RUNNING and cannot be redriven"),
            Status::Succeeded => Err("Execution is SUCCEEDED and cannot be redriven"),
            _ if self.revision != REVISION => {
                Err("Execution was started before the launch of RedriveExecution")
            }
            _ if self.test_case.is_some() => Err("Execution ran with mocks and cannot be redriven"),
            _ if self.redrive_count >= MAX_REDRIVES => Err("Execution has exceeded the max redrives"),
            _ if self.stopped_at.is_some_and(|at| now.duration_since(at) > MAX_REDRIVE_AGE) => {
                Err("Execution redrivable period exceeded")
            }
            Status::Failed | Status::TimedOut | Status::Aborted => Ok(()),
        }
    }
}

impl Executions {
    /// Resumes every execution that was running at a crash, except suspended ones; gives how many there are.
    pub async fn resume(&self) -> Result<usize, StoreError> {
        let suspended = self.suspended().clone();
        let mut left = self.running()?;
        left.retain(|execution| !suspended.contains(&execution.arn));
        let count = left.len();
        for execution in left {
            let arn = execution.arn.clone();
            match self.resume_one(execution).await {
                Ok(()) => tracing::debug!(execution.arn = arn, "execution {arn} goes on"),
                Err(error) => tracing::error!(execution.arn = arn, "execution {arn} cannot go on: {error}"),
            }
        }
        if count > 0 {
            tracing::info!(executions = count, "executions that go on: {count}");
        }
        Ok(count)
    }

    /// Calls the host's hook for failed executions of the template that cannot be redriven any more.
    pub async fn delete_expired(&self) -> Result<(), StoreError> {
        let before = clock::now().saturating_sub(MAX_REDRIVE_AGE).unwrap_or(Timestamp::MIN);
        for machine in &self.services.template.machines {
            let failed_before = |connection: &_| row::failed_before(connection, &machine.arn, before);
            for name in self.services.host.store.readers.with(failed_before)? {
                if let Some(Execution { name, input, .. }) = self.find(&machine.execution_arn(&name))? {
                    (self.services.host.on_end)(Finished { name, input }).await;
                }
            }
        }
        Ok(())
    }

    /// Resumes an execution that was running at a crash.
    pub async fn resume_one(&self, execution: Execution) -> Result<(), StoreError> {
        let store = &self.services.host.store;
        if execution.test_case.is_some() {
            return self.abort_mocked(execution).await;
        }
        if execution.revision != REVISION {
            return self.start_anew(execution).await;
        }
        let machine = self.shared.definitions.machine(&execution.definition, &store.readers);
        let machine = machine.map_err(StoreError::Refused)?;
        let (run, lines) = history::replay(&store.readers, machine, &execution, drop)?;
        self.resume_run(execution, run, lines).await
    }

    /// Ends an execution whose mocks are gone with the process that it was started in: its tasks must not run for real.
    async fn abort_mocked(&self, mut execution: Execution) -> Result<(), StoreError> {
        let store = &self.services.host.store;
        let machine = self.shared.definitions.machine(&execution.definition, &store.readers);
        let machine = machine.map_err(StoreError::Refused)?;
        let (mut run, lines) = history::replay(&store.readers, machine, &execution, drop)?;
        let why =
            Failure { error: None, cause: Some("The process that mocked its tasks has ended".to_owned()) };
        let entry = Entry { at: clock::now().max(run.at()), inputs: vec![Input::Stop(why)] };
        run.step(&entry);
        execution.set_status(run.outcome(), entry.at);
        journal::keep(&store.writer, &execution, lines, &entry).await
    }

    /// Continues a rebuilt run. The tasks that ended with the process have their whole time again.
    async fn resume_run(
        &self,
        mut execution: Execution,
        mut run: states::Execution,
        mut lines: i64,
    ) -> Result<(), StoreError> {
        if run.outcome().is_none() && run.has_open_tasks() {
            let entry = Entry { at: clock::now().max(run.at()), inputs: vec![Input::Resumed] };
            run.step(&entry);
            execution.set_status(run.outcome(), entry.at);
            journal::keep(&self.services.host.store.writer, &execution, lines, &entry).await?;
            lines += 1;
        }
        self.spawn(execution, run, lines, None);
        Ok(())
    }

    /// Stops an execution that has not ended and does not run here.
    pub async fn stop_idle(&self, mut execution: Execution, why: Failure) -> Result<(), StoreError> {
        let store = &self.services.host.store;
        if execution.revision != REVISION {
            // Its journal cannot be read by this version; that it was stopped is all there is to say.
            execution.set_status(Some(&Outcome::Aborted(why)), clock::now());
            return store.writer.write(move |connection| row::update(connection, &execution)).await;
        }
        let machine = self.shared.definitions.machine(&execution.definition, &store.readers);
        let machine = machine.map_err(StoreError::Refused)?;
        let (mut run, lines) = history::replay(&store.readers, machine, &execution, drop)?;
        let entry = Entry { at: clock::now().max(run.at()), inputs: vec![Input::Stop(why)] };
        run.step(&entry);
        execution.set_status(run.outcome(), entry.at);
        journal::keep(&store.writer, &execution, lines, &entry).await
    }

    /// Redrives an execution that ended without success, from the failed step.
    pub async fn redrive(&self, arn: &str) -> Result<Redriven, RedriveError> {
        let not = |why: &str| RedriveError::NotRedrivable(why.to_owned());
        let store = &self.services.host.store;
        let mut execution = self.find(arn)?.ok_or(RedriveError::NotFound)?;
        let at = clock::now();
        execution.redrivable(at).map_err(not)?;
        // Its row says that it ended; it may still be tidying up.
        self.shared.running.wait_for_end(arn).await;
        let machine = self.shared.definitions.machine(&execution.definition, &store.readers);
        let machine = machine.map_err(StoreError::Refused)?;
        let (mut run, lines) = history::replay(&store.readers, machine, &execution, drop)?;
        run.redrivable().map_err(not)?;
        let entry = Entry { at: at.max(run.at()), inputs: vec![Input::Redrive] };
        run.step(&entry);
        execution.redrive_count += 1;
        execution.redriven_at = Some(entry.at);
        execution.set_status(run.outcome(), entry.at);
        // Another redrive may have been first: then this line exists already.
        let kept = journal::keep(&store.writer, &execution, lines, &entry);
        kept.await.map_err(|error| match error {
            StoreError::Refused(_) => not("Execution is RUNNING and cannot be redriven"),
            error @ StoreError::Unavailable(_) => error.into(),
        })?;
        self.spawn(execution, run, lines + 1, None);
        Ok(Redriven { at: entry.at })
    }

    /// The journal is of another version of the engine: it might be read as something that did not happen.
    /// The execution starts from its beginning, so its steps may run twice.
    async fn start_anew(&self, mut execution: Execution) -> Result<(), StoreError> {
        tracing::warn!(
            execution.arn = execution.arn,
            "execution {} was begun by another version and starts anew",
            execution.arn
        );
        let store = &self.services.host.store;
        let refused = |why: &str| StoreError::Refused(why.to_owned());
        let mut text = None;
        if execution.definition.is_empty() {
            let machine = self.services.machine(&execution.machine_arn);
            let machine = machine.ok_or_else(|| refused("there is no such machine any more"))?;
            execution.definition.clone_from(&machine.hash);
            text = Some(machine.text.clone());
            self.shared.definitions.note(&machine.hash, &machine.machine);
        }
        let machine = self.shared.definitions.machine(&execution.definition, &store.readers);
        let machine = machine.map_err(StoreError::Refused)?;
        let input = Value::parse(&execution.input).map_err(|_| refused("its input is not JSON"))?;
        let run = states::Execution::start(machine, about(&execution), input, execution.started_at);
        execution.revision = REVISION;
        execution.set_status(run.outcome(), execution.started_at);
        let row = execution.clone();
        let written = store.writer.write(move |connection| {
            if let Some(text) = text {
                definitions::keep(connection, &row.definition, &text)?;
            }
            journal::clear(connection, row.id)?;
            row::update(connection, &row)
        });
        written.await?;
        self.resume_run(execution, run, 0).await
    }
}
