//! The flow on this machine: executions are kept before they run, so that a restart finishes them.

use std::sync::Arc;

use api::{Ended, ExecutionStatus, Flow, FlowError, Machine as Which, Started};
use batches::{stored::BatchStatus, upload_key};
use kernel::{BatchId, Name, order, store::StoreError};
use sqlite_store::queues::LocalQueue;
use template::Machine;

use crate::{
    clock,
    executions::{self, Executions, StartError, Status},
    runner::Engine,
};

/// The flow behind the API.
#[derive(Clone, Debug)]
pub(crate) struct LocalFlow {
    pub(crate) executions: Executions,
}

impl LocalFlow {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { executions: Executions::new(engine) }
    }

    /// What its executions run on.
    pub(crate) fn engine(&self) -> &Engine {
        &self.executions.engine
    }

    fn machine(&self, which: Which) -> Result<&Arc<Machine>, FlowError> {
        let name = which.resource();
        self.engine()
            .wiring
            .machine(name)
            .ok_or_else(|| FlowError::Refused(format!("there is no machine {name}")))
    }

    /// An upload has arrived whole: its batch starts.
    pub(crate) async fn uploaded(&self, tenant: &Name, mut batch: BatchStatus) -> Result<(), FlowError> {
        let name = batch.batch_id.to_string();
        batch.execution_arn = Some(self.execution_arn(Which::Batch, &name));
        let store = &self.engine().host.store;
        let saved = async {
            batch.order = order::next(store, tenant, clock::now()).await?;
            batch.save(tenant, store).await
        };
        saved.await.map_err(|error: kernel::Error| FlowError::Unavailable(error.to_string()))?;
        let input = serde_json::json!({ "upload": upload_key(tenant, batch.batch_id) }).to_string();
        self.start(Which::Batch, &name, input).await?;
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
    type Queue = LocalQueue;

    fn queue(&self) -> &LocalQueue {
        &self.engine().host.queue
    }

    fn execution_arn(&self, machine: Which, name: &str) -> String {
        template::execution_arn(machine.resource(), name)
    }

    async fn start(&self, machine: Which, name: &str, input: String) -> Result<Started, FlowError> {
        match self.executions.start(self.machine(machine)?, name, input).await {
            // A batch is one execution, however often it is asked for.
            Ok(executions::Started { arn, started_at })
            | Err(StartError::AlreadyExists(executions::Started { arn, started_at })) => {
                Ok(Started { execution_arn: arn, start_date: started_at })
            }
            Err(StartError::Unavailable(why)) => Err(FlowError::Unavailable(why)),
            Err(StartError::Refused(why)) => Err(FlowError::Refused(why)),
        }
    }

    async fn run(&self, machine: Which, name: &str, input: String) -> Result<Ended, FlowError> {
        let ended = self.executions.run_express(self.machine(machine)?, name, input).await;
        if machine == Which::RecordsExpress {
            self.executions.clear_staging(&Name::default_tenant(), name).await;
        }
        let (ended, output, ..) = executions::parts(&ended.outcome);
        Ok(Ended { status: status(ended), output })
    }

    async fn status(&self, execution_arn: &str) -> Result<Option<ExecutionStatus>, FlowError> {
        let found = self.executions.find(execution_arn).map_err(unavailable)?;
        Ok(found.map(|execution| status(execution.status)))
    }

    async fn upload_address(&self, tenant: &Name, id: BatchId, origin: &str) -> Result<String, FlowError> {
        Ok(format!("{origin}/uploads/{tenant}/{id}"))
    }
}

fn status(status: Status) -> ExecutionStatus {
    match status {
        Status::Running => ExecutionStatus::Running,
        Status::Succeeded => ExecutionStatus::Succeeded,
        Status::Failed | Status::TimedOut | Status::Aborted => ExecutionStatus::Ended,
    }
}
