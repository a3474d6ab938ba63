//! AWS's services, as a Task can call them.
//!
//! | file | content |
//! |---|---|
//! | `integrations.rs` | the optimized integrations: their calls and patterns |
//! | `table.rs` | every operation of every service, for `aws-sdk` |
//! | `shape.rs` | the shapes of the operations' answers |

mod integrations;
mod shape;
mod table;

pub(crate) use shape::{Field, Range, Shape};

/// AWS's message for an unknown resource.
pub(crate) const UNRECOGNIZED: &str = "The resource provided ARN is not recognized. The value is not a valid resource ARN, or the resource is not available in this region.";

/// Whether the service integration of this ARN exists. Every other resource passes.
pub(crate) fn is_recognized(resource: &str) -> bool {
    let Some(task) = integration(resource) else {
        return true;
    };
    let (call, pattern) = task.split_once('.').unwrap_or((task, ""));
    match call.strip_prefix("aws-sdk:").map(|call| call.split_once(':')) {
        Some(Some((service, action))) => {
            matches!(pattern, "" | "waitForTaskToken") && table::has(service, action)
        }
        Some(None) => false,
        None => integrations::has(call, pattern),
    }
}

/// The shape of a service's answer to a Task with this resource; `None`: it is unknown, or the Task receives
/// another value.
pub(crate) fn answer(resource: &str) -> Option<Shape<'static>> {
    let task = integration(resource)?;
    let (call, pattern) = task.split_once('.').unwrap_or((task, ""));
    let call = match pattern {
        "" => call,
        "sync" | "sync:2" => integrations::polled(call)?,
        _ => return None,
    };
    let (service, action) = call.strip_prefix("aws-sdk:").unwrap_or(call).split_once(':')?;
    // As on AWS, the answers of these integrations are not checked.
    if matches!(service, "apigateway" | "eks") && !task.starts_with("aws-sdk:") {
        return None;
    }
    Shape::read(table::answer(service, action)?)
}

/// The part behind `arn:aws:states:::`.
fn integration(resource: &str) -> Option<&str> {
    match resource.splitn(6, ':').collect::<Vec<_>>()[..] {
        ["arn", _, "states", "", "", task] => Some(task),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{is_recognized, table};

    #[track_caller]
    fn check(recognized: bool, tasks: &[&str]) {
        for task in tasks {
            assert_eq!(is_recognized(&format!("arn:aws:states:::{task}")), recognized, "{task}");
        }
    }

    #[test]
    fn existing_operations_are_recognized() {
        check(
            true,
            &[
                "lambda:invoke",
                "lambda:invoke.waitForTaskToken",
                "states:startExecution.sync:2",
                "ecs:runTask.sync",
                "emr-serverless:startJobRun.sync",
                "http:invoke",
                "aws-sdk:sfn:startExecution",
                "aws-sdk:cloudwatchlogs:createLogGroup",
                "aws-sdk:eventbridge:putEvents.waitForTaskToken",
                "aws-sdk:sesv2:sendEmail",
                "aws-sdk:databasemigration:startReplicationTask",
                "aws-sdk:config:describeConfigRules",
                "aws-sdk:costexplorer:getCostAndUsage",
                "aws-sdk:costandusagereport:describeReportDefinitions",
                "aws-sdk:cognitoidentityprovider:adminGetUser",
                "aws-sdk:elasticloadbalancingv2:describeTargetHealth",
                "aws-sdk:rds:describeDBInstances",
                "aws-sdk:rds:describeDbInstances",
                "aws-sdk:cloudfront:createInvalidation",
                "aws-sdk:qldb:createLedger",
            ],
        );
        assert!(is_recognized("arn:aws:lambda:us-east-1:000000000000:function:nope"));
        assert!(is_recognized("arn:aws:states:us-east-1:000000000000:activity:nope"));
        assert!(is_recognized("arn:aws-cn:states:::sqs:sendMessage"));
    }

    #[test]
    fn a_typo_is_not_recognized() {
        check(
            false,
            &[
                "sns:publsh",
                "sns:publish.foo",
                "sns:publish.sync",
                "lambda:invoke.sync",
                "lambda:Invoke",
                "dynamodb:scan",
                "states:startExecution.sync:3",
                "nope:foo",
                "lambda",
                "",
                "aws-sdk",
                "aws-sdk:sns",
                "aws-sdk:sns:Publish",
                "aws-sdk:sns:publsh",
                "aws-sdk:sns:publish.sync",
                "aws-sdk:nope:foo",
                "aws-sdk:s3:listbuckets",
            ],
        );
        assert!(!is_recognized("arn:aws-us-gov:states:::sqs:sendMesage"));
    }

    #[test]
    fn every_shape_in_the_table_parses() {
        let mut known = 0;
        for answer in table::answers() {
            assert!(super::Shape::read(answer).is_some(), "{answer}");
            known += 1;
        }
        assert!(known > 10_000, "{known}");
    }
}
