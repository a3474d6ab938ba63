//! The Lambda function of PutEvents.

use events::put_events;
use kernel::store::Table;
use lambda::{Config, DynamoStore, objects, serve};
use registry::Function;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let config = Config::from_env();
    let store = DynamoStore::new(&config, &[Table::Events, Table::Responses])?;
    let objects = objects(&config)?;
    serve(Function::PutEvents, async |input| put_events(input, &store, &objects).await).await
}
