//! The HTTP API as a Lambda function: the router that the local host serves too.

use api::Api;
use functions::store::Table;
use lambda::{
    Config, DynamoStore, StepFunctions,
    clock::{now, random},
    log, objects,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    log();
    let config = Config::from_env();
    let store = DynamoStore::new(&config, &Table::ALL)?;
    let flow = StepFunctions::new(&config)?;
    lambda_http::run(api::router(Api::new(store, objects(&config)?, flow, now, random))).await
}
