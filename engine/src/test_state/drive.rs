//! Runs a test on a host's tasks and clock.

use std::future::pending;
use std::pin::pin;

use futures::future::{Either, select};

use super::{StateTest, TestStateAnswer, TestStateError};
use crate::drive::TaskRunner;
use crate::run::{Entry, Input};

/// Runs a test to its end. The host runs the task, gives the time and sleeps. The driver records nothing.
///
/// # Errors
/// The mock does not suit the state.
pub async fn drive_test(
    mut test: StateTest,
    runner: &impl TaskRunner,
) -> Result<TestStateAnswer, TestStateError> {
    loop {
        if let Some(answer) = test.answer() {
            return answer;
        }
        let inputs = wait_for_input(&mut test, runner).await.into_iter().collect();
        test.step(&Entry { at: runner.now(), inputs });
    }
}

/// Waits for the task or the due time; `None`: the due time has come.
async fn wait_for_input(test: &mut StateTest, runner: &impl TaskRunner) -> Option<Input> {
    let (task, due) = (test.task(), test.next_due());
    let sleep = async {
        match due {
            Some(due) => runner.sleep_until(due).await,
            None => pending().await,
        }
    };
    let Some(task) = task else {
        sleep.await;
        return None;
    };
    let id = task.id;
    match select(pin!(runner.run(task)), pin!(sleep)).await {
        Either::Left((result, _)) => Some(Input::TaskDone { task: id, result }),
        Either::Right(_) => None,
    }
}
