//! B13: the cost of a million records in one upload, and of a million events to one destination. The benchmark computes
//! it from the template and the definitions of its machines.
//!
//! Orchestration is the part that the design decides: transitions of STANDARD machines, requests and memory of EXPRESS
//! ones. The report also has requests of the API, SQS and Lambda, and DynamoDB's writes. It does not count the computing
//! time of Lambda.

mod model;
mod stack;

use std::{fmt, ops::Add};

use serde::Serialize;

use crate::error::Error;
use model::Model;

pub use stack::Stack;

/// Records in one upload.
const RECORDS: f64 = 1_000_000.0;
/// Chunks of the upload, with 20,000 records each (design, Numbers to hold).
const CHUNKS: f64 = 50.0;
/// Saved records, as in the generated set. Each needs one conditional write of one unit.
const SAVED: f64 = 516_140.0;
/// High estimate of the express machine's time for a chunk. It makes six calls of a second or two each, with 12,000 puts
/// to DynamoDB, 64 at a time.
const SECONDS_A_CHUNK: f64 = 20.0;

/// Events, each in a POST of its own: the most expensive way of intake.
const EVENTS: f64 = 1_000_000.0;
/// Bytes of an event in the input of an execution, with its provenance.
const EVENT_BYTES: f64 = 700.0;
/// Maximum bytes of events in the input of an execution (design, Numbers to hold).
const INLINE_BYTES: f64 = 192.0 * 1024.0;
/// High estimate of the express machine's time for these events. It makes six calls; three of them write a few hundred
/// items to DynamoDB, 64 at a time.
const SECONDS_A_BATCH: f64 = 1.0;
/// Messages that SQS delivers, or deletes, in one request.
const MESSAGES_A_REQUEST: f64 = 10.0;
/// Writes for an event with one destination: the event, its response, the update of the response after the delivery, the
/// queue row of the lane, the deletion of that row, and the delivery. Each fits into one unit.
const WRITES_AN_EVENT: f64 = 6.0;

/// Prices of eu-west-1 in dollars.
const TRANSITION: f64 = 25.0 / 1e6;
const EXPRESS_REQUEST: f64 = 1.0 / 1e6;
/// Step Functions charges memory in steps of 64 MB.
const EXPRESS_SECOND: f64 = 0.000_016_67 * 64.0 / 1024.0;
const API_REQUEST: f64 = 1.0 / 1e6;
const QUEUE_REQUEST: f64 = 0.4 / 1e6;
const LAMBDA_REQUEST: f64 = 0.2 / 1e6;
const WRITE: f64 = 0.625 / 1e6;

/// Maximum cost of orchestration, in dollars.
pub const MAX_ORCHESTRATION_DOLLARS: f64 = 0.01;

/// The charged items, in the units of the price list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// State transitions of STANDARD machines, starts of executions included.
    pub transitions: f64,
    /// Executions of EXPRESS machines.
    pub express_requests: f64,
    /// Seconds of EXPRESS executions, with 64 MB.
    pub express_seconds: f64,
    /// Requests of the HTTP API.
    pub api_requests: f64,
    /// Requests of SQS: to send, to receive, to delete.
    pub queue_requests: f64,
    /// Calls of Lambda functions.
    pub lambda_requests: f64,
    /// Write units of DynamoDB.
    pub writes: f64,
}

impl Cost {
    /// The cost of orchestration, in dollars.
    pub fn orchestration(&self) -> f64 {
        self.transitions * TRANSITION
            + self.express_requests * EXPRESS_REQUEST
            + self.express_seconds * EXPRESS_SECOND
    }

    /// The cost of all items, in dollars.
    pub fn dollars(&self) -> f64 {
        self.orchestration()
            + self.api_requests * API_REQUEST
            + self.queue_requests * QUEUE_REQUEST
            + self.lambda_requests * LAMBDA_REQUEST
            + self.writes * WRITE
    }

