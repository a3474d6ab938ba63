//! The flow on this machine: executions are kept before they run, so that a restart finishes them.

use api::{ExecutionStatus, Flow, FlowError, Machine as Which, Started};
use functions::{BatchId, Name, batches::BatchStatus, steps::upload_key, store::StoreError};
use states::Value;
use tokio::task::JoinHandle;

use crate::{
    clock,
    executions::{self, Execution, RUNNING},
    runner::{Engine, parts},
    wiring::{self, Machine},
};

/// The flow behind the API.
#[derive(Clone, Debug)]
pub(crate) struct LocalFlow {
    pub(crate) engine: Engine,
}

impl LocalFlow {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine }
    }

    /// Starts every execution again that a crash left running. Steps may run twice.
    pub(crate) fn resume(&self) -> Result<usize, StoreError> {
        let left = executions::running(&self.engine.host.store.readers)?;
        let count = left.len();
        for execution in left {
            tracing::info!(execution.arn = execution.arn, "execution {} goes on", execution.arn);
            self.spawn(execution);
        }
        Ok(count)
    }

    /// Keeps and starts an execution; one that has the name already is joined if it still runs. The handle
    /// ends when the execution does.
    pub(crate) async fn begin(
        &self,
        which: Which,
        name: &str,
        input: String,
    ) -> Result<(Started, Option<JoinHandle<Execution>>), FlowError> {
        let machine = self.machine(which)?;
        let (execution, handle) = self.start_on(machine, name, input).await.map_err(unavailable)?;
        Ok((Started { execution_arn: execution.arn, start_date: execution.started_at }, handle))
    }

    /// Keeps and starts an execution of any machine; gives the one that has the name already, if there is
    /// one, and no handle.
    pub(crate) async fn start_on(
        &self,
        machine: &Machine,
        name: &str,
        input: String,
    ) -> Result<(Execution, Option<JoinHandle<Execution>>), StoreError> {
        let execution = Execution {
            arn: wiring::execution_arn(&machine.name, name),
            machine: machine.name.clone(),
            name: name.to_owned(),
            status: RUNNING.to_owned(),
            input,
            output: None,
            error: None,
            cause: None,
            started_at: clock::now(),
            stopped_at: None,
            history: "[]".to_owned(),
        };
        match executions::create(&self.engine.host.store, execution.clone()).await? {
            Some(found) => Ok((found, None)),
            None => Ok((execution.clone(), Some(self.spawn(execution)))),
        }
    }

    /// Runs a kept execution in the background; gives it as it ended.
    pub(crate) fn spawn(&self, execution: Execution) -> JoinHandle<Execution> {
        let flow = self.clone();
        tokio::spawn(async move { flow.finish(execution).await })
    }

    async fn finish(&self, mut execution: Execution) -> Execution {
        let Some(machine) = self.engine.machine(&execution.machine) else {
            tracing::error!(
                execution.arn = execution.arn,
                "there is no machine {} any more",
                execution.machine
            );
            return execution;
        };
        let input = Value::parse(&execution.input).unwrap_or_default();
        let ended = self.engine.run(&machine, &execution.name, input, execution.started_at).await;
        let (status, output, error, cause) = parts(&ended.outcome);
        execution.status = status.to_owned();
        (execution.output, execution.error, execution.cause) = (output, error, cause);
        execution.stopped_at = Some(clock::now());
        execution.history = serde_json::to_string(&ended.history).unwrap_or_else(|_| "[]".to_owned());
        if let Err(error) = executions::finish(&self.engine.host.store, execution.clone()).await {
            tracing::error!(
                execution.arn = execution.arn,
                "the end of {} could not be kept: {error}",
                execution.arn
            );
        }
        tracing::info!(execution.arn = execution.arn, status, "execution {} ended: {status}", execution.arn);
        self.clear_staging(&execution.name).await;
        execution
    }

    /// Working files of a batch that has ended are of no use; on AWS a lifecycle rule clears them.
    async fn clear_staging(&self, name: &str) {
        let prefix = format!("{}{}/{name}/", functions::objects::STAGING, Name::default_tenant());
        if let Err(error) = self.engine.host.objects.delete_all(&prefix).await {
            tracing::warn!("working files were left: {error}");
        }
    }

    fn machine(&self, which: Which) -> Result<&Machine, FlowError> {
        let name = match which {
            Which::Records => "RecordsStateMachine",
            Which::Batch => "BatchStateMachine",
        };
        let machine = self.engine.wiring.machine(name);
        machine
            .map(|machine| &**machine)
            .ok_or_else(|| FlowError::Refused(format!("there is no machine {name}")))
    }

    /// An upload has arrived whole: its batch starts.
    pub(crate) async fn uploaded(&self, tenant: &Name, mut batch: BatchStatus) -> Result<(), FlowError> {
        let name = batch.batch_id.to_string();
        batch.execution_arn = Some(self.execution_arn(Which::Batch, &name));
        let saved = batch.save(tenant, &self.engine.host.store).await;
        saved.map_err(|error| FlowError::Unavailable(error.to_string()))?;
        let input = serde_json::json!({ "upload": upload_key(tenant, batch.batch_id) }).to_string();
        self.begin(Which::Batch, &name, input).await?;
        Ok(())
    }
}

fn unavailable(error: StoreError) -> FlowError {
    match error {
        StoreError::Unavailable(why) => FlowError::Unavailable(why),
        StoreError::Refused(why) => FlowError::Refused(why),
    }
}

impl Flow for LocalFlow {
    fn execution_arn(&self, machine: Which, name: &str) -> String {
        let machine = match machine {
            Which::Records => "RecordsStateMachine",
            Which::Batch => "BatchStateMachine",
        };
        wiring::execution_arn(machine, name)
    }

    async fn start(&self, machine: Which, name: &str, input: String) -> Result<Started, FlowError> {
        Ok(self.begin(machine, name, input).await?.0)
    }

    async fn run(&self, name: &str, input: String) -> Result<ExecutionStatus, FlowError> {
        let machine = self.engine.wiring.machine("RecordsExpressStateMachine");
        let machine =
            machine.ok_or_else(|| FlowError::Refused("there is no RecordsExpressStateMachine".into()))?;
        let input = Value::parse(&input).map_err(|_| FlowError::Refused("the input is not JSON".into()))?;
        let ended = self.engine.run(machine, name, input, clock::now()).await;
        self.clear_staging(name).await;
        Ok(match parts(&ended.outcome).0 {
            "SUCCEEDED" => ExecutionStatus::Succeeded,
            _ => ExecutionStatus::Ended,
        })
    }

    async fn status(&self, execution_arn: &str) -> Result<Option<ExecutionStatus>, FlowError> {
        let found = executions::find(&self.engine.host.store.readers, execution_arn).map_err(unavailable)?;
        Ok(found.map(|execution| match execution.status.as_str() {
            RUNNING => ExecutionStatus::Running,
            "SUCCEEDED" => ExecutionStatus::Succeeded,
            _ => ExecutionStatus::Ended,
        }))
    }

    async fn upload_address(&self, tenant: &Name, id: BatchId, origin: &str) -> Result<String, FlowError> {
        Ok(format!("{origin}/uploads/{tenant}/{id}"))
    }
}
