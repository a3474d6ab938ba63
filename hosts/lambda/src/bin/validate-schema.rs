//! The Lambda function of ValidateSchema.

use batches::validate_schema;
use lambda::{Config, objects, serve};
use registry::Function;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let objects = objects(&Config::from_env())?;
    serve(Function::ValidateSchema, async |input| validate_schema(input, &objects).await).await
}
