//! crmflow on AWS: what the binaries in `src/bin`, one a function, are wired from.
//!
//! [`serve`] turns a step into a Lambda function. [`DynamoStore`] is the store, [`bucket`] the objects, [`Sqs`] the queues,
//! [`StepFunctions`] the flow behind the API. [`Config`] is all that the environment says.

pub mod attributes;
pub mod bucket;
pub mod client;
pub mod clock;
pub mod config;
pub mod dynamo;
pub mod serve;
pub mod sfn;
pub mod sqs;

pub use bucket::{bucket, objects};
pub use config::Config;
pub use dynamo::DynamoStore;
pub use serve::{log, serve};
pub use sfn::StepFunctions;
pub use sqs::Sqs;
