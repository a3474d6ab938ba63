//! The Lambda function of RemoveDuplicates.

use batches::remove_duplicates;
use lambda::{Config, objects, serve};
use registry::Function;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let objects = objects(&Config::from_env())?;
    serve(Function::RemoveDuplicates, async |input| remove_duplicates(input, &objects).await).await
}
