//! Faults in the way of events: `crmflow serve` is killed, its disk is full, destinations fail in every way that
//! `crmflow sink` knows. Every accepted event has one outcome at each destination, and the sink has it.

mod killed;
mod many;
mod peers;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    process::Command,
};

use serde_json::{Value, json};

use crate::{
    destinations::sink::Sink,
    harness::{
        http::{Client, encoded, until},
        program::{Place, Server},
    },
};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// The program and a sink that it may send to.
struct Stage {
    place: Place,
    sink: Sink,
    server: Server,
    api: Client,
}

impl Stage {
    fn new() -> Self {
        let place = Place::new();
        let sink = Sink::start(&place);
        let server = serve(&place, &sink);
        Self { api: Client::new(&server.base), place, sink, server }
    }

    /// Kills the server, and starts it again.
    fn kill(&mut self) {
        self.server.process.signal("KILL");
        self.server.process.wait();
        self.server = serve(&self.place, &self.sink);
        self.api = Client::new(&self.server.base);
    }

    /// Makes a destination that leads to a path of the sink. What failed is tried again after a second.
    #[track_caller]
    fn destination(&self, name: &str, path: &str, more: &Value) {
        let url = self.sink.url(path);
        let mut body = json!({
            "destinationName": name, "url": url, "type": "analytics", "headers": "",
            "retryDelays": vec![1; 16],
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = self.api.post("/destinations", &JSON, body.to_string().as_bytes());
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Sends events in one request, which is accepted.
    #[track_caller]
    fn accept(&self, events: &[Value]) {
        let answer = self.api.post("/events", &JSON, json!(events).to_string().as_bytes());
        assert_eq!(answer.status, 202, "{answer:?}");
    }

    /// Waits until each of these events is delivered to all of its destinations, and fails unless these are the
    /// right ones; gives the answers of `GET /events/{id}`.
    #[track_caller]
    fn delivered<'a>(
        &self,
        events: impl IntoIterator<Item = &'a Value>,
        destinations: impl Fn(&Value) -> Vec<&'a str>,
    ) -> Vec<Value> {
        let mut all = Vec::new();
        for event in events {
            let path = format!("/events/{}", encoded(text(event, "messageId")));
            let found = until(|| {
                let found = self.api.get(&path).body;
                let statuses = found["response"]["destinations"].as_object();
                let is_done = found["outcome"] == "routed"
                    && statuses.is_none_or(|all| all.values().all(|done| *done == true));
                is_done.then_some(found)
            });
            let expected: BTreeMap<&str, bool> =
                destinations(event).into_iter().map(|name| (name, true)).collect();
            let outcomes = found["response"]["destinations"].as_object().cloned().unwrap_or_default();
            assert_eq!(json!(outcomes), json!(expected), "{found}");
            all.push(found);
        }
        all
    }

    /// The deliveries of a destination with this status.
    #[track_caller]
    fn deliveries(&self, destination: &str, status: &str) -> Vec<Value> {
        let path = format!("/deliveries?destination={destination}&status={status}&limit=1000");
        self.api.all(&path, "deliveries")
    }

    /// Fails unless nothing waits anywhere, and each event of a destination has one delivery.
    #[track_caller]
    fn check_settled(&self, destinations: &[&str]) {
        until(|| {
            let queues = self.place.run(["queues", "list", "--json"]).json();
            queues.as_array().unwrap().iter().all(|queue| queue["messages"] == 0).then_some(())
        });
        for name in destinations {
            for status in ["pending", "failed"] {
                assert_eq!(self.deliveries(name, status), [Value::Null; 0], "{name}");
            }
            let mut seen = HashSet::new();
            for delivery in self.deliveries(name, "delivered") {
                let id = text(&delivery, "messageId").to_owned();
                assert!(seen.insert(id), "{name} has it twice: {delivery}");
            }
        }
        assert_eq!(self.api.all("/quarantine", "entries"), [Value::Null; 0]);
    }
}

/// A size, or another one that the environment names, for a longer run.
#[expect(clippy::disallowed_methods, reason = "the size of a run is the caller's")]
fn size(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().map_or(usual, |many| many.parse().unwrap())
}

fn serve(place: &Place, sink: &Sink) -> Server {
    Server::start_with(place, ["--allow-destination", sink.authority()])
}

/// The same, with SIGXFSZ ignored: then what does not fit on the disk is an error.
fn serve_on_a_small_disk(place: &Place, sink: &Sink) -> Server {
    let options = ["--allow-destination", sink.authority()];
    let crmflow = place.command(["serve", "--listen", "127.0.0.1:0", "--sfn-listen", "127.0.0.1:0"]);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(crmflow.get_program());
    command.args(crmflow.get_args()).args(options);
    command.stderr(std::fs::File::create(place.path("stderr")).unwrap());
    Server::spawn(command)
}

/// Event `number` of a user.
fn event(user: usize, number: usize, name: &str) -> Value {
    json!({
        "messageId": format!("u{user}-{number}"),
        "userId": format!("u{user}"),
        "event": name,
        "timestamp": "2026-01-01T00:00:00Z",
        "metadata": {"preferredChannel": "email", "number": number, "big": 12_345_678_901_234_567_890_u64},
    })
}

#[track_caller]
fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// What the sink received at an endpoint: by id, in the order of arrival.
struct Received(HashMap<String, Vec<Value>>);

impl Received {
    fn new(sink: &Sink, endpoint: &str) -> Self {
        let mut by_id: HashMap<_, Vec<_>> = HashMap::new();
        for request in sink.recorded() {
            if request["endpoint"] == endpoint {
                by_id.entry(text(&request, "webhookId").to_owned()).or_default().push(request);
            }
        }
        Self(by_id)
    }

    /// Fails unless these events are here, each to the letter, at this path, and taken; and nothing else, unless
    /// `may` says that it can be.
    #[track_caller]
    fn check<'a>(&self, events: impl IntoIterator<Item = &'a Value>, path: &str, may: impl Fn(&str) -> bool) {
        let mut asked = HashSet::new();
        for event in events {
            let id = text(event, "messageId");
            let requests = self.0.get(id).unwrap_or_else(|| panic!("{id} never came to {path}"));
            for request in requests {
                let found = (text(request, "path"), text(request, "method"), text(request, "body"));
                assert_eq!(found, (path, "POST", event.to_string().as_str()));
            }
            assert!(
                requests.iter().any(|request| request["status"] == 200),
                "{id} was never taken at {path}"
            );
            asked.insert(id);
        }
        for id in self.0.keys() {
            assert!(asked.contains(id.as_str()) || may(id), "{id} was sent to {path}");
        }
    }

    /// Fails unless each user's events were first taken in the order of their numbers.
    #[track_caller]
    fn check_order(&self) {
        let mut users: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
        for (id, requests) in &self.0 {
            let (user, number) = id.split_once('-').unwrap();
            let taken = requests.iter().find(|request| request["status"] == 200);
            let Some(at) = taken.and_then(|request| request["number"].as_u64()) else { continue };
            users.entry(user).or_default().push((number.parse().unwrap(), at));
        }
        for (user, mut events) in users {
            events.sort_unstable();
            assert!(events.is_sorted_by_key(|(_, at)| *at), "{user}: {events:?}");
        }
    }

    /// How many requests had come before.
    fn repeats(&self) -> usize {
        self.0.values().map(|requests| requests.len() - 1).sum()
    }
}
