//! Destinations that fail.

use serde_json::{Value, json};

use super::{Received, Stage, event, text};
use crate::http::until;

/// One request in twenty fails: nothing is lost, no user's events are taken out of order, and what comes twice has the
/// same id.
#[test]
fn a_destination_that_fails_now_and_then_gets_all_in_order() {
    const USERS: usize = 20;
    const EVENTS: usize = 30;
    let stage = Stage::new();
    stage.destination("all", "/analytics-1", &json!({}));
    stage.destination("care", "/comms", &json!({"type": "CDP", "ordering": "user"}));
    for endpoint in ["analytics-1", "comms"] {
        stage.sink.tell(endpoint, &json!({"status": 503, "share": 0.05}));
    }
    let mut events = Vec::new();
    for number in 0..EVENTS {
        let body: Vec<Value> = (0..USERS).map(|user| event(user, number, "Page Seen")).collect();
        stage.accept(&body);
        events.extend(body);
    }
    stage.delivered(&events, |_| vec!["all", "care"]);
    stage.check_settled(&["all", "care"]);
    for (endpoint, path) in [("analytics-1", "/analytics-1"), ("comms", "/comms/email")] {
        let received = Received::new(&stage.sink, endpoint);
        received.check(&events, path, |_| false);
        let failed = stage.sink.counts(endpoint)["byStatus"]["503"].as_u64().unwrap();
        assert!(failed >= 30, "{failed}");
        assert_eq!(received.repeats() as u64, failed, "only what failed came again");
        if endpoint == "comms" {
            received.check_order();
        }
    }
}

/// What was tried of the one delivery of an event: each as status or error.
#[track_caller]
fn tried(event: &Value) -> Vec<String> {
    let attempts = event["deliveries"][0]["attempts"].as_array().unwrap();
    let tried = attempts.iter().map(|attempt| match attempt["status"].as_u64() {
        Some(status) => status.to_string(),
        None => text(attempt, "error").to_owned(),
    });
    tried.collect()
}

/// Sends events to a destination that treats the first so many requests badly; each of them is tried again, and every
/// attempt says what it was.
#[track_caller]
fn check(stage: &Stage, endpoint: &str, told: &Value, bad: usize, said: &str) {
    let name = format!("to-{endpoint}");
    stage.destination(&name, &format!("/{endpoint}"), &json!({"events": [endpoint]}));
    stage.sink.tell(endpoint, told);
    let events: Vec<Value> = (0..5).map(|number| event(bad, number, endpoint)).collect();
    stage.accept(&events);
    let found = stage.delivered(&events, |_| vec![name.as_str()]);
    let attempts: Vec<Vec<String>> = found.iter().map(tried).collect();
    let odd = attempts.iter().flatten().filter(|one| *one == said).count();
    assert_eq!(odd, bad, "{told}: {attempts:?}");
    assert!(attempts.iter().all(|one| one.last().unwrap() == "200"), "{attempts:?}");
    let received = Received::new(&stage.sink, endpoint);
    received.check(&events, &format!("/{endpoint}"), |_| false);
    assert_eq!(received.repeats(), bad, "{told}");
    stage.check_settled(&[&name]);
}

/// A 200 after the ten seconds that a call may take, a connection that is reset, a body that never ends.
#[test]
fn what_fails_in_the_network_is_tried_again() {
    let stage = Stage::new();
    check(&stage, "comms", &json!({"reset": true, "times": 3}), 3, "reset");
    check(&stage, "analytics-2", &json!({"endless": true}), 0, "timeout");
    check(&stage, "analytics-1", &json!({"times": 2, "delayMs": 11_000}), 2, "timeout");
}

/// Destinations that hang, more of them than deliveries are worked on at once, hold up nobody: what goes elsewhere is
/// delivered while everything of theirs waits.
#[test]
fn destinations_that_hang_hold_up_no_other() {
    const HANGING: usize = 120;
    let stage = Stage::new();
    stage.sink.tell("analytics-1", &json!({"hang": true}));
    let names: Vec<String> = (0..HANGING).map(|n| format!("hangs-{n}")).collect();
    for name in &names {
        stage.destination(name, &format!("/analytics-1/{name}"), &json!({"events": ["Hang"]}));
    }
    stage.destination("works", "/comms", &json!({"type": "CDP", "events": ["Page Seen"]}));
    let hanging: Vec<Value> = (0..20).map(|number| event(0, number, "Hang")).collect();
    stage.accept(&hanging);
    until(|| (stage.sink.counts("analytics-1")["requests"].as_u64().unwrap() >= 1_000).then_some(()));
    let events: Vec<Value> = (0..200).map(|number| event(1, number, "Page Seen")).collect();
    for body in events.chunks(20) {
        stage.accept(body);
    }
    stage.delivered(&events, |_| vec!["works"]);
    Received::new(&stage.sink, "comms").check(&events, "/comms/email", |_| false);
    let ended = |status: &str| names.iter().flat_map(|name| stage.deliveries(name, status)).count();
    assert_eq!((ended("delivered"), ended("failed")), (0, 0));
    for name in &names[..3] {
        assert_eq!(stage.deliveries(name, "pending").len(), hanging.len());
    }
}
