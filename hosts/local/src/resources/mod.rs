//! What a Task may ask of this host: crmflow's functions, and the calls of AWS services that have a place on
//! one machine. `docs/task-resources.md` says what each does here and how that differs from AWS.

mod arguments;
mod dynamodb;
mod events;
mod lambda;
mod s3;
mod service;
mod sqs;

use functions::Function;
use states::{Failure, TaskRequest, Value};

use crate::{runner::Engine, wiring};

/// Before the names of service integrations.
const INTEGRATIONS: &str = "arn:aws:states:::";

/// Every resource that a Task may name on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    /// A function by its ARN.
    Function(Function),
    /// `lambda:invoke`
    Invoke(Spelling),
    /// `aws-sdk:sfn:startSyncExecution`
    StartSyncExecution,
    /// `sqs:sendMessage`
    SendMessage(Spelling),
    /// `dynamodb:putItem`
    PutItem(Spelling),
    /// `dynamodb:getItem`
    GetItem(Spelling),
    /// `dynamodb:deleteItem`
    DeleteItem(Spelling),
    /// `aws-sdk:s3:getObject`
    GetObject,
    /// `aws-sdk:s3:putObject`
    PutObject,
    /// `events:putEvents`
    PutEvents(Spelling),
}

/// How a definition spells a call. The two differ on AWS in field names and in the names of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// `arn:aws:states:::sqs:sendMessage`
    Optimized,
    /// `arn:aws:states:::aws-sdk:sqs:sendMessage`
    Sdk,
}

impl Resource {
    /// The resource that a definition names.
    ///
    /// # Errors
    /// A sentence that says what this host lacks.
    pub(crate) fn parse(arn: &str) -> Result<Self, String> {
        use Spelling::{Optimized, Sdk};
        if let Some(name) = arn.strip_prefix(wiring::LAMBDA) {
            let function = Function::from_name(name);
            return function
                .map(Self::Function)
                .ok_or_else(|| format!("there is no function {name} in crmflow"));
        }
        Ok(match arn.strip_prefix(INTEGRATIONS).unwrap_or_default() {
            "lambda:invoke" => Self::Invoke(Optimized),
            "aws-sdk:lambda:invoke" => Self::Invoke(Sdk),
            "aws-sdk:sfn:startSyncExecution" => Self::StartSyncExecution,
            "sqs:sendMessage" => Self::SendMessage(Optimized),
            "aws-sdk:sqs:sendMessage" => Self::SendMessage(Sdk),
            "dynamodb:putItem" => Self::PutItem(Optimized),
            "aws-sdk:dynamodb:putItem" => Self::PutItem(Sdk),
            "dynamodb:getItem" => Self::GetItem(Optimized),
            "aws-sdk:dynamodb:getItem" => Self::GetItem(Sdk),
            "dynamodb:deleteItem" => Self::DeleteItem(Optimized),
            "aws-sdk:dynamodb:deleteItem" => Self::DeleteItem(Sdk),
            "aws-sdk:s3:getObject" => Self::GetObject,
            "aws-sdk:s3:putObject" => Self::PutObject,
            "events:putEvents" => Self::PutEvents(Optimized),
            "aws-sdk:eventbridge:putEvents" => Self::PutEvents(Sdk),
            _ => {
                return Err("this host runs crmflow's functions, and lambda:invoke, sqs:sendMessage, \
                            dynamodb:putItem, getItem and deleteItem, events:putEvents, \
                            aws-sdk:s3:getObject and putObject, aws-sdk:sfn:startSyncExecution"
                    .to_owned());
            }
        })
    }
}

/// Does what a task asks.
pub(crate) async fn run(resource: Resource, task: &TaskRequest, engine: &Engine) -> Result<Value, Failure> {
    let arguments = &task.arguments;
    let (host, wiring) = (&engine.host, &*engine.wiring);
    match resource {
        Resource::Function(function) => lambda::call(function, arguments, engine).await,
        Resource::Invoke(spelling) => lambda::invoke(arguments, spelling, engine).await,
        Resource::StartSyncExecution => engine.run_machine(arguments).await,
        Resource::SendMessage(spelling) => sqs::send_message(arguments, spelling, wiring, &host.store).await,
        Resource::PutItem(spelling) => dynamodb::put_item(arguments, spelling, wiring, &host.store).await,
        Resource::GetItem(spelling) => dynamodb::get_item(arguments, spelling, wiring, &host.store).await,
        Resource::DeleteItem(spelling) => {
            dynamodb::delete_item(arguments, spelling, wiring, &host.store).await
        }
        Resource::GetObject => s3::get_object(arguments, wiring, &host.objects).await,
        Resource::PutObject => s3::put_object(arguments, wiring, &host.objects).await,
        Resource::PutEvents(spelling) => {
            events::put_events(arguments, spelling, &task.execution, &host.store).await
        }
    }
}
