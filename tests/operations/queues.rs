//! The queue between: what was accepted lies in it until it went through the flow, whatever is paused, fails or is
//! killed.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    harness::{
        http::{Client, until},
        program::{Place, Server},
    },
    records::failures::{break_step, root, template},
    step_functions::tasks::{ask, database, machine, make},
};

/// A request of one event, as it lies in the queue.
fn arrivals(number: u32) -> Value {
    json!({
        "id": format!("01JD{number:022}"),
        "tenant": "default",
        "via": "track",
        "receivedAt": "2026-01-01T00:00:00Z",
        "events": [{
            "messageId": format!("message-{number}"),
            "record": { "userId": "u-1", "event": "Signed Up", "timestamp": "2026-01-01T00:00:00Z", "metadata": { "preferredChannel": "email" } },
        }],
    })
}

/// Sends messages as a machine does.
#[track_caller]
fn send(server: &Server, queue: &str, bodies: &[Value]) {
    let sfn = Client::new(&server.step_functions);
    let queue = format!("https://sqs.local.amazonaws.com/000000000000/{queue}");
    let arguments = json!({ "QueueUrl": queue, "MessageBody": "{% $states.input %}" });
    let sends = make(&sfn, "Sends", "EXPRESS", &machine("arn:aws:states:::sqs:sendMessage", &arguments));
    for body in bodies {
        let sent =
            ask(&sfn, "StartSyncExecution", &json!({ "stateMachineArn": sends, "input": body.to_string() }));
        assert_eq!(sent["status"], "SUCCEEDED", "{sent}");
    }
}

/// What is listed of a queue.
#[track_caller]
fn listed(place: &Place, queue: &str) -> Value {
    let list = place.run(["queues", "list", "--json"]).json();
    list.as_array().unwrap().iter().find(|listed| listed["queue"] == queue).unwrap().clone()
}

/// Waits until a queue holds so many messages.
#[track_caller]
fn until_holds(place: &Place, queue: &str, messages: u32) {
    until(|| (listed(place, queue)["messages"] == messages).then_some(()));
}

/// Fails unless these events went through the flow, each once.
#[track_caller]
fn check_routed(server: &Server, numbers: impl IntoIterator<Item = u32>) {
    let api = Client::new(&server.base);
    for number in numbers {
        let event = api.show(&format!("/events/message-{number}"));
        assert_eq!(event["outcome"], "routed", "{event}");
    }
}

/// A template whose record flow waits for so many seconds before it does anything.
pub(crate) fn slow(place: &Place, seconds: u32) -> std::path::PathBuf {
    let template = template(place, |text| text);
    let file = place.path("statemachines/records.asl.json");
    let mut definition: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let first = definition["StartAt"].take();
    definition["StartAt"] = json!("Hold");
    definition["States"]["Hold"] = json!({ "Type": "Wait", "Seconds": seconds, "Next": first });
    fs::write(&file, definition.to_string()).unwrap();
    template
}

#[test]
fn a_paused_queue_takes_messages_and_keeps_them() {
    let place = Place::new();
    let mut server = Server::start(&place);
    assert!(place.run(["queues", "pause", "EventsQueue"]).stdout.contains("is paused"));
    send(&server, "EventsQueue", &[1, 2, 3].map(arrivals));
    server.process.signal("KILL");
    server.process.wait();
    let server = Server::start(&place);
    send(&server, "EventsQueue", &[4, 5].map(arrivals));
    let held = listed(&place, "EventsQueue");
    assert_eq!((&held["messages"], &held["inFlight"], &held["paused"]), (&json!(5), &json!(0), &json!(true)));
    assert!(place.run(["queues", "list"]).stdout.contains("paused\n"));
    let shown = place.run(["queues", "show", "EventsQueue", "--json"]).json();
    assert!(shown.as_array().unwrap().iter().all(|message| message["receives"] == 0), "{shown}");
    assert_eq!(Client::new(&server.base).get("/events/message-1").status, 404);
    place.run(["queues", "resume", "EventsQueue"]).check(0, &[]);
    until_holds(&place, "EventsQueue", 0);
    assert_eq!(listed(&place, "EventsQueue")["paused"], false);
    check_routed(&server, 1..=5);
}

