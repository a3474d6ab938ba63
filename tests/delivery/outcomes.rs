//! What becomes of an event: at each destination that wants it, over every try, and after it failed for good.

use serde_json::{Value, json};

use crate::{
    destinations::sink::Sink,
    harness::{
        http::{Answer, Client, until},
        program::{Place, Server},
    },
};

/// The program, with a sink that it may call.
struct World {
    sink: Sink,
    api: Client,
    _server: Server,
    place: Place,
}

impl World {
    fn new() -> Self {
        let place = Place::new();
        let sink = Sink::start(&place);
        let server = Server::start_with(&place, ["--allow-destination", sink.authority()]);
        Self { api: Client::new(&server.base), sink, _server: server, place }
    }

    /// Makes a destination at an endpoint of the sink; one failure is the end of a delivery.
    #[track_caller]
    fn make(&self, name: &str, endpoint: &str, more: &Value) {
        let mut body = json!({
            "destinationName": name, "url": self.sink.url(&format!("/{endpoint}")), "type": "analytics",
            "headers": {"authorization": "header-value"}, "retryDelays": [], "concurrency": 1
        });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        let answer = self.api.request("POST", "/destinations", Some(&body));
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Sends an event; its id.
    #[track_caller]
    fn track(&self, event: &str) -> String {
        let body = json!({
            "userId": "ann", "event": event, "timestamp": "2026-11-21T08:00:00Z",
            "metadata": {"preferredChannel": "email", "total": 12.50}
        });
        let answer = self.api.request("POST", "/track", Some(&body));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["messageId"].as_str().unwrap().to_owned()
    }

    /// Waits until every event that was sent has been routed.
    #[track_caller]
    fn routed(&self) {
        until(|| {
            let queues = self.place.run(["queues", "list", "--json"]).json();
            let events = queues.as_array()?.iter().find(|queue| queue["queue"] == "EventsQueue")?;
            (events["messages"] == 0).then_some(())
        });
    }

    fn replay(&self, body: &Value) -> Answer {
        self.api.request("POST", "/deliveries/replay", Some(body))
    }

    /// An event, as soon as it stands like this at every destination, `a delivered, b failed`, and its response says
    /// so too.
    #[track_caller]
    fn stands(&self, id: &str, expected: &str) -> Value {
        until(|| {
            let answer = self.api.get(&format!("/events/{id}"));
            let deliveries = answer.body["deliveries"].as_array()?.iter();
            let text = |of: &Value| of.as_str().unwrap_or_default().to_owned();
            let found: Vec<String> = deliveries
                .map(|one| format!("{} {}", text(&one["destination"]), text(&one["status"])))
                .collect();
            let says = |name: &str| answer.body["response"]["destinations"][name] == true;
            let is_told = found.iter().filter_map(|one| one.strip_suffix(" delivered")).all(says);
            (found.join(", ") == expected && is_told).then_some(answer.body)
        })
    }
}

/// The status of each attempt at the second destination of an event.
fn attempts_at_b(event: &Value) -> Vec<u64> {
    let attempts = event["deliveries"][1]["attempts"].as_array().unwrap();
    attempts.iter().map(|one| one["status"].as_u64().unwrap()).collect()
}

/// Three destinations: `a` takes every event, `b` fails for good, and the filter of `c` matches no event. The event was
/// delivered to `a`, and failed at `b`; its id.
fn failed_at_b() -> (World, String) {
    let world = World::new();
    world.make("a", "analytics-1", &json!({}));
    world.make("b", "comms", &json!({"type": "CDP", "events": ["order"]}));
    world.make("c", "analytics-2", &json!({"filter": "metadata.total > 100"}));
    world.sink.tell("comms", &json!({"status": 503}));
    let id = world.track("order");
    world.stands(&id, "a delivered, b failed");
    // The worker deletes the row of the queue after all other writes.
    until(|| (world.api.show("/deliveries?status=pending")["deliveries"] == json!([])).then_some(()));
    (world, id)
}

#[test]
fn an_event_shows_the_failure_at_one_destination() {
    let (world, id) = failed_at_b();
    let shown = world.stands(&id, "a delivered, b failed");
    assert_eq!((&shown["outcome"], &shown["via"]), (&json!("routed"), &json!("track")));
    assert_eq!(shown["event"]["event"], "order");
    assert_eq!(shown["response"]["responseId"], *id);
    assert_eq!(shown["response"]["responseBody"]["metadata"]["total"], json!(12.5));
    assert_eq!(shown["response"]["destinations"], json!({"a": true, "b": false}));
    let [a, b] = shown["deliveries"].as_array().unwrap().as_slice() else { panic!("{shown}") };
    assert_eq!((&a["attempts"][0]["status"], &b["attempts"][0]["status"]), (&json!(200), &json!(503)));
    assert_eq!((&b["reason"], &b["replays"]), (&json!("http_503"), &json!(0)));
}

/// S0-036: the queue is empty, and quarantine has the event and the reason.
#[test]
fn a_final_failure_is_in_quarantine() {
    let (world, id) = failed_at_b();
    let failed = world.api.show("/deliveries?destination=b&status=failed");
    assert_eq!(failed["deliveries"][0]["messageId"], *id);
    assert_eq!(failed["deliveries"][0]["links"]["event"], format!("/events/{id}"));
    let entries = world.api.show("/quarantine?errorType=delivery");
    let entry = &entries["entries"][0];
    let (request, index) = (entry["batchId"].as_str().unwrap(), &entry["index"]);
    let shown = world.place.run(["quarantine", "show", &format!("{request}/{index}")]).json();
    assert_eq!((&shown["record"]["event"], &shown["destination"]), (&json!("order"), &json!("b")));
    let of_request = world.api.show(&format!("/quarantine?batch={request}"));
    assert_eq!(of_request["entries"].as_array().unwrap().len(), 1);
}

#[test]
fn a_replay_counts_the_failures_that_it_matches() {
    let (world, _) = failed_at_b();
    let counted = world.replay(&json!({"destination": "b", "error": "5xx", "dryRun": true}));
    assert_eq!((counted.status, counted.body), (200, json!({"matched": 1, "replayed": 0, "more": false})));
    let none = world.replay(&json!({"destination": "b", "error": "404"}));
    assert_eq!((none.status, &none.body["matched"]), (200, &json!(0)));
}

#[test]
fn a_failed_replay_is_one_failure_with_all_attempts() {
    let (world, id) = failed_at_b();
    let replayed = world.replay(&json!({"destination": "b"}));
    assert_eq!((replayed.status, replayed.body), (202, json!({"matched": 1, "replayed": 1, "more": false})));
    let shown = until(|| {
        let shown = world.stands(&id, "a delivered, b failed");
        (shown["deliveries"][1]["replays"] == 1).then_some(shown)
    });
    assert_eq!(attempts_at_b(&shown), [503, 503]);
}

/// S0-035: after a replay that succeeds the response says `true`, and nothing is left to replay.
#[test]
fn a_replay_that_succeeds_ends_the_failure() {
    let (world, id) = failed_at_b();
    world.sink.tell("comms", &json!({}));
    assert_eq!(world.replay(&json!({"destination": "b", "error": "503"})).status, 202);
    let shown = world.stands(&id, "a delivered, b delivered");
    assert_eq!(shown["response"]["destinations"], json!({"a": true, "b": true}));
    assert_eq!(attempts_at_b(&shown), [503, 200]);
    until(|| {
        (world.api.show("/deliveries?destination=b&status=failed")["deliveries"] == json!([])).then_some(())
    });
    assert_eq!(world.replay(&json!({"destination": "b"})).body["matched"], 0);
}

#[test]
fn a_replay_sends_only_the_failed_delivery_again() {
    let (world, id) = failed_at_b();
    let other = world.track("other");
    world.stands(&other, "a delivered");
    world.sink.tell("comms", &json!({}));
    assert_eq!(world.replay(&json!({"destination": "b"})).status, 202);
    world.stands(&id, "a delivered, b delivered");
    let ids = |endpoint: &str| {
        let all = world.sink.recorded().into_iter();
        let ids = all.filter(|one| one["endpoint"] == endpoint).map(|one| one["webhookId"].clone());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(ids("analytics-1"), [&*id, &*other]);
    assert_eq!(ids("analytics-2").len(), 0);
    assert_eq!(ids("comms"), [&*id, &*id]);
    assert!(world.sink.recorded().iter().any(|one| one["path"] == "/comms/email"));
}

/// S0-016: the next event is delivered as the destination is then; nothing is restarted.
#[test]
fn a_change_counts_from_the_next_event_on() {
    let world = World::new();
    let before = world.track("e");
    world.routed();
    assert_eq!(world.stands(&before, "")["response"], Value::Null);
    world.make("a", "analytics-1", &json!({"events": ["e"]}));
    let to_a = world.track("e");
    world.stands(&to_a, "a delivered");
    world.make("b", "analytics-2", &json!({}));
    let change = json!({"url": world.sink.url("/analytics-1"), "type": "analytics", "events": ["other"]});
    assert_eq!(world.api.request("PUT", "/destinations/a", Some(&change)).status, 200);
    let to_b = world.track("e");
    world.stands(&to_b, "b delivered");
    assert_eq!(world.api.request("DELETE", "/destinations/b", None).status, 204);
    let to_none = world.track("e");
    world.routed();
    world.stands(&to_none, "");
    // What came before stays as it was.
    world.stands(&to_a, "a delivered");
    world.stands(&before, "");
}

#[test]
fn a_queue_is_sent_when_its_destination_resumes() {
    let world = World::new();
    // Not what crmflow itself says of the pause.
    let own = json!({
        "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "events": ["e"], "retryDelays": vec![2; 16]
    });
    world.make("a", "analytics-1", &own);
    world.make("told", "analytics-2", &json!({"events": ["crmflow destination paused"]}));
    world.sink.tell("analytics-1", &json!({"status": 401}));
    // One that is refused would fail alone: these are all that it is sent.
    let ids: Vec<String> = (0..12).map(|_| world.track("e")).collect();
    let paused = until(|| {
        let shown = world.api.show("/destinations/a");
        (shown["state"] == "paused").then_some(shown)
    });
    assert_eq!(paused["reason"], "http_401");
    let told = until(|| world.sink.recorded().into_iter().find(|one| one["endpoint"] == "analytics-2"));
    let told: Value = serde_json::from_str(told["body"].as_str().unwrap()).unwrap();
    let expected = json!({"destination": "a", "state": "paused", "reason": "http_401"});
    assert_eq!((&told["event"], &told["metadata"]), (&json!("crmflow destination paused"), &expected));
    world.stands(&ids[0], "a pending");
    let later = world.track("e");
    until(|| (world.api.show("/destinations/a")["lane"]["waiting"] == 13).then_some(()));
    let waiting = world.api.all("/deliveries?destination=a&status=pending", "deliveries");
    let refused = waiting.iter().filter(|one| one["reason"] == "http_401");
    assert!(refused.count() >= 10, "{waiting:?}");
    assert!(world.api.show("/destinations/a")["lane"]["oldestReceivedAt"].is_string());
    world.stands(&later, "a pending");

    world.sink.tell("analytics-1", &json!({}));
    let resume = json!({"url": world.sink.url("/analytics-1"), "type": "analytics", "state": "active"});
    let resumed = world.api.request("PUT", "/destinations/a", Some(&resume)).body;
    assert_eq!((&resumed["state"], &resumed["secrets"]), (&json!("active"), &json!(1)));
    for id in ids.iter().chain([&later]) {
        world.stands(id, "a delivered");
    }
    until(|| (world.api.show("/destinations/a")["lane"]["waiting"] == 0).then_some(()));
    let World { place, sink, .. } = world;
    let calls = sink.recorded();
    let calls: Vec<&Value> = calls.iter().filter(|one| one["endpoint"] == "analytics-1").collect();
    assert_eq!(calls[0]["headers"]["authorization"], "header-value");
    let logged = crate::destinations::api::logged(&place);
    for hidden in ["header-value", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "ann"] {
        assert!(!logged.contains(hidden), "{hidden}");
    }
}

/// Takes a few hundredths of a second, and is true.
const SLOW: &str = "$sum([1..30000].($ * 2)) > 0";
/// So many of those take longer than RouteEvents ever gave a filter.
const MANY: usize = 100;

/// Item 7: a filter that is slow loses nothing, and other destinations do not wait for it.
#[test]
fn a_slow_filter_loses_no_event_and_holds_up_no_other() {
    let world = World::new();
    world.make("slow", "analytics-1", &json!({"filter": SLOW, "retryDelays": [1, 1, 1]}));
    world.make("fast", "analytics-2", &json!({"filter": "event = 'e'", "concurrency": 16}));
    let event = |number| {
        json!({
            "messageId": format!("m{number}"), "userId": "ann", "event": "e",
            "timestamp": "2026-11-21T08:00:00Z"
        })
    };
    let all: Vec<Value> = (0..MANY).map(event).collect();
    let answer = world.api.request("POST", "/events", Some(&json!(all)));
    assert_eq!(answer.status, 202, "{answer:?}");
    for number in 0..MANY {
        let shown = world.stands(&format!("m{number}"), "fast delivered, slow delivered");
        assert_eq!(shown["response"]["destinations"], json!({"fast": true, "slow": true}));
    }
    let calls = world.sink.recorded();
    let last = |endpoint: &str| calls.iter().rposition(|one| one["endpoint"] == endpoint).unwrap();
    assert_eq!(calls.len(), 2 * MANY);
    assert!(last("analytics-2") < last("analytics-1"), "the fast one waited for the slow one");
}

/// Item 7: an event that a filter cannot be evaluated for has failed, and is sent when the filter is mended.
#[test]
fn an_event_that_a_filter_fails_on_is_replayed() {
    let world = World::new();
    world.make("a", "analytics-1", &json!({"filter": "$number(event) > 1"}));
    let (wanted, refused) = (world.track("one"), world.track("two"));
    let message = "$number was given something that is no number";
    for id in [&wanted, &refused] {
        let shown = world.stands(id, "a failed");
        let a = &shown["deliveries"][0];
        assert_eq!((&a["reason"], &a["attempts"][0]["error"]), (&json!("filter"), &json!("filter")));
        assert_eq!((&a["attempts"][0]["message"], &shown["outcome"]), (&json!(message), &json!("routed")));
        assert_eq!(shown["response"]["destinations"], json!({"a": false}));
    }
    let failed = |error: &str| world.api.show(&format!("/deliveries?status=failed&error={error}"));
    assert_eq!(failed("filter")["deliveries"].as_array().unwrap().len(), 2);
    assert_eq!(failed("mapping")["deliveries"], json!([]));
    let kept = world.api.show("/quarantine?errorType=delivery");
    let said = format!("was not taken by destination a: filter: {message}");
    assert_eq!(kept["entries"][0]["faults"][0]["message"], said);
    assert_eq!(kept["entries"].as_array().unwrap().len(), 2);

    let mended = json!({
        "url": world.sink.url("/analytics-1"), "type": "analytics", "filter": "event = 'one'"
    });
    assert_eq!(world.api.request("PUT", "/destinations/a", Some(&mended)).status, 200);
    let again = world.api.request(
        "POST",
        "/deliveries/replay",
        Some(&json!({"destination": "a", "error": "filter"})),
    );
    assert_eq!((again.status, again.body), (202, json!({"matched": 2, "replayed": 2, "more": false})));
    world.stands(&wanted, "a delivered");
    // One that the filter does not want is not at that destination any more.
    assert_eq!(world.stands(&refused, "")["response"], Value::Null);
    until(|| (world.api.show("/deliveries")["deliveries"].as_array()?.len() == 1).then_some(()));
    assert_eq!(world.sink.recorded().len(), 1);
}

/// Item 9: what a disabled destination does not get has failed there, and is sent when it is active again.
#[test]
fn events_of_a_disabled_time_are_replayed() {
    let world = World::new();
    let own = json!({"events": ["e"], "filter": "metadata.total > 10"});
    world.make("a", "analytics-1", &own);
    world.make("refuses", "analytics-1", &json!({"events": ["e"], "filter": "false", "state": "disabled"}));
    world.sink.tell("analytics-1", &json!({"status": 410}));
    let first = world.track("e");
    world.stands(&first, "a failed");
    until(|| (world.api.show("/destinations/a")["state"] == "disabled").then_some(()));
    let later: Vec<String> = (0..3).map(|_| world.track("e")).collect();
    for id in &later {
        let shown = world.stands(id, "a failed");
        assert_eq!(shown["deliveries"][0]["reason"], "destination_disabled");
        assert_eq!(shown["response"]["destinations"], json!({"a": false}));
    }
    let kept = world.api.show("/quarantine?errorType=delivery");
    assert_eq!(kept["entries"].as_array().unwrap().len(), 4);

    let missed = world.api.show("/deliveries?destination=a&status=failed&error=destination_disabled");
    assert_eq!(missed["deliveries"].as_array().unwrap().len(), 3);
    let replay = |body: Value| world.api.request("POST", "/deliveries/replay", Some(&body));
    assert_eq!(replay(json!({"destination": "a"})).status, 409);
    world.sink.tell("analytics-1", &json!({}));
    let active = json!({
        "url": world.sink.url("/analytics-1"), "type": "analytics", "events": ["e"], "state": "active"
    });
    assert_eq!(world.api.request("PUT", "/destinations/a", Some(&active)).status, 200);
    let missed = replay(json!({"destination": "a", "error": "destination_disabled"}));
    assert_eq!((missed.status, missed.body), (202, json!({"matched": 3, "replayed": 3, "more": false})));
    for id in &later {
        world.stands(id, "a delivered");
    }
    assert_eq!(replay(json!({"destination": "a"})).body["replayed"], 1);
    world.stands(&first, "a delivered");
    // Once each, and the call that was answered with 410.
    assert_eq!(world.sink.recorded().len(), 5);
}
