//! Very many destinations.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use serde_json::{Value, json};

use super::{JSON, Received, Stage, event, size};
use crate::harness::http::{Client, until};

/// How many destinations there are; `CRMFLOW_FAULT_DESTINATIONS` says another number, for a longer run.
const DESTINATIONS: usize = 1_000;
/// How many of them want a name of their own.
const GROUPS: usize = 100;

/// Of very many destinations each gets what it asked for by name, and all get what all want.
#[test]
fn every_destination_of_very_many_gets_its_events() {
    let many = size("CRMFLOW_FAULT_DESTINATIONS", DESTINATIONS);
    let stage = Stage::new();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let api = Client::new(&stage.server.base);
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= many {
                        break;
                    }
                    let url = stage.sink.url(&format!("/analytics-1/{n}"));
                    let names = json!([format!("Group {}", n % GROUPS), "To All"]);
                    let body = json!({
                        "destinationName": format!("d{n}"), "url": url, "type": "analytics", "headers": "",
                        "events": names,
                    });
                    let made = api.post("/destinations", &JSON, body.to_string().as_bytes());
                    assert_eq!(made.status, 200, "{made:?}");
                }
            });
        }
    });
    let few =
        [event(0, 0, "Group 7"), event(0, 1, "Group 8"), event(0, 2, "Group 7"), event(0, 3, "Nobody's")];
    stage.accept(&few);
    let group = |group: usize| (group..many).step_by(GROUPS).map(|n| format!("d{n}")).collect::<Vec<_>>();
    let groups = [group(7), group(8)];
    stage.delivered(&few, |event| match event["event"].as_str() {
        Some("Group 7") => groups[0].iter().map(String::as_str).collect(),
        Some("Group 8") => groups[1].iter().map(String::as_str).collect(),
        _ => Vec::new(),
    });
    assert_eq!(stage.sink.counts("analytics-1")["requests"], 3 * many / GROUPS);

    let all: Vec<String> = (0..many).map(|n| format!("d{n}")).collect();
    let event = event(0, 4, "To All");
    stage.accept(std::slice::from_ref(&event));
    stage.delivered([&event], |_| all.iter().map(String::as_str).collect());
    let deliveries = stage.api.all("/events/u0-4?limit=1000", "deliveries");
    assert_eq!(deliveries.len(), many);
    assert!(deliveries.iter().all(|delivery| delivery["status"] == "delivered"));
    until(|| {
        let queues = stage.place.run(["queues", "list", "--json"]).json();
        queues.as_array().unwrap().iter().all(|queue| queue["messages"] == 0).then_some(())
    });
    let counts: Value = stage.sink.counts("analytics-1");
    assert_eq!(counts["requests"], 3 * many / GROUPS + many, "each once: {counts}");
    let received = Received::new(&stage.sink, "analytics-1");
    let mut paths: Vec<&str> =
        received.0["u0-4"].iter().map(|request| request["path"].as_str().unwrap()).collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), many);
}
