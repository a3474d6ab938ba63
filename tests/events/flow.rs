//! Events in cases: played as one execution of the record flow, which is what the queue's consumer gives to it; on a
//! deployed stack sent by `POST /events`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json, value::RawValue};

use crate::{
    harness::{
        http::{Client, encoded, until},
        program::{Place, Server},
    },
    records::cases,
    step_functions::calls::{STATES, ask},
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

/// What is stored under the id of an event.
#[derive(Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Stored {
    message_id: String,
    outcome: String,
    /// Members of what it was read as.
    #[serde(default)]
    event: Map<String, Value>,
    /// Each as pointer and rule.
    #[serde(default)]
    faults: BTreeSet<(String, String)>,
    /// How many others came with its id.
    #[serde(default)]
    conflicts: usize,
    /// Where it goes, and whether it is there.
    #[serde(default)]
    destinations: BTreeMap<String, bool>,
}

/// What is stored of an event, in the words of the case.
#[track_caller]
pub(crate) fn stored(api: &Client, asked: &Stored) -> Stored {
    let message_id = asked.message_id.clone();
    let answer = api.get(&format!("/events/{}", encoded(&message_id)));
    if answer.status != 200 {
        return Stored { message_id, outcome: format!("GET answers {}", answer.status), ..Stored::default() };
    }
    let found = answer.body;
    let list = |name: &str| found[name].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let event = found["event"].as_object().cloned().unwrap_or_default();
    let destinations = found["response"]["destinations"].as_object().cloned().unwrap_or_default();
    Stored {
        message_id,
        outcome: text(&found["outcome"]),
        event: event.into_iter().filter(|(name, _)| asked.event.contains_key(name)).collect(),
        faults: list("faults").iter().map(|fault| (text(&fault["pointer"]), text(&fault["rule"]))).collect(),
        conflicts: list("conflicts").len(),
        destinations: destinations
            .into_iter()
            .map(|(name, there)| (name, there.as_bool().unwrap()))
            .collect(),
    }
}

/// The same, once it is so: nobody knows when a queue that others use has come to it.
#[track_caller]
pub(crate) fn stored_at_last(api: &Client, asked: &Stored) -> Stored {
    until(|| Some(stored(api, asked)).filter(|found| found == asked))
}

/// Sends events, a JSON list, as a client does.
#[track_caller]
pub(crate) fn post(api: &Client, events: &RawValue) {
    let answer = api.post("/events", &[("content-type", "application/json")], events.get().as_bytes());
    assert_eq!(answer.status, 202, "{answer:?}");
}

/// Makes the destinations of a case.
#[track_caller]
pub(crate) fn make(api: &Client, destinations: &[Value]) {
    for destination in destinations {
        let body = destination.to_string();
        let answer = api.post("/destinations", &[("content-type", "application/json")], body.as_bytes());
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

/// An event that was invalid is corrected out of quarantine, by the command line and by the API.
#[test]
fn an_event_in_quarantine_is_corrected_and_routed() {
    let place = Place::new();
    let server = Server::start(&place);
    let (api, sfn) = (Client::new(&server.base), Client::new(&server.step_functions));
    let nameless = r#"{"messageId":"first","userId":"ann","timestamp":"2026-11-21T07:59:58Z"}"#;
    let named = nameless.replace("{", r#"{"event":"Order Placed","#);
    let list = format!("[{nameless},{},{nameless}]", nameless.replace("first", "second"));
    let request = play(&sfn, &place, &RawValue::from_string(list).unwrap()).request;
    let again = json!({ "entries": [{ "batchId": request, "index": 1, "record": json_of(&named.replace("first", "second")) }] });
    let answer =
        api.post("/quarantine/replay", &[("content-type", "application/json")], again.to_string().as_bytes());
    assert_eq!((answer.status, &answer.body["requests"][0]["events"]), (202, &json!(1)), "{answer:?}");
    let routed = |id: &str| Stored {
        message_id: id.to_owned(),
        outcome: "routed".to_owned(),
        event: json!({ "event": "Order Placed", "userId": "ann" }).as_object().unwrap().clone(),
        ..Stored::default()
    };
    stored_at_last(&api, &routed("second"));
    drop(server);
    let corrected = place.file("corrected", &named);
    let (first, file) = (format!("{request}/0"), corrected.to_str().unwrap());
    let replay = ["quarantine", "replay", &first, "--corrected", file];
    assert!(place.run(replay).stdout.contains("1 events are in the queue again"));
    assert!(place.run(replay).stdout.contains("not replayed before"));
    let server = Server::start(&place);
    let api = Client::new(&server.base);
    stored_at_last(&api, &routed("first"));
    // The one that is left is sent as it is, and comes back.
    let all = api.post("/quarantine/replay", &[("content-type", "application/json")], b"{}");
    assert_eq!(all.body["replayed"], 1, "{all:?}");
    let left = until(|| {
        let found = api.all("/quarantine", "entries");
        found.iter().any(|entry| entry["retryCount"] == 1).then_some(found)
    });
    let left: Vec<_> =
        left.iter().map(|entry| (&entry["messageId"], &entry["kind"], &entry["via"])).collect();
    assert_eq!(left, [(&json!("first"), &json!("event"), &json!("events"))]);
    assert_eq!(stored(&api, &routed("first")), routed("first"));
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}
