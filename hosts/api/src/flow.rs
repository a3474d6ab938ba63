//! What the API needs of a host beside storage: to start executions and ask how they are, and an address
//! that a large file can be put to.

use std::future::Future;

use jiff::Timestamp;
use kernel::{BatchId, Name, queue::Queue};

/// The machines that the API starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// `records.asl.json` as STANDARD: a batch that is small enough to go inline.
    Records,
    /// `records.asl.json` as EXPRESS: a batch whose end somebody waits for.
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

/// An execution that was run to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How it ended.
    pub status: ExecutionStatus,
    /// Its output, if it ended well: a JSON text.
    pub output: Option<String>,
}

/// An execution that was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// Its ARN.
    pub execution_arn: String,
    /// When it was started.
    pub start_date: Timestamp,
}

/// Where an execution stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecutionStatus {
    /// It goes on.
    Running,
    /// It ended well.
    Succeeded,
    /// It failed, timed out or was stopped.
    Ended,
}

/// Why a host could not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FlowError {
    /// Busy or out of reach: trying again may help.
    #[error("the flow is not available: {0}")]
    Unavailable(String),
    /// It refused for good.
    #[error("the flow refused: {0}")]
    Refused(String),
}

/// The flow behind the API: Step Functions and S3 on AWS, the engine and files on one machine.
pub trait Flow: Clone + Send + Sync + 'static {
    /// The queues.
    type Queue: Queue;

    /// The queues.
    fn queue(&self) -> &Self::Queue;

    /// The ARN that the execution of a machine with this name has, or will have.
    fn execution_arn(&self, machine: Machine, name: &str) -> String;

    /// Starts an execution, durably. The same name with the same input again gives the first one.
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

    /// Where an execution stands; `None`: there is none with this ARN.
    fn status(
        &self,
        execution_arn: &str,
    ) -> impl Future<Output = Result<Option<ExecutionStatus>, FlowError>> + Send;

    /// An address that one file can be put to within an hour; the batch starts when it has arrived.
    /// `origin` is the scheme and authority that the client called.
    fn upload_address(
        &self,
        tenant: &Name,
        id: BatchId,
        origin: &str,
    ) -> impl Future<Output = Result<String, FlowError>> + Send;
}
