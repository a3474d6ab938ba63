//! What a destination answers, and what becomes of the delivery: on this machine, or on a deployed stack.

use std::{
    net::{TcpListener, TcpStream},
    sync::Mutex,
    thread,
};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    delivery::secure,
    destinations::sink::Sink,
    harness::{
        http::{Client, until},
        program::{Place, Server, skip},
        stack::deployed,
    },
};

/// One event, and a destination that answers it so. It is tried three times, a second apart.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// What the sink is told.
    #[serde(default)]
    sink: Value,
    /// More members of the destination. In a `url` `{nobody}` is an address where nobody listens, and `{expired}` one
    /// with a certificate that has expired.
    #[serde(default)]
    destination: Value,
    /// How the delivery stands, and each attempt: `failed http_404: 503 404`.
    delivery: String,
    /// How the destination stands, and why.
    #[serde(default = "active")]
    state: String,
    /// How many seconds lie between the first two attempts at least.
    #[serde(default)]
    apart: i64,
}

fn active() -> String {
    "active".to_owned()
}

/// Somewhere that events are sent through, and a sink that it may send to.
struct World {
    api: Client,
    sink: Sink,
    /// Where nobody listens.
    nobody: String,
    /// Where a peer may be started.
    peer: String,
    /// Names that no run had before end with it.
    run: String,
    own: Option<Own>,
}

/// What is there on this machine as long as the world is.
struct Own {
    _server: Server,
    _place: Place,
    /// Nobody can listen at its own end of it.
    _call: TcpStream,
    listener: TcpListener,
}

impl World {
    /// The stack that is named, or a server on this machine; nothing where a stack may send nowhere.
    fn new() -> Option<Self> {
        let Some(stack) = deployed() else {
            let place = Place::new();
            let sink = Sink::start(&place);
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let peer = listener.local_addr().unwrap().to_string();
            let call = TcpStream::connect(sink.authority()).unwrap();
            let nobody = call.local_addr().unwrap().to_string();
            let allowed = [sink.authority(), &nobody, &peer].map(|address| ["--allow-destination", address]);
            let server = Server::start_with(&place, allowed.as_flattened());
            let api = Client::new(&server.base);
            let own = Own { _server: server, _place: place, _call: call, listener };
            return Some(Self { api, sink, nobody, peer, run: "1".to_owned(), own: Some(own) });
        };
        let Some([sink, nobody, peer]) = stack.allowed else {
            skip("stack", "CRMFLOW_ALLOWED names no addresses that the stack may send to");
            return None;
        };
        let (api, sink) = (Client::new(&stack.base), Sink::at(&format!("http://{sink}")));
        Some(Self { api, sink, nobody, peer, run: stack.run, own: None })
    }

    /// Makes a destination that gets the events of a user of its name, unless `more` says otherwise; its name.
    #[track_caller]
    fn destination(&self, name: &str, path: &str, more: &Value) -> String {
        let name = format!("{name}-{}", self.run);
        let mut body = json!({
            "destinationName": name, "url": self.sink.url(path), "type": "analytics", "headers": "",
            "retryDelays": [1, 1], "filter": format!("userId = '{name}'"),
        });
        if let Some(more) = more.as_object() {
            body.as_object_mut().unwrap().extend(more.clone());
        }
        let answer = self.api.request("POST", "/destinations", Some(&body));
        assert_eq!(answer.status, 200, "{answer:?}");
        name
    }

    /// Sends so many events of a user in one request; their ids.
    #[track_caller]
    fn send(&self, user: &str, events: usize) -> Vec<String> {
        let ids: Vec<String> = (0..events).map(|number| format!("{user}-{number:03}")).collect();
        let body = ids.iter().map(|id| event(user, id)).collect();
        let answer = self.api.request("POST", "/events", Some(&body));
        assert_eq!(answer.status, 202, "{answer:?}");
        ids
    }

    /// What an event's one destination shows of it, once it is so.
    #[track_caller]
    fn delivery(&self, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        until(|| {
            let shown = self.api.get(&format!("/events/{id}")).body;
            shown["deliveries"].as_array()?.first().filter(|delivery| is_so(delivery)).cloned()
        })
    }

    /// What a destination shows, once it is so.
    #[track_caller]
    fn shown(&self, name: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        until(|| Some(self.api.show(&format!("/destinations/{name}"))).filter(|shown| is_so(shown)))
    }

    /// How often the sink was sent an event, each time to the letter.
    #[track_caller]
    fn received(&self, user: &str, id: &str) -> usize {
        let calls = self.sink.recorded().into_iter();
        let calls: Vec<Value> = calls.filter(|call| call["webhookId"] == id).collect();
        let sent = event(user, id).to_string();
        assert!(calls.iter().all(|call| text(&call["body"]) == sent), "{calls:?}");
        calls.len()
    }
}

