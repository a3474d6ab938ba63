//! The Lambda function of RouteEvents.

use delivery::{route_events, routes::Routes};
use jiff::SignedDuration;
use kernel::{queue::QueueName, store::Table};
use lambda::{Config, DynamoStore, Sqs, clock::now, objects, serve};
use registry::Function;

/// SQS may swap two requests, and waits for a second before it calls ConsumeEvents (`MaximumBatchingWindowInSeconds`). The
/// rest is the time of the functions, also of their first call.
const ORDER_SETTLING_DELAY: SignedDuration = SignedDuration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let config = Config::from_env();
    let store = DynamoStore::new(&config, &[Table::Responses, Table::Destinations, Table::Deliveries])?;
    let queue = Sqs::new(&config, &[QueueName::Lanes])?;
    let (objects, routes) = (objects(&config)?, Routes::default());
    let route = async |input| {
        route_events(input, &store, &objects, &queue, &routes, now(), ORDER_SETTLING_DELAY).await
    };
    serve(Function::RouteEvents, route).await
}
