//! Destinations that fail now and then; what becomes of each failure is in `answers.rs`.

use serde_json::{Value, json};

use super::{Received, Stage, event};

/// One request in twenty fails: nothing is lost, no user's events are taken out of order, and what comes twice has the
/// same id.
#[test]
fn a_flaky_destination_gets_all_in_order() {
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
