//! The registry: every function that a state machine may name, and the one place that turns its name into a call.

use std::{path::PathBuf, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use delivery::routes::Routes;
use destinations::outbound::Outbound;
use kernel::{error::Error, json, objects::Objects, queue::Queue, store::Store};

kernel::names! {
    /// Every function.
    pub enum Function, a "Function" {
        /// Sorts records into valid and invalid ones.
        ValidateSchema = "ValidateSchema",
        /// Logs each invalid record and puts it into quarantine.
        LogSchemaErrors = "LogSchemaErrors",
        /// Passes the first record of each address.
        RemoveDuplicates = "RemoveDuplicates",
        /// Stores the contacts who opted in.
        PutOptIns = "PutOptIns",
        /// Withdraws the known contacts who no longer agree.
        WithdrawOptIns = "WithdrawOptIns",
        /// Stores the events whose ids are free.
        PutEvents = "PutEvents",
        /// Queues events in the lanes of the destinations that want them.
        RouteEvents = "RouteEvents",
        /// Decides the one outcome of every record of a chunk, and counts them.
        Summarize = "Summarize",
        /// Puts records that a failed step left undecided into quarantine.
        QuarantineRecords = "QuarantineRecords",
        /// Cuts an upload into chunks.
        CutChunks = "CutChunks",
        /// Sums the chunks of a batch.
        SummarizeBatch = "SummarizeBatch",
        /// Sends one event to a destination, to test its answer.
        TestDestination = "TestDestination",
    }
}

impl Function {
    /// The function with a name: its own, or that of its resource in the template.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.strip_suffix("Function").unwrap_or(name);
        Self::ALL.into_iter().find(|function| function.name() == name)
    }
}

/// The dependencies of functions.
#[derive(Clone, Debug)]
pub struct Host<S, Q> {
    /// The tables.
    pub store: S,
    /// The objects.
    pub objects: Objects,
    /// The queues.
    pub queue: Q,
    /// The client that calls destinations.
    pub outbound: Outbound,
    /// The routes to destinations, as of their last read.
    pub routes: Arc<Routes>,
    /// A folder for chunks while they are being cut.
    pub spool: PathBuf,
}

/// Calls a function: JSON in, JSON out.
pub async fn call<S: Store, Q: Queue>(
    function: Function,
    input: &[u8],
    host: &Host<S, Q>,
    now: Timestamp,
) -> Result<Vec<u8>, Error> {
    let Host { store, objects, queue, routes, spool, .. } = host;
    match function {
        Function::ValidateSchema => {
            json::encode(&batches::validate_schema(json::decode(input)?, objects).await?)
        }
        Function::LogSchemaErrors => {
            json::encode(&batches::log_schema_errors(json::decode(input)?, store, objects).await?)
        }
        Function::RemoveDuplicates => {
            json::encode(&batches::remove_duplicates(json::decode(input)?, objects).await?)
        }
        Function::PutOptIns => {
            json::encode(&contacts::put_opt_ins(json::decode(input)?, store, objects).await?)
        }
        Function::WithdrawOptIns => {
            json::encode(&contacts::withdraw_opt_ins(json::decode(input)?, store, objects).await?)
        }
        Function::PutEvents => json::encode(&events::put_events(json::decode(input)?, store, objects).await?),
        Function::RouteEvents => {
            // The queue of this machine keeps its order.
            let ordering_delay = SignedDuration::ZERO;
            let routed = delivery::route_events(
                json::decode(input)?,
                store,
                objects,
                queue,
                routes,
                now,
                ordering_delay,
            );
            json::encode(&routed.await?)
        }
        Function::Summarize => {
            json::encode(&batches::summarize(json::decode(input)?, store, objects, now).await?)
        }
        Function::QuarantineRecords => {
            json::encode(&batches::quarantine_records(json::decode(input)?, store, objects, now).await?)
        }
        Function::CutChunks => {
            json::encode(&batches::cut_chunks(json::decode(input)?, store, objects, spool).await?)
        }
        Function::SummarizeBatch => {
            json::encode(&batches::summarize_batch(json::decode(input)?, store, objects, now).await?)
        }
        Function::TestDestination => {
            json::encode(&delivery::test_destination(json::decode(input)?, store, &host.outbound, now).await?)
        }
    }
}