fn event(user: &str, id: &str) -> Value {
    json!({
        "messageId": id, "userId": user, "event": "e", "timestamp": "2026-11-21T08:00:00Z",
        "metadata": {"preferredChannel": "email", "big": 12_345_678_901_234_567_890_u64},
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// `failed http_404: 503 404`
fn said(delivery: &Value) -> String {
    let attempts = delivery["attempts"].as_array().unwrap().iter();
    let attempts = attempts.map(|attempt| match attempt["status"].as_u64() {
        Some(status) => format!(" {status}"),
        None => format!(" {}", text(&attempt["error"])),
    });
    format!("{}:{}", reasoned(&delivery["status"], &delivery["reason"]), attempts.collect::<String>())
}

fn reasoned(state: &Value, reason: &Value) -> String {
    format!("{} {}", text(state), text(reason)).trim_end().to_owned()
}

/// Sends one event to a destination at an endpoint of the sink.
#[track_caller]
fn check(world: &World, endpoint: &str, name: &str, case: &Case) {
    if !case.sink.is_null() {
        world.sink.tell(endpoint, &case.sink);
    }
    let name = world.destination(name, &format!("/{endpoint}"), &case.destination);
    let id = world.send(&name, 1).remove(0);
    let tries = case.delivery.split_once(": ").unwrap().1.split(' ').count();
    let is_pending = case.delivery.starts_with("pending");
    let delivery = world.delivery(&id, |delivery| match delivery["status"].as_str() {
        Some("pending") => is_pending && delivery["attempts"].as_array().unwrap().len() >= tries,
        status => status.is_some(),
    });
    assert_eq!(said(&delivery), case.delivery, "{}", case.name);
    let at = |index: usize| text(&delivery["attempts"][index]["at"]).parse::<Timestamp>().unwrap();
    assert!(
        case.apart == 0 || at(1).duration_since(at(0)).as_secs() >= case.apart,
        "{}: {delivery}",
        case.name
    );
    // A place in the lane is given up when all else is written down.
    let destination = world.shown(&name, |shown| {
        shown["lane"]["waiting"] == u8::from(is_pending)
            && (shown["state"] != "active") == (case.state != "active")
    });
    assert_eq!(reasoned(&destination["state"], &destination["reason"]), case.state, "{}", case.name);
    let mut event = world.api.show(&format!("/events/{id}"));
    let is_delivered = json!({ (&name): case.delivery.starts_with("delivered") });
    assert_eq!(event["response"]["destinations"].take(), is_delivered, "{}", case.name);
    let kept = world.api.all("/quarantine?errorType=delivery&limit=1000", "entries");
    let kept = kept.iter().filter(|entry| entry["messageId"] == *id).count();
    assert_eq!(kept, usize::from(case.delivery.starts_with("failed")), "{}", case.name);
    // One that answers late is counted late.
    let tries = if case.sink.is_null() { 0 } else { tries };
    until(|| (world.received(&name, &id) >= tries).then_some(()));
    assert_eq!(world.received(&name, &id), tries, "{}", case.name);
    world.sink.api.delete(&format!("/_sink/{endpoint}"));
}

/// A destination that fails opens its breaker at the tenth call, is left alone for a minute, and is then asked with
/// one event whether it works again.
fn check_breaker(world: &World) {
    world.sink.tell("comms", &json!({"status": 503}));
    let often = json!({"concurrency": 1, "retryDelays": [60, 60, 60]});
    let name = world.destination("breaks", "/comms/breaks", &often);
    let ids = world.send(&name, 12);
    let open = world.shown(&name, |shown| shown["lane"]["breakerOpenSince"].is_string());
    // One that is put back lies there twice for a moment.
    assert!(open["lane"]["waiting"].as_u64() >= Some(12), "{open}");
    world.sink.api.delete("/_sink/comms");
    let since: Timestamp = text(&open["lane"]["breakerOpenSince"]).parse().unwrap();
    for (number, id) in ids.iter().enumerate() {
        let delivery = world.delivery(id, |delivery| delivery["status"] == "delivered");
        let expected = if number < 10 { "delivered: 503 200" } else { "delivered: 200" };
        assert_eq!(said(&delivery), expected, "{id}");
        let last = &delivery["attempts"].as_array().unwrap().last().unwrap()["at"];
        let rested = text(last).parse::<Timestamp>().unwrap().duration_since(since);
        assert!(rested.as_secs() >= 59, "{delivery}");
    }
    world.shown(&name, |shown| shown["lane"]["waiting"] == 0 && shown["lane"]["breakerOpenSince"].is_null());
}

/// Somebody is told of each destination that no longer gets anything, once.
#[test]
fn an_answer_decides() {
    let Some(world) = World::new() else { return };
    let world = &world;
    let own = world.own.as_ref().map(|own| own.listener.try_clone().unwrap());
    secure::start(own.unwrap_or_else(|| TcpListener::bind(&world.peer).unwrap()));
    let cases =
        include_str!("answers.json").replace("{nobody}", &world.nobody).replace("{expired}", &world.peer);
    let cases: Vec<Case> = serde_json::from_str(&cases).unwrap();
    let told = json!({
        "events": ["crmflow destination disabled", "crmflow destination paused"], "retryDelays": vec![1; 10],
        "filter": format!("$contains(metadata.destination, '-{}')", world.run),
    });
    let told = world.destination("told", "/comms/told", &told);
    let rest = Mutex::new(cases.iter().enumerate());
    thread::scope(|scope| {
        for endpoint in ["analytics-1", "analytics-2"] {
            let rest = &rest;
            scope.spawn(move || {
                loop {
                    let Some((number, case)) = rest.lock().unwrap().next() else { break };
                    check(world, endpoint, &format!("case-{number}"), case);
                }
            });
        }
        scope.spawn(|| check_breaker(world));
    });
    let mut expected: Vec<String> =
        cases.iter().map(|case| case.state.clone()).filter(|state| state != "active").collect();
    expected.sort();
    let delivered = format!("/deliveries?destination={told}&status=delivered");
    until(|| (world.api.all(&delivered, "deliveries").len() >= expected.len()).then_some(()));
    let calls = world.sink.recorded().into_iter();
    let calls = calls.filter(|call| call["path"] == "/comms/told" && call["status"] == 200);
    let event = |call: Value| serde_json::from_str::<Value>(text(&call["body"])).unwrap()["metadata"].take();
    let mut found: Vec<String> =
        calls.map(event).map(|metadata| reasoned(&metadata["state"], &metadata["reason"])).collect();
    found.sort();
    assert_eq!(found, expected);
}

/// Destinations that hang, on this machine more of them than deliveries are worked on at once, hold up nobody: what
/// goes elsewhere is delivered while everything of theirs waits.
#[test]
fn destinations_that_hang_hold_up_no_other() {
    let Some(world) = World::new() else { return };
    // How many hang, and how many calls are on their way then, at least.
    let (hanging, calls) = if world.own.is_some() { (120, 1_000) } else { (20, 160) };
    world.sink.api.delete("/_sink/received");
    world.sink.tell("analytics-1", &json!({"hang": true}));
    let (user, works) = (format!("hangs-{}", world.run), format!("works-{}", world.run));
    let mine = json!({"filter": format!("userId = '{user}'")});
    let names: Vec<String> = (0..hanging)
        .map(|number| world.destination(&format!("hangs-{number}"), &format!("/analytics-1/{number}"), &mine))
        .collect();
    world.destination("works", "/comms", &json!({"type": "CDP"}));
    world.send(&user, 20);
    until(|| (world.sink.counts("analytics-1")["requests"].as_u64().unwrap() >= calls).then_some(()));
    let ids = world.send(&works, 200);
    for id in &ids {
        let delivery = world.delivery(id, |delivery| delivery["status"] != "pending");
        assert_eq!(said(&delivery), "delivered: 200");
    }
    let ended = ["delivered", "failed"].map(|status| format!("/deliveries?status={status}&destination="));
    for (name, ended) in names.iter().flat_map(|name| ended.iter().map(move |path| (name, path))) {
        assert_eq!(world.api.show(&format!("{ended}{name}"))["deliveries"], json!([]), "{name}");
    }
    let counts = world.sink.counts("comms");
    assert_eq!((&counts["requests"], &counts["distinct"]), (&json!(200), &json!(200)), "{counts}");
    for call in world.sink.recorded().iter().filter(|call| call["endpoint"] == "comms") {
        let sent = event(&works, text(&call["webhookId"])).to_string();
        assert_eq!((text(&call["path"]), text(&call["body"])), ("/comms/email", sent.as_str()));
    }
    for name in &names[..3] {
        let pending = format!("/deliveries?destination={name}&status=pending&limit=1000");
        assert!(world.api.all(&pending, "deliveries").len() >= 20, "{name}");
    }
    for name in names {
        let shown = world.api.show(&format!("/destinations/{name}"));
        assert!(shown["lane"]["waiting"].as_u64() >= Some(20), "{shown}");
        world.api.delete(&format!("/destinations/{name}"));
    }
    world.sink.api.delete("/_sink/analytics-1");
}
