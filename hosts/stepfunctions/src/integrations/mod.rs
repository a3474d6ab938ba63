//! The service integrations of a Task: the functions of the host, and the calls of AWS services that one machine can
//! serve. `docs/task-resources.md` describes each, and how it differs from AWS.

mod activity;
mod arguments;
mod dynamodb;
mod events;
mod lambda;
mod s3;
mod service;
mod sfn;
mod sqs;

use std::future::pending;

use states::{Failure, Pattern, Progress, TaskRequest, Value, reserved};
use xxhash_rust::xxh3::xxh3_128;

use crate::{clock, executions::Runner, resource::Resource};

/// Runs a task. [`watch`] waits for a result that comes later.
pub(crate) async fn run(task: &TaskRequest, runner: &Runner) -> Result<Value, Failure> {
    let (arguments, executions) = (&task.arguments, &runner.executions);
    let services = &executions.services;
    let resource = Resource::parse(&task.resource, services.host.functions.find)
        .map_err(|why| Failure::new(reserved::RUNTIME, why))?;
    let (host, template) = (&services.host, &*services.template);
    match resource {
        Resource::Function(function) => lambda::call(function, arguments, services).await,
        Resource::Activity => activity::offer(task, executions).await,
        Resource::Invoke(flavor) => lambda::invoke(arguments, flavor, services).await,
        Resource::StartExecution(flavor) => sfn::start_execution(task, flavor, runner).await,
        Resource::StartSyncExecution => sfn::start_sync_execution(arguments, executions).await,
        Resource::SendMessage(flavor) => sqs::send_message(task, flavor, runner).await,
        Resource::PutItem(flavor) => dynamodb::put_item(arguments, flavor, template, &host.store).await,
        Resource::GetItem(flavor) => dynamodb::get_item(arguments, flavor, template, &host.store).await,
        Resource::DeleteItem(flavor) => dynamodb::delete_item(arguments, flavor, template, &host.store).await,
        Resource::GetObject => s3::get_object(arguments, template, &host.objects).await,
        Resource::PutObject => s3::put_object(arguments, template, &host.objects).await,
        Resource::PutEvents(flavor) => events::put_events(task, flavor, runner).await,
    }
}

/// Waits for the result of a task that was started: here for the end of an execution, otherwise for the owner of the
/// token.
pub(crate) async fn watch(task: &TaskRequest, runner: &Runner) -> Result<Value, Failure> {
    match (task.pattern, &task.progress) {
        (Pattern::Sync, Progress::Submitted(started)) => sfn::ended(task, started, runner).await,
        _ => pending().await,
    }
}

/// An id for the `part`th thing that a task makes. In a run that survives a restart it is always the same: a task that
/// runs again, since a crash prevented the record of its result, makes nothing twice.
fn id(task: &TaskRequest, part: usize, runner: &Runner) -> String {
    match (&runner.journal, serde_json::to_string(&task.id)) {
        (Some(_), Ok(id)) => {
            kernel::provenance::uuid(xxh3_128(format!("{}/{id}/{part}", task.execution).as_bytes()))
        }
        _ => clock::uuid(),
    }
}
