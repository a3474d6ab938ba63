//! Events, played as one execution of the record flow: what the queue's consumer gives to it.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json, value::RawValue};

use crate::{
    cases,
    http::Client,
    program::Place,
    step_functions::{STATES, ask},
};

/// How many requests there were.
static REQUESTS: AtomicU64 = AtomicU64::new(0);

/// How an execution ended that was given the events of one request.
pub(crate) struct Played {
    /// The request's id, after which its quarantine is named.
    pub(crate) request: String,
    pub(crate) status: String,
    /// The states that it entered.
    pub(crate) path: Vec<String>,
    /// The counts; null where it failed.
    pub(crate) outcomes: Value,
}

/// Runs events, a JSON list, through the durable record flow on this machine.
#[track_caller]
pub(crate) fn play(sfn: &Client, place: &Place, events: &RawValue) -> Played {
    let request = format!("01KAKZ{:020}", REQUESTS.fetch_add(1, Ordering::Relaxed));
    let started = ask(
        sfn,
        "StartExecution",
        json!({
            "stateMachineArn": format!("{STATES}stateMachine:RecordsStateMachine"),
            "name": request,
            "input": input(&request, events),
        }),
    );
    let arn = started["executionArn"].as_str().unwrap();
    let path = cases::path(place, arn);
    let ended = ask(sfn, "DescribeExecution", json!({ "executionArn": arn }));
    let output: Value = serde_json::from_str(ended["output"].as_str().unwrap_or("null")).unwrap();
    Played {
        request,
        status: ended["status"].as_str().unwrap().to_owned(),
        path,
        outcomes: output["outcomes"].clone(),
    }
}

/// What the consumer gives to the flow for one request.
fn input(request: &str, events: &RawValue) -> String {
    let events: Vec<Box<RawValue>> = serde_json::from_str(events.get()).unwrap();
    let received_at = "2026-11-21T08:00:00Z";
    let lines = events.iter().enumerate().map(|(index, event)| {
        let value: Value = serde_json::from_str(event.get()).unwrap();
        let id = value["messageId"].as_str().map_or_else(|| format!("{request}-{index}"), ToOwned::to_owned);
        let arrival =
            json!({ "id": request, "index": index, "messageId": id, "via": "events", "receivedAt": received_at });
        // The event goes as it stands, but for line feeds.
        format!(r#"{{"index":{index},"arrival":{arrival},"record":{}}}"#, event.get().replace('\n', " ")) + "\n"
    });
    let records = json!({ "count": events.len(), "lines": lines.collect::<String>() });
    let batch = json!({
        "batchId": request, "tenant": "default", "provider": "events", "kind": "event", "receivedAt": received_at,
    });
    json!({ "batch": batch, "records": records }).to_string()
}
