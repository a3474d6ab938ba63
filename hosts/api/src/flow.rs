//! The interface between the API and a host, besides storage: executions, and upload addresses for large files.

use std::future::{self, Future};

use batches::{dry_run::Report, intake::Staged};
use jiff::Timestamp;
use kernel::{Batch, BatchId, Error, Name, Objects, queue::Queue};

/// The machines that the API starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// `records.asl.json` as STANDARD: a batch that is small enough for an inline input.
    Records,
    /// `records.asl.json` as EXPRESS: a batch whose client waits for its end.
    RecordsExpress,
    /// `batch.asl.json`: a batch in chunks.
    Batch,
    /// `test-destination.asl.json`: one event to one destination.
    TestDestination,
}

impl Machine {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Records, Self::RecordsExpress, Self::Batch, Self::TestDestination];

    /// The logical id of its resource in the template.
    pub fn resource(self) -> &'static str {
        match self {
            Self::Records => "RecordsStateMachine",
            Self::RecordsExpress => "RecordsExpressStateMachine",
            Self::Batch => "BatchStateMachine",
            Self::TestDestination => "TestDestinationStateMachine",
        }
    }
}

/// An execution that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its final status.
    pub status: ExecutionStatus,
    /// Its output, if it succeeded: a JSON text.
    pub output: Option<String>,
}

/// A started execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// Its ARN.
    pub execution_arn: String,
    /// Its start.
    pub start_date: Timestamp,
}

/// The status of an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecutionStatus {
    /// It is running.
    Running,
    /// It succeeded.
    Succeeded,
    /// It failed, timed out or was stopped.
    Ended,
}

/// The failure of a host.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FlowError {
    /// Busy or out of reach: another attempt may succeed.
    #[error("the flow is not available: {0}")]
    Unavailable(String),
    /// Refused for good.
    #[error("the flow refused: {0}")]
    Refused(String),
}

/// The flow behind the API: Step Functions and S3 on AWS, the engine and files on one machine.
pub trait Flow: Clone + Send + Sync + 'static {
    /// The queues.
    type Queue: Queue;

    /// The queues.
    fn queue(&self) -> &Self::Queue;

    /// The present or future ARN of a machine's execution with this name.
    fn execution_arn(&self, machine: Machine, name: &str) -> String;

    /// Starts an execution, durably. The same name with the same input returns the first execution.
    fn start(
        &self,
        machine: Machine,
        name: &str,
        input: String,
    ) -> impl Future<Output = Result<Started, FlowError>> + Send;

    /// Runs an EXPRESS machine and waits for its end.
    fn run(
        &self,
        machine: Machine,
        name: &str,
        input: String,
    ) -> impl Future<Output = Result<Ended, FlowError>> + Send;

    /// The report that a staged batch would have; `None`: this host has no dry runs. On AWS the steps would make the API
    /// function larger than the 4 MB that a cold start permits.
    fn dry_run(
        &self,
        _batch: &Batch,
        _staged: Staged,
        _objects: &Objects,
    ) -> impl Future<Output = Result<Option<Report>, Error>> + Send {
        future::ready(Ok(None))
    }

    /// The status of an execution; `None`: there is none with this ARN.
    fn status(
        &self,
        execution_arn: &str,
    ) -> impl Future<Output = Result<Option<ExecutionStatus>, FlowError>> + Send;

    /// An address for one file, valid for an hour; the complete file starts the batch. `origin` is the scheme and authority
    /// that the client called.
    fn upload_address(
        &self,
        tenant: &Name,
        id: BatchId,
        origin: &str,
    ) -> impl Future<Output = Result<String, FlowError>> + Send;
}
