//! The resources that a Task may name on this host.

use template::resource_of;

use crate::functions::{Find, Function};

/// Before the names of service integrations.
const INTEGRATIONS: &str = "arn:aws:states:::";

/// Every resource that a Task may name on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A function by its ARN.
    Function(Function),
    /// An activity by its ARN.
    Activity,
    /// `lambda:invoke`
    Invoke(Flavor),
    /// `states:startExecution`, `aws-sdk:sfn:startExecution`
    StartExecution(Flavor),
    /// `aws-sdk:sfn:startSyncExecution`
    StartSyncExecution,
    /// `sqs:sendMessage`
    SendMessage(Flavor),
    /// `dynamodb:putItem`
    PutItem(Flavor),
    /// `dynamodb:getItem`
    GetItem(Flavor),
    /// `dynamodb:deleteItem`
    DeleteItem(Flavor),
    /// `aws-sdk:s3:getObject`
    GetObject,
    /// `aws-sdk:s3:putObject`
    PutObject,
    /// `events:putEvents`
    PutEvents(Flavor),
}

/// How a definition spells a call. The two differ on AWS in field names and in the names of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
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
    pub fn parse(arn: &str, find: Find) -> Result<Self, String> {
        let function = resource_of(arn, "lambda").and_then(|resource| resource.strip_prefix("function:"));
        if let Some(name) = function {
            let function = find(name).map(Self::Function);
            return function.ok_or_else(|| format!("there is no function {name} in crmflow"));
        }
        if resource_of(arn, "states").is_some_and(|resource| resource.starts_with("activity:")) {
            return Ok(Self::Activity);
        }
        let task = arn.strip_prefix(INTEGRATIONS).unwrap_or_default();
        let (call, ending) = task.split_once('.').unwrap_or((task, ""));
        let resource = Self::of_call(call).ok_or(KNOWN)?;
        if resource.has(ending) { Ok(resource) } else { Err(format!("{call} has no variant '.{ending}'")) }
    }

    fn of_call(call: &str) -> Option<Self> {
        use Flavor::{Optimized, Sdk};
        Some(match call {
            "lambda:invoke" => Self::Invoke(Optimized),
            "aws-sdk:lambda:invoke" => Self::Invoke(Sdk),
            "states:startExecution" => Self::StartExecution(Optimized),
            "aws-sdk:sfn:startExecution" => Self::StartExecution(Sdk),
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
            _ => return None,
        })
    }

    /// Whether AWS has this variant of the call.
    fn has(self, ending: &str) -> bool {
        use Flavor::Optimized;
        match ending {
            "" => true,
            "sync" | "sync:2" => self == Self::StartExecution(Optimized),
            // A token is possible if the call has a field for it.
            "waitForTaskToken" => !matches!(
                self,
                Self::Function(_)
                    | Self::Activity
                    | Self::PutItem(Optimized)
                    | Self::GetItem(Optimized)
                    | Self::DeleteItem(Optimized)
            ),
            _ => false,
        }
    }
}

/// The problem of a resource that this host does not support; [`WHAT_RUNS`] lists the supported ones once.
const KNOWN: &str = "this host has nothing for it";

/// The resources that a Task may name on this host, for people.
pub const WHAT_RUNS: &str = "this host runs crmflow's functions, its activities, and lambda:invoke, \
                                    states:startExecution, sqs:sendMessage, dynamodb:putItem, getItem and deleteItem, \
                                    events:putEvents, aws-sdk:s3:getObject and putObject, aws-sdk:sfn:startSyncExecution";

/// The resources that read the items of a distributed Map and write its results.
const OBJECTS: [&str; 3] =
    ["arn:aws:states:::s3:getObject", "arn:aws:states:::s3:listObjectsV2", "arn:aws:states:::s3:putObject"];

/// Whether this host can run a Task's resource.
pub fn check_resource(resource: &str, find: Find) -> Result<(), String> {
    if OBJECTS.contains(&resource) { Ok(()) } else { Resource::parse(resource, find).map(|_| ()) }
}
