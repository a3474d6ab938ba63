//! The task of an activity, offered to its workers.

use rusqlite::OptionalExtension;
use states::{Failure, TaskRequest, Value, reserved};

use crate::executions::{ActivityTask, Executions};

/// Waits until a worker polls the task; gives the worker's name.
pub(super) async fn offer(task: &TaskRequest, executions: &Executions) -> Result<Value, Failure> {
    if !is_there(&task.resource, executions)? {
        let cause = format!("Activity Does Not Exist: '{}'", task.resource);
        return Err(Failure::new("ActivityDoesNotExist", cause));
    }
    let token = task.token.as_ref().map(ToString::to_string).unwrap_or_default();
    let offered = ActivityTask { token, input: task.arguments.to_string() };
    let worker = executions.activities().offer(&task.resource, offered).await;
    Ok(worker.map_or(Value::Null, Value::string))
}

fn is_there(activity: &str, executions: &Executions) -> Result<bool, Failure> {
    let found = executions.services.host.store.readers.with(|connection| {
        let sql = "SELECT 1 FROM activities WHERE arn = ?1";
        connection.prepare_cached(sql)?.query_row([activity], |_| Ok(())).optional()
    });
    found.map(|found| found.is_some()).map_err(|error| Failure::new(reserved::RUNTIME, error.to_string()))
}
