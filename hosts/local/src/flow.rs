//! The flow on this machine: it stores executions before they run, so that a restart finishes them.

use std::sync::Arc;

use api::{Ended, ExecutionStatus, Flow, FlowError, Machine as Which, Started};
use batches::{
    dry_run::{self, Report},
    intake::Staged,
    stored::BatchStatus,
    upload_key,
};
use delivery::worker::DeliveryWorker;
use futures::FutureExt;
use kernel::{
    Batch, BatchId, Error, Name, Objects, objects::STAGING, order, start::Start, store::StoreError,
};
use registry::Host;
use serde::Deserialize;
use sqlite_store::{SqliteStore, queues::LocalQueue};
use states::MockFile;
use step_functions::{
    Services, clock,
    executions::{self, Executions, StartError, Status},
    services::Finished,
};
use template::{Machine, Template};

use crate::{data_folder::DataFolder, delivery_worker, functions, os_limits};

/// The flow behind the API.
#[derive(Clone, Debug)]
pub(crate) struct LocalFlow {
    pub(crate) executions: Executions,
    /// Sends the deliveries of lanes.
    pub(crate) delivery_worker: DeliveryWorker<SqliteStore, LocalQueue>,
}

impl LocalFlow {
    /// The flow on an open folder. A mock configuration file has the test cases that a client may start executions with.
    pub(crate) fn new(folder: &DataFolder, template: Template, mocks: MockFile) -> Self {
        let Host { store, queue, objects, .. } = folder.host.clone();
        let files = objects.clone();
        let host = step_functions::Host {
            store,
            queue,
            objects,
            functions: functions::all(folder.host.clone()),
            bytes_of: Start::bytes_of,
            on_end: Arc::new(move |Finished { name, input }| {
                let files = files.clone();
                async move { clear_staging(&files, &tenant_of(&input), &name).await }.boxed()
            }),
            cores: os_limits::cores(),
        };
        let services = Services::new(host, template).with_mock_file(mocks);
        Self {
            executions: Executions::new(services),
            delivery_worker: delivery_worker::delivery_worker(&folder.host),
        }
    }

    /// Clears the working files of an execution that has ended.
    pub(crate) async fn clear_staging(&self, tenant: &Name, name: &str) {
        clear_staging(&self.services().host.objects, tenant, name).await;
    }

    /// The engine of its executions.
    pub(crate) fn services(&self) -> &Services {
        &self.executions.services
    }

    fn machine(&self, which: Which) -> Result<&Arc<Machine>, FlowError> {
        let name = which.resource();
        self.services()
            .template
            .machine(name)
            .ok_or_else(|| FlowError::Refused(format!("there is no machine {name}")))
    }

