//! The HTTP API as a Lambda function: the router that the local host serves too.

use api::Api;
use kernel::store::Table;
use lambda::{
    Config, DynamoStore, RetryTime, StepFunctions,
    clock::{now, random},
    destinations::guard,
    objects, serve_http,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let config = Config::from_env();
    let store = DynamoStore::new(&config, &Table::ALL)?.with_retry_time(RetryTime::SOON);
    let flow = StepFunctions::new(&config)?;
    let api = Api::new(store, objects(&config)?, flow, now, random).with_guard(guard(&config)?);
    serve_http(api::router(api)).await
}
