//! The Lambda function of PutOptIns.

use contacts::put_opt_ins;
use kernel::store::Table;
use lambda::{Config, DynamoStore, objects, serve};
use registry::Function;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let config = Config::from_env();
    let store = DynamoStore::new(&config, &[Table::OptIns, Table::Consents])?;
    let objects = objects(&config)?;
    serve(Function::PutOptIns, async |input| put_opt_ins(input, &store, &objects).await).await
}