    /// Starts the batch of a complete upload.
    pub(crate) async fn uploaded(&self, tenant: &Name, mut batch: BatchStatus) -> Result<(), FlowError> {
        let name = batch.batch_id.to_string();
        batch.execution_arn = Some(self.execution_arn(Which::Batch, &name));
        let store = &self.services().host.store;
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

/// The tenant in the input of an execution: of its batch, or in the key of its upload. A bare list belongs to the
/// default tenant.
fn tenant_of(input: &str) -> Name {
    #[derive(Deserialize)]
    struct Input {
        batch: Option<OfTenant>,
        upload: Option<String>,
    }
    #[derive(Deserialize)]
    struct OfTenant {
        tenant: Name,
    }
    let tenant = serde_json::from_str::<Input>(input).ok().and_then(|input| match input {
        Input { batch: Some(OfTenant { tenant }), .. } => Some(tenant),
        Input { upload, .. } => upload?.split('/').nth(1)?.parse().ok(),
    });
    tenant.unwrap_or_else(Name::default_tenant)
}

/// Deletes the working files of an ended batch; on AWS a lifecycle rule does that.
async fn clear_staging(objects: &Objects, tenant: &Name, name: &str) {
    let prefix = format!("{STAGING}{tenant}/{name}/");
    if let Err(error) = objects.delete_all(&prefix).await {
        tracing::warn!("working files could not be deleted: {error}");
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
        &self.services().host.queue
    }

    fn execution_arn(&self, machine: Which, name: &str) -> String {
        template::execution_arn(machine.resource(), name)
    }

    async fn dry_run(
        &self,
        batch: &Batch,
        staged: Staged,
        objects: &Objects,
    ) -> Result<Option<Report>, Error> {
        let summary = dry_run::dry_run(batch, staged, &self.services().host.store, objects).await?;
        Ok(Some(Report::new(summary)))
    }

    async fn start(&self, machine: Which, name: &str, input: String) -> Result<Started, FlowError> {
        match self.executions.start(self.machine(machine)?, name, input).await {
            // The same batch is one execution, however often a client starts it.
            Ok(executions::Started { arn, started_at })
            | Err(StartError::AlreadyExists(executions::Started { arn, started_at })) => {
                Ok(Started { execution_arn: arn, start_date: started_at })
            }
            Err(StartError::Unavailable(why)) => Err(FlowError::Unavailable(why)),
            Err(StartError::Refused(why)) => Err(FlowError::Refused(why)),
        }
    }

    async fn run(&self, machine: Which, name: &str, input: String) -> Result<Ended, FlowError> {
        let tenant = tenant_of(&input);
        let ended = self.executions.run_express(self.machine(machine)?, name, input).await;
        if machine == Which::RecordsExpress {
            self.clear_staging(&tenant, name).await;
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

#[cfg(test)]
mod tests {
    use kernel::{Batch, Kind};
    use serde_json::json;

    use super::*;
    use crate::commands;

    /// Runs a batch of a second tenant through a machine; returns how many working files remain.
    async fn left(machine: Which) -> usize {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(root.path(), "test").unwrap();
        let flow = LocalFlow::new(&folder, commands::template(None).unwrap(), MockFile::default());
        let id = BatchId::new(clock::now(), clock::random());
        let batch = Batch {
            batch_id: id,
            tenant: "second".parse().unwrap(),
            provider: "test".parse().unwrap(),
            kind: Kind::Contact,
            received_at: clock::now(),
            order: order::at(clock::now()),
            replay: 0,
            chunk: None,
            rules: kernel::Rules::default(),
        };
        let records = kernel::records::Records::inline(b"{\"index\":0,\"record\":{}}\n").unwrap();
        let input = json!({ "batch": batch, "records": records }).to_string();
        let (name, objects) = (id.to_string(), &folder.host.objects);
        let files = format!("{STAGING}second/{name}/");
        objects.put(&format!("{files}0/Test.part.json.gz"), b"{}".to_vec()).await.unwrap();
        if machine == Which::RecordsExpress {
            assert_eq!(flow.run(machine, &name, input).await.unwrap().status, ExecutionStatus::Succeeded);
        } else {
            let arn = flow.start(machine, &name, input).await.unwrap().execution_arn;
            let ended = flow.executions.ended(&arn).await.unwrap().unwrap();
            assert_eq!(ended.status, Status::Succeeded, "{ended:?}");
        }
        objects.list(&files).await.unwrap().len()
    }

    #[test]
    fn an_input_names_its_tenant() {
        let id = BatchId::new(clock::now(), 1);
        let upload = json!({ "upload": upload_key(&"second".parse().unwrap(), id) }).to_string();
        for (input, tenant) in [
            (r#"{"batch": {"tenant": "second"}, "records": {}}"#, "second"),
            (&upload, "second"),
            (r#"[{"email": "a@example.com"}]"#, "default"),
            ("{}", "default"),
        ] {
            assert_eq!(tenant_of(input).as_str(), tenant, "{input}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn working_files_of_every_tenant_are_cleared() {
        assert_eq!(left(Which::Records).await, 0);
        assert_eq!(left(Which::RecordsExpress).await, 0);
    }
}
