//! The Lambda function of LogSchemaErrors.

use batches::log_schema_errors;
use kernel::store::Table;
use lambda::{Config, DynamoStore, objects, serve};
use registry::Function;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let config = Config::from_env();
    let store = DynamoStore::new(&config, &[Table::Events])?;
    let objects = objects(&config)?;
    serve(Function::LogSchemaErrors, async |input| log_schema_errors(input, &store, &objects).await).await
}
