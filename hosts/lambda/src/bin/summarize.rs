//! The Lambda function of Summarize.

use batches::summarize;
use kernel::store::Table;
use lambda::{Config, DynamoStore, clock::now, objects, serve};
use registry::Function;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let config = Config::from_env();
    let store = DynamoStore::new(&config, &[Table::Batches])?;
    let objects = objects(&config)?;
    serve(Function::Summarize, async |input| summarize(input, &store, &objects, now()).await).await
}
