//! How AWS services refuse a call, in the words that each flavor of a task has for it.

use states::Failure;

use crate::clock;
use crate::resource::Flavor;

/// A service, by its names in errors and causes.
#[derive(Debug)]
pub(super) struct Service {
    /// The optimized flavor: the text before the dot, the name in causes, and the error of a refusal that has no
    /// exception of its own.
    optimized: [&'static str; 3],
    /// The SDK flavor: the text before the dot and in causes, and the error of other refusals.
    sdk: [&'static str; 2],
}

pub(super) const LAMBDA: Service =
    Service { optimized: ["Lambda", "AWSLambda", "AWSLambdaException"], sdk: ["Lambda", "LambdaException"] };
pub(super) const SFN: Service = Service {
    optimized: ["StepFunctions", "AWSStepFunctions", "AWSStepFunctionsException"],
    sdk: ["Sfn", "SfnException"],
};
pub(super) const SQS: Service =
    Service { optimized: ["SQS", "AmazonSQS", "AmazonSQSException"], sdk: ["Sqs", "SqsException"] };
pub(super) const DYNAMODB: Service = Service {
    optimized: ["DynamoDB", "AmazonDynamoDBv2", "AmazonDynamoDBException"],
    sdk: ["DynamoDb", "DynamoDbException"],
};
pub(super) const S3: Service =
    Service { optimized: ["S3", "Amazon S3", "AmazonS3Exception"], sdk: ["S3", "S3Exception"] };
pub(super) const EVENTS: Service = Service {
    optimized: ["EventBridge", "AmazonCloudWatchEvents", "AmazonEventBridgeException"],
    sdk: ["EventBridge", "EventBridgeException"],
};

/// A refusal, as the service's API has it.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The HTTP status.
    pub(super) status: u16,
    /// The code on the wire.
    pub(super) code: &'static str,
    /// The exception that the SDKs know it as; `None`: the service's own general one.
    pub(super) exception: Option<&'static str>,
    /// The message.
    pub(super) message: String,
}

impl Service {
    /// The failure of a task whose call was refused.
    pub(super) fn failure(&self, flavor: Flavor, refusal: &Refusal) -> Failure {
        let Refusal { status, code, exception, message } = refusal;
        let request = clock::uuid();
        match flavor {
            Flavor::Optimized => {
                let [prefix, name, general] = self.optimized;
                Failure::new(
                    format!("{prefix}.{}", exception.unwrap_or(general)),
                    format!(
                        "{message} (Service: {name}; Status Code: {status}; Error Code: {code}; \
                         Request ID: {request}; Proxy: null)"
                    ),
                )
            }
            Flavor::Sdk => {
                let [name, general] = self.sdk;
                Failure::new(
                    format!("{name}.{}", exception.unwrap_or(general)),
                    format!(
                        "{message} (Service: {name}, Status Code: {status}, Request ID: {request}) \
                         (SDK Attempt Count: 1)"
                    ),
                )
            }
        }
    }

    /// The failure of a task whose call met a store that did not work.
    pub(super) fn unavailable(&self, flavor: Flavor, why: &impl std::fmt::Display) -> Failure {
        let message = why.to_string();
        let refusal = Refusal { status: 500, code: "InternalServerError", exception: None, message };
        self.failure(flavor, &refusal)
    }
}
