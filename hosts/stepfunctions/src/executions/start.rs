//! Starts a STANDARD execution: runs its first step, stores both, and then acts on the step.

use std::sync::Arc;

use jiff::Timestamp;
use kernel::store::StoreError;
use states::{REVISION, Value};
use template::Machine;

use super::{Execution, Executions, Status, about, definitions, row};
use crate::{clock, mocks::MockedTasks};

/// An execution that was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// Its ARN.
    pub arn: String,
    /// When it started.
    pub started_at: Timestamp,
}

/// Why an execution was not started.
#[derive(Debug)]
pub enum StartError {
    /// There is one of its name that has ended, or that was started with another input.
    AlreadyExists(Started),
    /// The storage is out of reach: trying again may help.
    Unavailable(String),
    /// It cannot be started as it is.
    Refused(String),
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
    /// Starts an execution of a STANDARD machine. It is on the disk when this returns.
    ///
    /// The same name with the same input again gives the first one, as long as that runs.
    pub async fn start(
        &self,
        machine: &Arc<Machine>,
        name: &str,
        input: String,
    ) -> Result<Started, StartError> {
        self.start_with(machine, name, input, None).await
    }

    /// The same, with mocks that answer in the place of its tasks. Such an execution ends with this process.
    pub(crate) async fn start_with(
        &self,
        machine: &Arc<Machine>,
        name: &str,
        input: String,
        mocks: Option<Arc<MockedTasks>>,
    ) -> Result<Started, StartError> {
        let value = Value::parse(&input).map_err(|error| StartError::Refused(error.to_string()))?;
        let mut execution = fresh(machine, name, input);
        execution.test_case = mocks.as_ref().map(|mocks| mocks.test_case.clone());
        let about = about(&execution);
        let states = Arc::clone(&machine.machine);
        let run = states::Execution::start(states, about, value, execution.started_at);
        execution.set_status(run.outcome(), execution.started_at);
        match self.create(machine, &execution).await? {
            Ok(id) => {
                execution.id = id;
                let started = Started { arn: execution.arn.clone(), started_at: execution.started_at };
                self.spawn(execution, run, 0, mocks);
                Ok(started)
            }
            Err(found) => {
                let started = Started { arn: found.arn, started_at: found.started_at };
                let same = found.status == Status::Running
                    && found.input == execution.input
                    && found.test_case == execution.test_case;
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
        let is_new = !definitions.holds(&machine.hash);
        let text = is_new.then(|| Arc::clone(&machine.text));
        let row = execution.clone();
        let written = self.services.host.store.writer.write(move |connection| {
            if let Some(text) = text {
                definitions::keep(connection, &row.definition, &text)?;
            }
            if let Some(id) = row::insert(connection, &row)? {
                return Ok(Ok(id));
            }
            Ok(Err(row::one(connection, &row.arn)?.unwrap_or(row)))
        });
        let created = written.await?;
        if is_new {
            definitions.note(&machine.hash, &machine.machine);
        }
        Ok(created)
    }
}

/// An execution that is about to start.
fn fresh(machine: &Machine, name: &str, input: String) -> Execution {
    Execution {
        id: 0,
        arn: machine.execution_arn(name),
        name: name.to_owned(),
        machine_arn: machine.arn.clone(),
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
        test_case: None,
    }
}