    fn times(self, count: f64) -> Self {
        Self {
            transitions: self.transitions * count,
            express_requests: self.express_requests * count,
            express_seconds: self.express_seconds * count,
            api_requests: self.api_requests * count,
            queue_requests: self.queue_requests * count,
            lambda_requests: self.lambda_requests * count,
            writes: self.writes * count,
        }
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            transitions: self.transitions + other.transitions,
            express_requests: self.express_requests + other.express_requests,
            express_seconds: self.express_seconds + other.express_seconds,
            api_requests: self.api_requests + other.api_requests,
            queue_requests: self.queue_requests + other.queue_requests,
            lambda_requests: self.lambda_requests + other.lambda_requests,
            writes: self.writes + other.writes,
        }
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | count | dollars |\n|---|---|---|")?;
        let orchestration = self.orchestration();
        for (what, count, price) in [
            ("transitions of STANDARD machines", self.transitions, TRANSITION),
            ("requests of EXPRESS machines", self.express_requests, EXPRESS_REQUEST),
            ("seconds of them, in 64 MB", self.express_seconds, EXPRESS_SECOND),
        ] {
            writeln!(f, "| {what} | {count:.0} | {:.5} |", count * price)?;
        }
        writeln!(f, "| orchestration | | {orchestration:.5} |")?;
        for (what, count, price) in [
            ("requests of the HTTP API", self.api_requests, API_REQUEST),
            ("requests of SQS", self.queue_requests, QUEUE_REQUEST),
            ("requests of Lambda functions", self.lambda_requests, LAMBDA_REQUEST),
            ("write units of DynamoDB", self.writes, WRITE),
        ] {
            writeln!(f, "| {what} | {count:.0} | {:.5} |", count * price)?;
        }
        let met = if orchestration <= MAX_ORCHESTRATION_DOLLARS { "met" } else { "missed" };
        writeln!(f, "\norchestration: ${orchestration:.5} of at most ${MAX_ORCHESTRATION_DOLLARS}: {met}")
    }
}

/// The cost of a million of each.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bill {
    /// A million records in one upload.
    pub records: Cost,
    /// A million events to one destination.
    pub events: Cost,
}

impl fmt::Display for Bill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "B13: a million records in one upload, {CHUNKS} chunks\n\n{}", self.records)?;
        writeln!(f, "B13: a million events, each POSTed alone, to one destination\n\n{}", self.events)
    }
}

/// Computes both costs on this stack.
pub fn bill(stack: &Stack) -> Result<Bill, Error> {
    Ok(Bill { records: records(stack)?, events: events(stack)? })
}

/// The cost of an upload of a million records on this stack.
pub fn records(stack: &Stack) -> Result<Cost, Error> {
    let written = Cost { writes: SAVED, ..Cost::default() };
    Ok(Model { stack, seconds: SECONDS_A_CHUNK }.run("BatchStateMachine", RECORDS)? + written)
}

/// The cost of a million events to one destination on this stack, at a rate that fills all batches.
pub fn events(stack: &Stack) -> Result<Cost, Error> {
    let consumed = stack.batch_size("ConsumeEventsFunction")?;
    let delivered = stack.batch_size("DeliverEventsFunction")?;
    let batch = (INLINE_BYTES / EVENT_BYTES).min(consumed);
    let batches = EVENTS / batch;
    let posted =
        Cost { api_requests: EVENTS, lambda_requests: EVENTS, queue_requests: EVENTS, ..Cost::default() };
    let written = Cost { writes: EVENTS * WRITES_AN_EVENT, ..Cost::default() };
    // Each batch sends one wake-up to the lane of the destination.
    let woken = Cost { queue_requests: batches, ..Cost::default() };
    let run = Model { stack, seconds: SECONDS_A_BATCH }.run("RecordsExpressStateMachine", batch)?;
    Ok(posted + fed(EVENTS, consumed) + run.times(batches) + woken + fed(batches, delivered) + written)
}

/// The cost to receive and delete messages, and to call a function with `batch` of them each.
fn fed(messages: f64, batch: f64) -> Cost {
    Cost {
        queue_requests: 2.0 * messages / MESSAGES_A_REQUEST.min(batch),
        lambda_requests: messages / batch,
        ..Cost::default()
    }
}
