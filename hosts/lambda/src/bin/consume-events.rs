//! The Lambda function of ConsumeEvents.

use functions::{Consumer, consume_events::consume_events};
use lambda::{Config, Express, serve_queue};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let express = Express::new(&Config::from_env())?;
    let consume =
        async |events, deadline| Ok(consume_events(events, |feed| express.feed(feed, deadline)).await);
    serve_queue(Consumer::ConsumeEvents, consume).await
}
