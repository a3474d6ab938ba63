//! The server is killed, or its disk is full, while events come in and go out.

use std::{
    collections::HashSet,
    sync::{
        Mutex, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use super::{JSON, Received, Stage, event, serve, serve_on_a_small_disk, size, text};
use crate::{
    harness::http::{Client, until},
    operations::environment::limit_files,
    step_functions::tasks::database,
};

/// How many clients send at once, each for users of its own, one request after the other.
const CLIENTS: usize = 4;
const USERS: usize = 3;
/// How many events each user has; `CRMFLOW_FAULT_EVENTS` says another number, for a longer run.
const EVENTS: usize = 150;
/// How many events a request has.
const BODY: usize = 5;
/// How often the server is killed while requests come.
const KILLS: usize = 6;
/// The longest time from a request to a kill, in milliseconds: long enough for the next one to be answered.
const LATEST: u64 = 40;

/// When the server is killed: after so many requests, so many milliseconds later. `CRMFLOW_FAULT_SEED` repeats an
/// earlier run's.
#[expect(clippy::print_stderr, reason = "shown when the test fails")]
fn kills(requests: usize) -> Vec<(usize, u64)> {
    let seed = size("CRMFLOW_FAULT_SEED", rand::random::<u32>() as usize);
    eprintln!("CRMFLOW_FAULT_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed as u64);
    let mut kills: Vec<_> =
        (0..KILLS).map(|_| (random.random_range(0..requests), random.random_range(0..=LATEST))).collect();
    kills.sort_unstable();
    kills
}

/// What became of the requests.
#[derive(Default)]
struct Sent {
    accepted: Mutex<Vec<Value>>,
    /// Sent, and never answered.
    doubtful: Mutex<HashSet<String>>,
    requests: AtomicUsize,
}

impl Sent {
    /// Sends all events of some users in their order. A request without an answer is sent again, or every other time
    /// left in doubt.
    fn send(&self, base: &RwLock<String>, client: usize, events: usize) {
        let address = || base.read().unwrap().clone();
        let mut at = address();
        let mut api = Client::new(&at);
        for first in (0..events).step_by(BODY) {
            for user in (0..USERS).map(|user| client * USERS + user) {
                let name = if (first / BODY).is_multiple_of(3) { "Order Placed" } else { "Page Seen" };
                let body: Vec<Value> =
                    (first..first + BODY).map(|number| event(user, number, name)).collect();
                self.requests.fetch_add(1, Ordering::Relaxed);
                let bytes = json!(body).to_string().into_bytes();
                loop {
                    match api.try_post("/events", &JSON, &bytes) {
                        Ok(answer) if answer.status == 202 => {
                            self.accepted.lock().unwrap().extend(body);
                            break;
                        }
                        Ok(answer) => assert!([429, 503].contains(&answer.status), "{answer:?}"),
                        Err(_) => {
                            at = until(|| Some(address()).filter(|now| *now != at));
                            api = Client::new(&at);
                            if (first / BODY).is_multiple_of(2) {
                                let ids = body.iter().map(|event| text(event, "messageId").to_owned());
                                self.doubtful.lock().unwrap().extend(ids);
                                break;
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Wherever the server is when it is killed, and while each destination fails one request in twenty, every accepted
/// event is delivered to each of its destinations, those of a user in order where that is asked for, and nothing else
/// is.
#[test]
fn no_kill_loses_an_event() {
    let mut stage = Stage::new();
    stage.destination("all", "/analytics-1", &json!({}));
    stage.destination("orders", "/analytics-2", &json!({"events": ["Order Placed"]}));
    stage.destination("care", "/comms", &json!({"type": "CDP", "ordering": "user"}));
    for endpoint in ["analytics-1", "analytics-2", "comms"] {
        stage.sink.tell(endpoint, &json!({"status": 503, "share": 0.05}));
    }
    let events = size("CRMFLOW_FAULT_EVENTS", EVENTS);
    let (sent, base) = (Sent::default(), RwLock::new(stage.server.base.clone()));
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (sent, base) = (&sent, &base);
                scope.spawn(move || sent.send(base, client, events))
            })
            .collect();
        let mut kills = kills(CLIENTS * USERS * events / BODY).into_iter();
        let mut kill = kills.next();
        while clients.iter().any(|client| !client.is_finished()) {
            match kill {
                Some((requests, delay)) if sent.requests.load(Ordering::Relaxed) >= requests => {
                    thread::sleep(Duration::from_millis(delay));
                    stage.kill();
                    *base.write().unwrap() = stage.server.base.clone();
                    kill = kills.next();
                }
                _ => thread::sleep(Duration::from_millis(1)),
            }
        }
    });
    // What is being delivered is cut short, too.
    stage.kill();
    let (accepted, doubtful) = (sent.accepted.into_inner().unwrap(), sent.doubtful.into_inner().unwrap());
    assert!(accepted.len() > USERS * CLIENTS * events / 2, "{}", accepted.len());
    let is_order = |event: &&Value| event["event"] == "Order Placed";
    stage.delivered(&accepted, |event| {
        if is_order(&event) { vec!["all", "care", "orders"] } else { vec!["all", "care"] }
    });
    stage.check_settled(&["all", "orders", "care"]);
    let may = |id: &str| doubtful.contains(id);
    Received::new(&stage.sink, "analytics-1").check(&accepted, "/analytics-1", may);
    Received::new(&stage.sink, "analytics-2").check(accepted.iter().filter(is_order), "/analytics-2", may);
    let care = Received::new(&stage.sink, "comms");
    care.check(&accepted, "/comms/email", may);
    care.check_order();
}

/// Events that were routed and not delivered when the server died are delivered by the next one, at once.
#[test]
fn what_was_routed_is_delivered_after_a_kill() {
    let mut stage = Stage::new();
    stage.destination("all", "/analytics-1", &json!({"concurrency": 4}));
    stage.sink.tell("analytics-1", &json!({"hang": true}));
    let events: Vec<Value> = (0..50).map(|number| event(0, number, "Page Seen")).collect();
    stage.accept(&events);
    // The last of them lies in the lane, and some are on their way.
    until(|| (stage.api.get("/events/u0-49").status == 200).then_some(()));
    until(|| (stage.sink.counts("analytics-1")["requests"] == 4).then_some(()));
    stage.sink.api.delete("/_sink/analytics-1");
    stage.kill();
    stage.delivered(&events, |_| vec!["all"]);
    stage.check_settled(&["all"]);
    let received = Received::new(&stage.sink, "analytics-1");
    received.check(&events, "/analytics-1", |_| false);
    assert_eq!(received.repeats(), 4, "those that were on their way");
}

/// While the disk is full nothing is accepted that is not kept; what was accepted before, and goes out meanwhile, is
/// delivered.
#[test]
fn a_full_disk_takes_no_event_that_it_does_not_keep() {
    let mut stage = Stage::new();
    stage.server.process.signal("KILL");
    stage.server.process.wait();
    stage.server = serve_on_a_small_disk(&stage.place, &stage.sink);
    stage.api = Client::new(&stage.server.base);
    stage.destination("care", "/comms", &json!({"type": "CDP", "ordering": "user"}));
    let (accepted, refused) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for user in 0..CLIENTS {
            let (accepted, refused, is_over, base) = (&accepted, &refused, &is_over, &stage.server.base);
            scope.spawn(move || {
                let api = Client::new(base);
                for number in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let event = event(user, number, "Page Seen");
                    let answer = api.post("/track", &JSON, event.to_string().as_bytes());
                    match answer.status {
                        200 => accepted.lock().unwrap().push(event),
                        503 => _ = refused.fetch_add(1, Ordering::Relaxed),
                        _ => panic!("{answer:?}"),
                    }
                }
            });
        }
        for round in 1..=3 {
            until(|| (accepted.lock().unwrap().len() >= round * 100).then_some(()));
            limit_files(&stage.server, "1");
            let before = refused.load(Ordering::Relaxed);
            until(|| (refused.load(Ordering::Relaxed) >= before + 20).then_some(()));
            if round == 3 {
                is_over.store(true, Ordering::Relaxed);
            } else {
                limit_files(&stage.server, "unlimited");
            }
        }
    });
    // It dies with a full disk.
    stage.kill();
    let accepted = accepted.into_inner().unwrap();
    stage.delivered(&accepted, |_| vec!["care"]);
    stage.check_settled(&["care"]);
    let received = Received::new(&stage.sink, "comms");
    // Of what was refused nobody knows: the disk may have been full just after it was kept.
    received.check(&accepted, "/comms/email", |_| true);
    received.check_order();
}

/// A stage whose destination hangs, with events that are on their way to it.
fn hanging(events: &[Value]) -> Stage {
    let stage = Stage::new();
    stage.destination("all", "/analytics-1", &json!({"concurrency": 2}));
    stage.sink.tell("analytics-1", &json!({"hang": true}));
    stage.accept(events);
    until(|| (stage.sink.counts("analytics-1")["requests"] == 2).then_some(()));
    stage
}

fn some_events() -> Vec<Value> {
    (0..10).map(|number| event(0, number, "Page Seen")).collect()
}

/// B5: a lane does not sleep for ever, however often the server is killed over it.
#[test]
fn a_lane_wakes_after_many_kills() {
    let events = some_events();
    let mut stage = hanging(&events);
    for _ in 0..21 {
        stage.kill();
    }
    stage.sink.api.delete("/_sink/analytics-1");
    stage.delivered(&events, |_| vec!["all"]);
    stage.check_settled(&["all"]);
}

/// Every start wakes every lane that has something waiting, wherever its wake-up went.
#[test]
fn every_start_wakes_lanes_with_a_queue() {
    for lost in [
        "DELETE FROM queue_messages WHERE queue = 'LanesQueue'",
        // As it was buried by a version before, for no fault of its own.
        "UPDATE queue_messages SET queue = 'LanesDeadLetters', receives = 20, deaths = 0, crashes = 0 \
         WHERE queue = 'LanesQueue'",
    ] {
        let events = some_events();
        let mut stage = hanging(&events);
        stage.server.process.signal("KILL");
        stage.server.process.wait();
        assert!(database(&stage.place).execute(lost, []).unwrap() > 0, "{lost}");
        stage.sink.api.delete("/_sink/analytics-1");
        stage.server = serve(&stage.place, &stage.sink);
        stage.api = Client::new(&stage.server.base);
        stage.delivered(&events, |_| vec!["all"]);
        stage.check_settled(&["all"]);
    }
}
