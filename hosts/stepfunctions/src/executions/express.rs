//! EXPRESS executions: they run in memory, at least once, and nothing of them is stored.

use std::sync::Arc;

use futures::{FutureExt, future::BoxFuture};
use jiff::Timestamp;
use states::{Failure, Outcome, Start, StateTest, TestStateAnswer, TestStateError, Value, drive, drive_test};
use template::Machine;

use super::{Executions, Runner, Started};
use crate::{clock, mocks::MockedTasks};

/// How an EXPRESS execution went.
#[derive(Debug)]
pub struct Ended {
    /// Its ARN.
    pub arn: String,
    /// How it ended.
    pub outcome: Outcome,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub stopped_at: Timestamp,
}

impl Executions {
    /// Runs an EXPRESS machine and waits for its end.
    pub async fn run_express(&self, machine: &Arc<Machine>, name: &str, input: String) -> Ended {
        self.express(machine, name, input, None).1.await
    }

    /// The same, with mocks that answer in the place of its tasks.
    pub(crate) async fn run_express_with(
        &self,
        machine: &Arc<Machine>,
        name: &str,
        input: String,
        mocks: Option<Arc<MockedTasks>>,
    ) -> Ended {
        self.express(machine, name, input, mocks).1.await
    }

    /// Starts an EXPRESS machine. It runs once, or not to its end if the program stops: then the caller starts it
    /// again.
    pub(crate) fn start_express(
        &self,
        machine: &Arc<Machine>,
        name: &str,
        input: String,
        mocks: Option<Arc<MockedTasks>>,
    ) -> Started {
        let (started, run) = self.express(machine, name, input, mocks);
        tokio::spawn(run);
        started
    }

    /// A run of an EXPRESS machine. Boxed, since a machine may run another.
    fn express(
        &self,
        machine: &Arc<Machine>,
        name: &str,
        input: String,
        mocks: Option<Arc<MockedTasks>>,
    ) -> (Started, BoxFuture<'static, Ended>) {
        let started_at = clock::now();
        let arn = machine.express_arn(name, &clock::uuid());
        let started = Started { arn: arn.clone(), started_at };
        let about = Start {
            execution_id: arn.as_str().into(),
            execution_name: name.into(),
            machine_id: machine.arn.as_str().into(),
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
                    let runner = Runner::unkept(executions).with_mocks(mocks);
                    drive(run, &runner).await.unwrap_or_else(|error| failed(error.to_string()))
                }
                Err(error) => failed(error.to_string()),
            };
            Ended { arn, outcome, started_at, stopped_at: clock::now() }
        };
        (started, run.boxed())
    }

    /// Runs the test of one state to its end.
    pub(crate) async fn test(&self, test: StateTest) -> Result<TestStateAnswer, TestStateError> {
        drive_test(test, &Runner::unkept(self.clone())).await
    }
}

fn failed(why: String) -> Outcome {
    Outcome::Failed(Failure::new("States.Runtime", why))
}
