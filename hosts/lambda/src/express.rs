//! Synchronous executions of EXPRESS machines.

use std::time::Duration;

use api::{Ended, ExecutionStatus, FlowError, Machine};
use aws_sdk_sfn::{
    Client,
    config::{BehaviorVersion, http::HttpRequest, retry::RetryConfig, timeout::TimeoutConfig},
    types::SyncExecutionStatus,
};
use events::consume_events::{FlowInput, FlowResult};
use kernel::Error;

use crate::{
    Config,
    back_pressure::{Fault, RetryTime, fault, retry},
    client::Aws,
    clock,
    config::Missing,
    serve::Deadline,
    sfn::failure,
};

/// Maximum time for the answer of a synchronous execution: as long as it may run. The caller may stop sooner.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);
/// Executions of EXPRESS machines on Step Functions.
#[derive(Clone, Debug)]
pub struct Executions {
    client: Client,
    emulated: bool,
}

impl Executions {
    /// Step Functions of the configuration.
    pub fn new(config: &Config) -> Result<Self, Missing> {
        let aws = Aws::new(config)?;
        let mut sdk = aws_sdk_sfn::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(aws.region)
            .credentials_provider(aws.credentials)
            .http_client(aws.http)
            .retry_config(RetryConfig::disabled())
            .timeout_config(aws.timeouts);
        sdk.set_endpoint_url(aws.endpoint);
        Ok(Self { client: Client::from_conf(sdk.build()), emulated: config.endpoint.is_some() })
    }

    /// The client, for other calls.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Runs an execution to its end. Only a throttled request is repeated: without an answer the execution may be running,
    /// and a second one would do the same concurrently.
    pub async fn run(
        &self,
        machine: &str,
        name: &str,
        input: String,
        retry_time: RetryTime,
    ) -> Result<Ended, FlowError> {
        let emulated = self.emulated;
        let execution = self.client.start_sync_execution().state_machine_arn(machine).name(name).input(input);
        let once = || async {
            let config = aws_sdk_sfn::Config::builder()
                .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(ANSWER_TIMEOUT).build());
            let asked = execution.clone().customize().config_override(config);
            match asked.mutate_request(move |request| without_prefix(request, emulated)).send().await {
                // The execution may have started.
                Err(error) if fault(&error) == Fault::Passing => Ok(Err(error)),
                ended => ended.map(Ok),
            }
        };
        match retry(retry_time, once, |_| None).await {
            Ok(Ok(ended)) if ended.status == SyncExecutionStatus::Succeeded => {
                Ok(Ended { status: ExecutionStatus::Succeeded, output: ended.output })
            }
            Ok(Ok(_)) => Ok(Ended { status: ExecutionStatus::Ended, output: None }),
            Ok(Err(error)) | Err(error) => Err(failure(&error)),
        }
    }
}

/// The records machine as EXPRESS: it runs events through the flow.
#[derive(Clone, Debug)]
pub struct Express {
    executions: Executions,
    machine: String,
}

impl Express {
    /// The machine of the configuration.
    pub fn new(config: &Config) -> Result<Self, Missing> {
        let machine = config.machine(Machine::RecordsExpress).get()?.to_owned();
        Ok(Self { executions: Executions::new(config)?, machine })
    }

    /// Runs events through the flow until the deadline of the call; returns how the execution ended.
    ///
    /// The function acknowledges the events that passed before, so a slow flow makes progress with every attempt.
    pub async fn feed(&self, feed: FlowInput, deadline: Deadline) -> Result<FlowResult, Error> {
        let late = || Error::StorageUnavailable("the call has no time left".into());
        let left = deadline.left(clock::now()).ok_or_else(late)?;
        let name = feed.batch.batch_id.to_string();
        let run = self.executions.run(&self.machine, &name, feed.input, RetryTime::UntilDropped);
        let run = tokio::time::timeout(left, run);
        let ended = run.await.map_err(|_| late())?.map_err(|error| match error {
            FlowError::Unavailable(_) => Error::StorageUnavailable(error.to_string()),
            FlowError::Refused(_) => Error::StorageRefused(error.to_string()),
        })?;
        Ok(match ended.status {
            ExecutionStatus::Succeeded => FlowResult::Completed,
            ExecutionStatus::Running | ExecutionStatus::Ended => {
                FlowResult::Failed("its execution failed".into())
            }
        })
    }
}

/// AWS answers synchronous executions at a separate host, `sync-states`; an emulator has one host.
fn without_prefix(request: &mut HttpRequest, emulated: bool) {
    if emulated {
        let plain = request.uri().replacen("://sync-", "://", 1);
        // The address without its prefix is an address too.
        let _ = request.set_uri(plain);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emulator_is_called_by_its_one_name() {
        let mut request = HttpRequest::empty();
        request.set_uri("http://sync-127.0.0.1:4566/").expect("an address");
        without_prefix(&mut request, true);
        assert_eq!(request.uri(), "http://127.0.0.1:4566/");
    }
}
