//! The Lambda function of DeliverEvents.

use delivery::worker;
use destinations::outbound::Outbound;
use kernel::{queue::QueueName, store::Table};
use lambda::{Config, DynamoStore, RetryTime, Sqs, clock, destinations::guard, objects, serve_queue};
use registry::Consumer;

const TABLES: [Table; 4] = [Table::Events, Table::Responses, Table::Destinations, Table::Deliveries];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let config = Config::from_env();
    let deliveries = worker::DeliveryWorker::new(worker::WorkerContext {
        store: DynamoStore::new(&config, &TABLES)?.with_retry_time(RetryTime::LEASED),
        objects: objects(&config)?,
        queue: Sqs::new(&config, &[QueueName::Events, QueueName::Lanes])?,
        outbound: Outbound::new(guard(&config)?)?,
        evaluator: worker::Evaluator::default(),
        now: clock::now,
        random: clock::random,
        holder: format!("{:032x}", clock::random()),
        max_hold: worker::MAX_LEASE_HOLD,
        request_timeout: worker::REQUEST_TIMEOUT,
    });
    serve_queue(Consumer::DeliverEvents, async |wakes, _| Ok(deliveries.deliver(wakes).await)).await
}
