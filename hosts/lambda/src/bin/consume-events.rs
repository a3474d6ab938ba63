//! The Lambda function of ConsumeEvents.

use events::consume_events::consume_events;
use lambda::{Config, Express, objects, serve_queue};
use registry::Consumer;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let config = Config::from_env();
    let (express, objects) = (Express::new(&config)?, objects(&config)?);
    let consume = async |events, deadline| {
        Ok(consume_events(events, &objects, |feed| express.feed(feed, deadline)).await)
    };
    serve_queue(Consumer::ConsumeEvents, consume).await
}