/// S4-006: beyond its limit the queue takes no more, and says when to come again; what it took goes its way.
#[test]
fn a_full_queue_refuses_and_loses_nothing() {
    assert_eq!(check_full("--queue-limit", 5, 5), 5);
    let taken = check_full("--queue-bytes", 2_000, 1_000_000);
    assert!((2..20).contains(&taken), "{taken}");
}

/// Fills the queue of a server with events, and looks at the limit of messages that is listed; how many it takes.
#[track_caller]
fn check_full(option: &str, limit: u32, listed_limit: u32) -> u32 {
    let place = Place::new();
    drop(Server::start(&place));
    place.run(["queues", "pause", "EventsQueue"]).check(0, &[]);
    let server = Server::start_with(&place, [option, &limit.to_string()]);
    let api = Client::new(&server.base);
    let event = |number: u32| {
        json!({
            "messageId": format!("message-{number}"), "userId": "u-1", "event": "Signed Up",
            "timestamp": "2026-01-01T00:00:00Z",
        })
    };
    let track = |number: u32| api.request("POST", "/track", Some(&event(number)));
    let takes = |&number: &u32| {
        let answer = track(number);
        let is_taken = answer.status == 200;
        assert!(!is_taken || answer.body["messageId"] == format!("message-{number}"), "{answer:?}");
        is_taken
    };
    let next = 1 + (1..).take_while(takes).count() as u32;
    for number in [next, next + 1] {
        let event = event(number);
        for (door, body) in [
            ("/track", event.clone()),
            ("/events", event.clone()),
            ("/events", json!([event])),
            ("/v1/track", event.clone()),
            ("/v1/batch", json!({"batch": [event]})),
        ] {
            let refused = api.request("POST", door, Some(&body));
            assert_eq!(refused.status, 429, "{refused:?}");
            assert!(refused.headers["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 0);
        }
    }
    let full = listed(&place, "EventsQueue");
    assert_eq!((&full["messages"], &full["limit"]), (&json!(next - 1), &json!(listed_limit)));
    place.run(["queues", "resume", "EventsQueue"]).check(0, &[]);
    until_holds(&place, "EventsQueue", 0);
    check_routed(&server, 1..next);
    assert_eq!(track(next).status, 200);
    until_holds(&place, "EventsQueue", 0);
    check_routed(&server, [next]);
    let refused = api.get(&format!("/events/message-{}", next + 1));
    assert_eq!(refused.status, 404, "what was refused is not taken");
    next - 1
}

#[test]
fn messages_in_flight_survive_a_kill() {
    let place = Place::new();
    let slow = slow(&place, 600);
    let mut server = Server::start_with(&place, [Path::new("--template"), &slow]);
    send(&server, "EventsQueue", &[1, 2, 3].map(arrivals));
    until(|| (listed(&place, "EventsQueue")["inFlight"] != 0).then_some(()));
    server.process.signal("KILL");
    server.process.wait();
    assert_eq!(listed(&place, "EventsQueue")["messages"], 3);
    let server = Server::start(&place);
    until_holds(&place, "EventsQueue", 0);
    check_routed(&server, 1..=3);
}

/// S10: somebody who kills a process means no message by it.
#[test]
fn twenty_kills_do_not_bury_an_event() {
    let place = Place::new();
    let slow = slow(&place, 600);
    let mut server = Server::start_with(&place, [Path::new("--template"), &slow]);
    send(&server, "EventsQueue", &[arrivals(1)]);
    until(|| (listed(&place, "EventsQueue")["inFlight"] == 1).then_some(()));
    for _ in 0..20 {
        server.process.signal("KILL");
        server.process.wait();
        server = Server::start_with(&place, [Path::new("--template"), &slow]);
    }
    server.process.signal("KILL");
    server.process.wait();
    let shown = place.run(["queues", "show", "EventsQueue", "--json"]).json();
    let crashes = shown[0]["crashes"].as_u64().unwrap();
    assert!((1..20).contains(&crashes), "{shown}");
    assert!(shown[0]["reason"].as_str().unwrap().contains("while it was worked on"), "{shown}");
    let server = Server::start(&place);
    until_holds(&place, "EventsQueue", 0);
    check_routed(&server, [1]);
    assert_eq!(listed(&place, "EventsDeadLetters")["messages"], 0);
}

/// A request that a crash cut off is done by the next server.
#[test]
fn a_redrive_that_was_cut_off_is_taken_up_again() {
    let place = Place::new();
    let mut server = Server::start(&place);
    place.run(["queues", "pause", "EventsQueue"]).check(0, &[]);
    send(&server, "EventsDeadLetters", &[1, 2].map(arrivals));
    server.process.signal("KILL");
    server.process.wait();
    let requests = place.data().join("requests");
    fs::create_dir_all(&requests).unwrap();
    let request = json!({ "do": "redrive", "from": "EventsDeadLetters", "to": "EventsQueue" });
    fs::write(requests.join("01JD0000000000000000000000.taken"), request.to_string()).unwrap();
    let _server = Server::start(&place);
    until_holds(&place, "EventsQueue", 2);
    until_holds(&place, "EventsDeadLetters", 0);
}

/// What is under way when the server is told to stop ends first.
#[test]
fn a_stopped_server_finishes_received_messages() {
    let place = Place::new();
    let slow = slow(&place, 2);
    let mut server = Server::start_with(&place, [Path::new("--template"), &slow]);
    send(&server, "EventsQueue", &[arrivals(1)]);
    until(|| (listed(&place, "EventsQueue")["inFlight"] == 1).then_some(()));
    server.process.signal("TERM");
    assert_eq!(server.process.wait().code(), Some(0));
    let left = listed(&place, "EventsQueue");
    assert_eq!((&left["messages"], &left["inFlight"]), (&json!(0), &json!(0)), "{left}");
    check_routed(&Server::start(&place), [1]);
}

/// What takes longer than its messages are hidden for is ended before they are received again.
#[test]
fn a_call_that_takes_too_long_is_ended() {
    let place = Place::new();
    let slow = slow(&place, 600);
    let template = fs::read_to_string(&slow).unwrap();
    let hurried = template.replace("VisibilityTimeout: 360", "VisibilityTimeout: 1");
    fs::write(&slow, hurried.replace("maxReceiveCount: 5", "maxReceiveCount: 2")).unwrap();
    let mut server = Server::start_with(&place, [Path::new("--template"), &slow]);
    send(&server, "EventsQueue", &[1, 2].map(arrivals));
    until_holds(&place, "EventsDeadLetters", 2);
    server.process.signal("TERM");
    assert_eq!(server.process.wait().code(), Some(0));
    let logged = place.run(["logs", "-n", "ConsumeEvents"]).stdout;
    assert!(logged.contains("no time left"), "{logged}");
}

/// What cannot be read ends in the dead letter queue, whole, and holds up nothing.
#[test]
fn a_poison_message_is_dead_and_can_be_sent_back() {
    let place = Place::new();
    let template = template(&place, |text| text.replace("maxReceiveCount: 5", "maxReceiveCount: 2"));
    let mut server = Server::start_with(&place, [Path::new("--template"), &template]);
    send(&server, "EventsQueue", &[arrivals(1), json!({ "poison": 7 }), arrivals(2)]);
    until_holds(&place, "EventsDeadLetters", 1);
    until_holds(&place, "EventsQueue", 0);
    check_routed(&server, [1, 2]);
    let dead = place.run(["queues", "show", "EventsDeadLetters", "--json"]).json();
    assert_eq!((&dead[0]["body"], &dead[0]["receives"]), (&json!("{\"poison\":7}"), &json!(2)));
    let reason = "its function failed 2 times, the last time because it holds no events";
    assert_eq!(dead[0]["reason"], reason);
    assert!(place.run(["queues", "show", "EventsDeadLetters"]).stdout.contains(reason));
    let said = fs::read_to_string(place.path("stderr")).unwrap();
    assert!(said.contains("are in EventsDeadLetters now") && said.contains(reason), "{said}");
    assert!(!said.contains("poison"), "{said}");
    let logged = place.run(["logs", "-n", "ConsumeEvents"]).stdout;
    assert!(logged.contains("hold no events") && !logged.contains("poison"), "{logged}");

    // The server sends it back, and it is no better than before.
    let back = place.run(["queues", "redrive", "EventsDeadLetters"]);
    assert_eq!(back.stdout, "1 messages of EventsDeadLetters are in EventsQueue again\n", "{back:?}");
    until_holds(&place, "EventsQueue", 0);
    until_holds(&place, "EventsDeadLetters", 1);
    server.process.signal("KILL");
    server.process.wait();
    place.run(["queues", "redrive", "UploadedDeadLetters"]).check(2, &["--to"]);
    place.run(["queues", "redrive", "EventsQueue", "--to", "EventsQueue"]).check(2, &["its own target"]);
    place.run(["queues", "redrive", "Nothing"]).check(2, &["no queue Nothing"]);
    place
        .run(["queues", "pause", "EventsDeadLetters"])
        .check(2, &["no function receives from EventsDeadLetters"]);
    let back = place.run(["queues", "redrive", "EventsDeadLetters"]);
    assert_eq!(back.stdout, "1 messages of EventsDeadLetters are in EventsQueue again\n");
    let shown = place.run(["queues", "show", "EventsQueue", "--json"]).json();
    assert_eq!((&shown[0]["messageId"], &shown[0]["receives"]), (&dead[0]["messageId"], &json!(0)));
    // It is no better than before.
    let _server = Server::start_with(&place, [Path::new("--template"), &template]);
    until_holds(&place, "EventsDeadLetters", 1);
}

/// RouteEvents dies when it has written down where an event goes, and nothing lies in the lane yet; meanwhile the
/// destination goes.
#[test]
fn deliveries_to_a_deleted_destination_fail() {
    let place = Place::new();
    let mut server = Server::start(&place);
    let destination =
        json!({"destinationName": "a", "url": "https://a.example/", "type": "analytics", "state": "paused"});
    assert_eq!(Client::new(&server.base).request("POST", "/destinations", Some(&destination)).status, 200);
    send(&server, "EventsQueue", &[arrivals(1)]);
    until_holds(&place, "EventsQueue", 0);
    server.process.signal("KILL");
    server.process.wait();
    let lost = database(&place).execute("DELETE FROM deliveries WHERE sort LIKE 'q#%'", []).unwrap();
    assert_eq!(lost, 1);
    let server = Server::start(&place);
    let api = Client::new(&server.base);
    assert_eq!(api.request("DELETE", "/destinations/a", None).status, 204);
    send(&server, "EventsQueue", &[arrivals(1)]);
    let failed = until(|| {
        let shown = api.get("/events/message-1").body;
        (shown["deliveries"][0]["status"] == "failed").then_some(shown)
    });
    assert_eq!(failed["deliveries"][0]["reason"], "destination_deleted");
    assert_eq!(api.show("/quarantine?errorType=delivery")["entries"].as_array().unwrap().len(), 1);
}

/// A step that fails for good loses no event: they wait in the dead letter queue until it is mended.
#[test]
fn events_pass_once_a_broken_step_is_mended() {
    let place = Place::new();
    let template = template(&place, |text| text.replace("maxReceiveCount: 5", "maxReceiveCount: 2"));
    break_step(&place, "RouteEvents");
    let mut server = Server::start_with(&place, [Path::new("--template"), &template]);
    send(&server, "EventsQueue", &[1, 2].map(arrivals));
    until_holds(&place, "EventsDeadLetters", 2);
    let api = Client::new(&server.base);
    let stored = [1, 2].map(|number| api.show(&format!("/events/message-{number}"))["outcome"].clone());
    assert_eq!(stored, ["stored", "stored"], "they are kept, and nobody was told of them");
    server.process.signal("KILL");
    server.process.wait();
    place.run(["queues", "redrive", "EventsDeadLetters"]).check(0, &[]);
    let server = Server::start(&place);
    until_holds(&place, "EventsQueue", 0);
    check_routed(&server, [1, 2]);
    let quarantined = Client::new(&server.base).all("/quarantine", "entries");
    assert_eq!(quarantined, Vec::<Value>::new(), "the queue keeps them, nobody else");
}

#[test]
fn the_consumer_is_called_by_hand() {
    let place = Place::new();
    let event = root().join("examples/events/consume_events.json");
    let called = place.run([Path::new("invoke"), Path::new("ConsumeEvents"), Path::new("-e"), &event]);
    let failed = json!([{ "itemIdentifier": "4c9f6a3e-6f0e-4c0e-9a53-0c2f7a3d1b22" }]);
    assert_eq!(called.json(), json!({ "batchItemFailures": failed }));
    let refused = place.file("event.json", "{}");
    let refused =
        place.run([Path::new("invoke"), Path::new("ConsumeEventsFunction"), Path::new("-e"), &refused]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stdout.contains("BadInput"), "{refused:?}");
}
