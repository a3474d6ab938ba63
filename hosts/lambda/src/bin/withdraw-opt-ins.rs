//! The Lambda function of WithdrawOptIns.

use contacts::withdraw_opt_ins;
use kernel::store::Table;
use lambda::{Config, DynamoStore, objects, serve};
use registry::Function;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let config = Config::from_env();
    let store = DynamoStore::new(&config, &[Table::OptIns, Table::Consents])?;
    let objects = objects(&config)?;
    serve(Function::WithdrawOptIns, async |input| withdraw_opt_ins(input, &store, &objects).await).await
}
