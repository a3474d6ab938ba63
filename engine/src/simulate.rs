//! Runs an execution on a closure, in virtual time: for tests, and to try a definition.

use crate::effect::{Effect, Outcome, Pattern, TaskRequest};
use crate::failure::{Failure, reserved};
use crate::run::Execution;
use crate::value::Value;

/// Runs an execution to its end. `tasks` gives the result of each task; waits, retries and timeouts take no
/// time.
///
/// The simulation confirms the start of a callback, a job or an activity before its result. It has no
/// objects, so a distributed Map that reads items or writes results fails.
pub fn simulate(
    mut execution: Execution,
    mut tasks: impl FnMut(TaskRequest) -> Result<Value, Failure>,
) -> Outcome {
    loop {
        while let Some(effect) = execution.next_effect(execution.at()) {
            match effect {
                Effect::StartTask(task) => {
                    let id = task.id;
                    match task.pattern {
                        Pattern::RequestResponse => {}
                        Pattern::Callback | Pattern::Sync => execution.task_submitted(id, Value::from([])),
                        Pattern::Activity => execution.task_started(id, None),
                    }
                    let result = tasks(task);
                    execution.task_done(id, result);
                }
                Effect::ReadItems(source) => {
                    let failure = Failure::new(reserved::ITEM_READER_FAILED, "A simulation has no objects");
                    execution.items_read(source.id, Err(failure));
                }
                Effect::WriteResults(results) => {
                    let failure = Failure::new(reserved::RESULT_WRITER_FAILED, "A simulation has no objects");
                    execution.results_written(results.id, Err(failure));
                }
                Effect::Event(_) | Effect::Cancel(_) => {}
            }
        }
        if let Some(outcome) = execution.outcome() {
            return outcome.clone();
        }
        // Every task has answered, so only the clock can advance the run. A run without a due time is a bug.
        let Some(due) = execution.next_due() else {
            return Outcome::Aborted(Failure::new(reserved::RUNTIME, "The execution waits for nothing"));
        };
        execution.advance_clock(due);
    }
}
