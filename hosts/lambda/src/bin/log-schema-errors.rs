//! The Lambda function of LogSchemaErrors.

use functions::{Function, steps::log_schema_errors};
use lambda::{Config, objects, serve};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let objects = objects(&Config::from_env())?;
    serve(Function::LogSchemaErrors, async |input| log_schema_errors(input, &objects).await).await
}
