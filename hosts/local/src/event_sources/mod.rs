//! The event source mappings of this machine: they call functions with messages of queues.

mod poller;

use events::consume_events::{FlowInput, FlowResult, consume_events};
use kernel::{
    Error, json,
    queue::{BatchResponse, SqsEvent},
};
use registry::Consumer;
use states::{Failure, Outcome};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tracing::Instrument;

use crate::{data_folder::Paths, flow::LocalFlow};
use poller::Poller;

/// Feeds functions from their queues until `stop`, and ends after the calls in flight.
pub(crate) async fn poll(flow: LocalFlow, paths: Paths, stop: impl Future<Output = ()>) {
    let (tell, stopped) = watch::channel(false);
    let mut pollers = JoinSet::new();
    for mapping in flow.services().template.mappings.iter().filter(|mapping| mapping.enabled) {
        let poller = Poller::new(mapping.clone(), flow.clone(), paths.paused(&mapping.queue.name));
        poller.into_iter().for_each(|poller| _ = pollers.spawn(poller.run(stopped.clone())));
    }
    stop.await;
    // Without a mapping nothing waits for the signal.
    let _ = tell.send(true);
    while pollers.join_next().await.is_some() {}
}

/// The reason for a message whose function panicked.
const PANICKED: &str = "a fault in crmflow stopped the function";

/// Calls a consumer with an event as JSON; returns its answer as JSON.
pub(crate) async fn invoke(consumer: Consumer, event: &[u8], flow: &LocalFlow) -> Result<Vec<u8>, Error> {
    json::encode(&call(consumer, json::decode(event)?, flow.clone(), None).await)
}

/// Calls a consumer with a deadline. Effects before the deadline remain.
async fn call(consumer: Consumer, event: SqsEvent, flow: LocalFlow, until: Option<Instant>) -> BatchResponse {
    let span = tracing::info_span!("function", name = consumer.name());
    let names = event.records.iter().map(|message| message.message_id.clone()).collect();
    match consumer {
        Consumer::ConsumeEvents => {
            // Cutting many events takes computing time, so it runs on a separate thread.
            let runtime = tokio::runtime::Handle::current();
            let consumed = tokio::task::spawn_blocking(move || {
                let objects = &flow.services().host.objects;
                runtime
                    .block_on(consume_events(event, objects, |feed| run(&flow, feed, until)).instrument(span))
            });
            consumed.await.unwrap_or_else(|_| BatchResponse::all(names, PANICKED))
        }
        Consumer::DeliverEvents => {
            let delivered = flow.delivery_worker.deliver(event).instrument(span);
            in_time(until, delivered).await.unwrap_or_else(|| {
                tracing::error!(function.name = consumer.name(), "DeliverEvents took too long");
                BatchResponse::all(names, "it took longer than the queue's visibility timeout")
            })
        }
    }
}

/// The result of a future, if it ends before the deadline.
async fn in_time<T>(until: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match until {
        Some(until) => timeout_at(until, work).await.ok(),
        None => Some(work.await),
    }
}

/// Runs the record flow on some events until the deadline; returns how the execution ended.
async fn run(flow: &LocalFlow, feed: FlowInput, until: Option<Instant>) -> Result<FlowResult, Error> {
    let FlowInput { batch, input } = feed;
    let machine = flow.services().template.machine("RecordsExpressStateMachine");
    let machine = machine.ok_or_else(|| Error::BadInput("there is no RecordsExpressStateMachine".into()))?;
    let name = batch.batch_id.to_string();
    let ended = in_time(until, flow.executions.run_express(machine, &name, input)).await;
    flow.clear_staging(&batch.tenant, &name).await;
    let ended = ended.ok_or_else(|| Error::StorageUnavailable("the call has no time left".into()))?;
    Ok(match ended.outcome {
        Outcome::Succeeded(_) => FlowResult::Completed,
        Outcome::Failed(failure) | Outcome::TimedOut(failure) | Outcome::Aborted(failure) => {
            FlowResult::Failed(reason(failure))
        }
    })
}

/// The reason why an execution failed. It includes the cause only if the record flow wrote it, with the error name of a
/// step first; any other cause could contain personal data.
fn reason(failure: Failure) -> String {
    let Failure { error, cause } = failure;
    let error = error.unwrap_or_else(|| "its execution failed".into());
    match cause {
        Some(cause) if error == "RecordsFailed" => cause.split(';').next().unwrap_or_default().to_owned(),
        _ => error,
    }
}
