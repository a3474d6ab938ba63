//! The Lambda function of DeliverEvents.

use functions::{
    Consumer,
    deliver::{BUDGET, Courier, PATIENCE, Tools},
    outbound::Outbound,
    queue::QueueName,
    store::Table,
};
use lambda::{
    Config, DynamoStore, Sqs,
    clock::{now, random},
    destinations::guard,
    objects, serve_queue,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let config = Config::from_env();
    let tables = [Table::Events, Table::Responses, Table::Destinations, Table::Deliveries];
    let courier = Courier::new(Tools {
        store: DynamoStore::new(&config, &tables)?,
        objects: objects(&config)?,
        queue: Sqs::new(&config, &QueueName::ALL)?,
        outbound: Outbound::new(guard(&config)?)?,
        now,
        random,
        // An environment works on one call at a time.
        holder: format!("{:x}", random()),
        budget: BUDGET,
        patience: PATIENCE,
    });
    serve_queue(Consumer::DeliverEvents, async |events, _deadline| Ok(courier.deliver(events).await)).await
}
