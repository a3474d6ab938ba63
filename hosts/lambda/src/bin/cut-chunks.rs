//! The Lambda function of CutChunks. Chunks grow in the function's own disk, `/tmp`.

use batches::cut_chunks;
use kernel::store::Table;
use lambda::{Config, DynamoStore, objects, serve};
use registry::Function;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let config = Config::from_env();
    let store = DynamoStore::new(&config, &[Table::Batches])?;
    let objects = objects(&config)?;
    serve(Function::CutChunks, async |input| cut_chunks(input, &store, &objects, &std::env::temp_dir()).await)
        .await
}
