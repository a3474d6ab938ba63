//! The flow behind the API: executions on Step Functions, uploads to S3.

use std::{sync::Arc, time::Duration};

use api::{Ended, ExecutionStatus, Flow, FlowError, Machine, Started};
use aws_sdk_sfn::{
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    primitives::DateTime,
    types::ExecutionStatus as Stage,
};
use batches::upload_key;
use http::Method;
use jiff::Timestamp;
use kernel::{BatchId, Name, queue::QueueName};
use object_store::{aws::AmazonS3, path::Path, signer::Signer};

use crate::{
    Config, Executions, Sqs,
    back_pressure::{Fault, RetryTime, fault, retry},
    config::Missing,
};

/// Validity of an upload's address.
const UPLOAD_VALIDITY: Duration = Duration::from_secs(3600);

/// Step Functions, and the bucket of uploads.
#[derive(Clone, Debug)]
pub struct StepFunctions {
    executions: Executions,
    bucket: Arc<AmazonS3>,
    queue: Sqs,
    machines: Arc<Arns>,
}

/// The ARNs, in the order of [`Machine::ALL`].
#[derive(Debug)]
struct Arns([String; Machine::ALL.len()]);

impl Arns {
    fn read(config: &Config) -> Result<Self, Missing> {
        let mut arns = Machine::ALL.map(|_| String::new());
        for machine in Machine::ALL {
            config.machine(machine).get()?.clone_into(&mut arns[machine as usize]);
        }
        Ok(Self(arns))
    }
}

impl StepFunctions {
    /// The machines and the bucket of the configuration.
    pub fn new(config: &Config) -> Result<Self, lambda_runtime::Error> {
        Ok(Self {
            executions: Executions::new(config)?,
            bucket: crate::bucket(config)?,
            queue: Sqs::new(config, &QueueName::ALL)?,
            machines: Arc::new(Arns::read(config)?),
        })
    }

    fn arn(&self, machine: Machine) -> &str {
        &self.machines.0[machine as usize]
    }

    async fn describe(&self, execution_arn: &str) -> Result<Option<(Stage, Timestamp)>, FlowError> {
        let describe = self.executions.client().describe_execution().execution_arn(execution_arn);
        match retry(RetryTime::SOON, || describe.clone().send(), |_| None).await {
            Ok(found) => Ok(Some((found.status, timestamp(found.start_date)?))),
            Err(error) if is(&error, &["ExecutionDoesNotExist", "InvalidArn"]) => Ok(None),
            Err(error) => Err(failure(&error)),
        }
    }
}

impl Flow for StepFunctions {
    type Queue = Sqs;

    fn queue(&self) -> &Sqs {
        &self.queue
    }

    fn execution_arn(&self, machine: Machine, name: &str) -> String {
        execution_arn(self.arn(machine), name)
    }

    async fn start(&self, machine: Machine, name: &str, input: String) -> Result<Started, FlowError> {
        let start = self
            .executions
            .client()
            .start_execution()
            .state_machine_arn(self.arn(machine))
            .name(name)
            .input(input);
        match retry(RetryTime::SOON, || start.clone().send(), |_| None).await {
            Ok(started) => Ok(Started {
                execution_arn: started.execution_arn,
                start_date: timestamp(started.start_date)?,
            }),
            Err(error) if is(&error, &["ExecutionAlreadyExists"]) => {
                let execution_arn = self.execution_arn(machine, name);
                match self.describe(&execution_arn).await? {
                    Some((_, start_date)) => Ok(Started { execution_arn, start_date }),
                    None => Err(FlowError::Unavailable(
                        "Step Functions does not show an existing execution yet".into(),
                    )),
                }
            }
            Err(error) => Err(failure(&error)),
        }
    }

    async fn run(&self, machine: Machine, name: &str, input: String) -> Result<Ended, FlowError> {
        self.executions.run(self.arn(machine), name, input, RetryTime::SOON).await
    }

    async fn status(&self, execution_arn: &str) -> Result<Option<ExecutionStatus>, FlowError> {
        let found = self.describe(execution_arn).await?;
        Ok(found.map(|(stage, _)| match stage {
            Stage::Running | Stage::PendingRedrive => ExecutionStatus::Running,
            Stage::Succeeded => ExecutionStatus::Succeeded,
            _ => ExecutionStatus::Ended,
        }))
    }

    async fn upload_address(&self, tenant: &Name, id: BatchId, _origin: &str) -> Result<String, FlowError> {
        let path = Path::from(upload_key(tenant, id));
        let signed = self.bucket.signed_url(Method::PUT, &path, UPLOAD_VALIDITY).await;
        signed.map(String::from).map_err(|error| FlowError::Unavailable(error.to_string()))
    }
}

/// The ARN of an execution, made from its machine's ARN.
fn execution_arn(machine: &str, name: &str) -> String {
    format!("{}:{name}", machine.replacen(":stateMachine:", ":execution:", 1))
}

fn timestamp(date: DateTime) -> Result<Timestamp, FlowError> {
    Timestamp::from_nanosecond(date.as_nanos())
        .map_err(|_| FlowError::Refused("Step Functions returned a date out of range".into()))
}

fn is<E: ProvideErrorMetadata>(error: &SdkError<E>, codes: &[&str]) -> bool {
    error.code().is_some_and(|code| codes.contains(&code))
}

/// Only the code: the text may quote the input.
pub(crate) fn failure<E: ProvideErrorMetadata + std::error::Error + 'static>(
    error: &SdkError<E>,
) -> FlowError {
    let Some(code) = error.code() else {
        return FlowError::Unavailable(DisplayErrorContext(error).to_string());
    };
    match fault(error) {
        Fault::Throttled | Fault::Passing => FlowError::Unavailable(code.to_owned()),
        Fault::Final => FlowError::Refused(code.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_execution_is_named_after_its_machine() {
        assert_eq!(
            execution_arn("arn:aws:states:eu-west-1:000000000000:stateMachine:crm-Records", "01J"),
            "arn:aws:states:eu-west-1:000000000000:execution:crm-Records:01J"
        );
    }
}
