//! crmflow on AWS: the parts of the binaries in `src/bin`, which has one for each function.
//!
//! [`serve`] makes a Lambda function of a step, and [`serve_queue`] one of a consumer. [`DynamoStore`] is the store,
//! [`bucket`] the objects, [`Sqs`] the queues, [`Express`] the flow of events. [`StepFunctions`] is the flow behind the API,
//! which [`serve_http`] serves to API Gateway. [`Config`] is the configuration of the environment.

pub mod attributes;
pub mod back_pressure;
pub mod bucket;
pub mod client;
pub mod clock;
pub mod config;
pub mod destinations;
pub mod dynamo;
pub mod express;
pub mod gateway;
pub mod serve;
pub mod sfn;
pub mod sqs;

pub use back_pressure::RetryTime;
pub use bucket::{bucket, objects};
pub use config::Config;
pub use dynamo::DynamoStore;
pub use express::{Executions, Express};
pub use gateway::serve_http;
pub use serve::{Deadline, serve, serve_queue};
pub use sfn::StepFunctions;
pub use sqs::Sqs;
