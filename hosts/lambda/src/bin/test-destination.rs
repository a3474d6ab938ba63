//! The Lambda function of TestDestination.

use delivery::test_destination;
use destinations::outbound::Outbound;
use kernel::store::Table;
use lambda::{Config, DynamoStore, clock::now, destinations::guard, serve};
use registry::Function;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let config = Config::from_env();
    let store = DynamoStore::new(&config, &[Table::Destinations])?;
    let outbound = Outbound::new(guard(&config)?)?;
    serve(Function::TestDestination, async |input| test_destination(input, &store, &outbound, now()).await)
        .await
}
