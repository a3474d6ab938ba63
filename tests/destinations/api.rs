//! Destinations, made and changed while the program runs; what is hidden of them stays hidden.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::harness::{
    http::{Client, encoded, until},
    program::{Place, Server, skip},
    stack::deployed,
};

/// Requests in order, and what is answered to each.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// What no answer, log or listing may hold.
    #[serde(default)]
    hidden: Vec<String>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// `POST /destinations`
    request: String,
    #[serde(default)]
    body: Option<Value>,
    status: u16,
    /// What the answer holds, among other things.
    #[serde(default)]
    answer: Value,
    /// Members that it does not hold: JSON Pointers.
    #[serde(default)]
    without: Vec<String>,
    /// The pointers of its errors, in order.
    #[serde(default)]
    errors: Option<Vec<String>>,
}

/// A body that is refused: what is changed of one that would be taken, and what is said.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    body: Value,
    errors: Vec<(String, String)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    cases: Vec<Case>,
    refused: Vec<Refusal>,
}

fn cases() -> Cases {
    serde_json::from_str(include_str!("api.json")).unwrap()
}

/// The same on the stack that is named, or on this machine.
#[test]
fn destinations_are_made_shown_changed_and_removed() {
    let Some(stack) = deployed() else {
        for case in cases().cases {
            let place = Place::new();
            let server = Server::start(&place);
            let said = check(&Client::new(&server.base), &case);
            drop(server);
            check_hidden(&case, &(said + &logged(&place)));
        }
        return;
    };
    let api = Client::new(&stack.base);
    if !api.all("/destinations", "destinations").is_empty() {
        let why = format!("the stack {} has destinations already", stack.base);
        return skip("stack", &why);
    }
    for case in cases().cases {
        check_hidden(&case, &check(&api, &case));
        let made = case.steps.iter().filter(|step| step.request == "POST /destinations");
        for name in made.filter_map(|step| step.body.as_ref()?["destinationName"].as_str()) {
            api.delete(&format!("/destinations/{}", encoded(name)));
        }
    }
}

/// The stack that is named, or a server on this machine, which is there as long as what comes with it.
fn anywhere() -> (Client, Option<(Server, Place)>) {
    if let Some(stack) = deployed() {
        return (Client::new(&stack.base), None);
    }
    let place = Place::new();
    let server = Server::start(&place);
    (Client::new(&server.base), Some((server, place)))
}

#[test]
fn what_is_longer_than_any_key_is_not_looked_for() {
    let (api, _own) = anywhere();
    let long = "1".repeat(3_000);
    for (path, status) in [
        ("/events/", 404),
        ("/deliveries?page=a/q%23", 400),
        ("/contacts?after=", 400),
        ("/destinations/", 404),
    ] {
        assert_eq!(api.get(&format!("{path}{long}")).status, status, "{path}");
    }
}

/// Makes the requests of a case; all that is answered.
#[track_caller]
fn check(api: &Client, case: &Case) -> String {
    let mut said = String::new();
    for step in &case.steps {
        let context = format!("{}: {}", case.name, step.request);
        let (method, path) = step.request.split_once(' ').unwrap();
        let answer = api.request(method, path, step.body.as_ref());
        assert_eq!(answer.status, step.status, "{context}: {answer:?}");
        assert!(holds(&answer.body, &step.answer), "{context}: {}", answer.body);
        for pointer in &step.without {
            assert_eq!(answer.body.pointer(pointer), None, "{context}: {pointer}");
        }
        if let Some(errors) = &step.errors {
            let found: Vec<_> = answer.body["errors"].as_array().unwrap().iter().collect();
            let found: Vec<_> = found.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
            assert_eq!(found, *errors, "{context}");
        }
        said.push_str(&answer.text);
    }
    said
}

#[track_caller]
fn check_hidden(case: &Case, said: &str) {
    for hidden in &case.hidden {
        assert!(!said.contains(hidden), "{}: {hidden} is shown", case.name);
    }
}

/// Whether `found` is `expected`, or has all of its members and perhaps more.
pub(crate) fn holds(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (_, Value::Null) => true,
        (Value::Object(found), Value::Object(expected)) => {
            expected.iter().all(|(name, value)| found.get(name).is_some_and(|found| holds(found, value)))
        }
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len() && found.iter().zip(expected).all(|(one, other)| holds(one, other))
        }
        (found, expected) => found == expected,
    }
}

/// All that the program wrote for people.
pub(crate) fn logged(place: &Place) -> String {
    texts(&place.data().join("logs")) + &texts(&place.path("stderr"))
}

/// A file, or all that lie below a folder; there are no logs so long as no function ran.
fn texts(path: &Path) -> String {
    match fs::read_dir(path) {
        Ok(folder) => folder.map(|entry| texts(&entry.unwrap().path())).collect(),
        Err(_) => fs::read_to_string(path).unwrap_or_default(),
    }
}

#[test]
fn what_is_wrong_with_a_destination_is_told_by_field() {
    let (api, _own) = anywhere();
    let before = api.show("/destinations");
    for Refusal { body, errors } in cases().refused {
        let mut whole = json!({"destinationName": "a", "url": "https://a.example/", "type": "CDP"});
        for (name, value) in body.as_object().unwrap() {
            match value.as_str() {
                Some("(left out)") => drop(whole.as_object_mut().unwrap().remove(name)),
                _ => whole[name] = written_out(value),
            }
        }
        let answer = api.request("POST", "/destinations", Some(&whole));
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        let found = answer.body["errors"].as_array().unwrap();
        let text = |error: &Value, name: &str| error[name].as_str().unwrap().to_owned();
        let found: Vec<_> =
            found.iter().map(|error| (text(error, "pointer"), text(error, "message"))).collect();
        assert_eq!(found, errors, "{body}");
    }
    assert_eq!(api.show("/destinations"), before);
}

/// A value with `(a times 3)` in its texts written out.
fn written_out(value: &Value) -> Value {
    let text = |text: &str| {
        let (front, rest) = text.split_once('(')?;
        let (unit, times) = rest.strip_suffix(')')?.split_once(" times ")?;
        Some(format!("{front}{}", unit.repeat(times.parse().ok()?)))
    };
    match value {
        Value::String(short) => text(short).unwrap_or_else(|| short.clone()).into(),
        Value::Array(items) => items.iter().map(written_out).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), written_out(value))).collect()
        }
        value => value.clone(),
    }
}

#[test]
fn a_secret_that_is_made_is_shown_once() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = Client::new(&server.base);
    let body = json!({"destinationName": "a", "url": "https://a.example/", "type": "CDP", "secret": true});
    let made = api.request("POST", "/destinations", Some(&body)).body;
    let rotated = api.request("PUT", "/destinations/a", Some(&body)).body;
    let (first, second) =
        (made["destination"]["secret"].as_str().unwrap(), rotated["secret"].as_str().unwrap());
    assert_ne!(first, second);
    assert_eq!(rotated["secrets"], 2);
    let shown = api.get("/destinations/a").text + &api.get("/destinations").text;
    drop(server);
    for secret in [first, second] {
        assert_eq!(secret.strip_prefix("whsec_").unwrap().len(), 44, "the base64 of 32 bytes");
        assert!(!(shown.clone() + &logged(&place)).contains(secret));
    }
}

/// What a test of a destination sends, and what it tells.
#[test]
fn a_destination_is_tested_with_one_event() {
    let receiver = Receiver::start(&["200 OK", "503 Service Unavailable", "302 Found"]);
    let place = Place::new();
    let server = Server::start_with(&place, ["--allow-destination", &receiver.address]);
    let api = Client::new(&server.base);
    let url = format!("http://{}/in?key=query-value", receiver.address);
    let made = json!({
        "destinationName": "a", "url": url, "type": "CDP", "headers": {"X-Key": "header-value"}, "state": "disabled",
        "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "filter": "false",
        "mapping": r#"{"who": userId, "id": messageId}"#
    });
    assert_eq!(api.request("POST", "/destinations", Some(&made)).status, 200);
    let own = json!({"userId": "ann", "event": "e", "timestamp": "2026-11-21T08:00:00Z", "metadata": {"preferredChannel": "a/b"}});
    let test = |body: Option<&Value>| api.request("POST", "/destinations/a/test", body);
    let mut told = Vec::new();
    for body in [None, Some(&own), None] {
        let mut answer = test(body);
        assert_eq!(answer.status, 200, "{answer:?}");
        let took = answer.body.as_object_mut().unwrap().remove("durationMs").unwrap();
        assert!(took.is_u64());
        told.push(answer.body);
    }
    assert_eq!(
        told,
        [
            json!({"delivered": true, "status": 200}),
            json!({"delivered": false, "status": 503}),
            json!({"delivered": false, "status": 302})
        ]
    );
    let calls = receiver.calls();
    let (head, body) = calls[0].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /in/email?key=query-value HTTP/1.1\r\n"), "{head}");
    let id = head.lines().find_map(|line| line.strip_prefix("webhook-id: ")).unwrap();
    assert_eq!(body, json!({"who": "test", "id": id}).to_string());
    for header in ["x-key: header-value", "content-type: application/json", "webhook-signature: v1,"] {
        assert!(head.contains(&format!("\r\n{header}")), "{header}: {head}");
    }
    assert!(calls[1].starts_with("POST /in/a%2Fb?key=query-value "), "{}", calls[1]);
    assert!(calls[1].contains(r#""who":"ann""#), "{}", calls[1]);
    let refused = test(Some(&json!({"userId": "ann"})));
    assert_eq!((refused.status, &refused.body["errors"][0]["pointer"]), (400, &json!("/event")));
    assert_eq!(api.request("POST", "/destinations/b/test", None).status, 404);
    // Where nobody listens, and where nobody may call.
    drop(receiver);
    assert_eq!(test(None).body["error"], "connect");
    drop(server);
    let server = Server::start(&place);
    let blocked = Client::new(&server.base).request("POST", "/destinations/a/test", None);
    assert_eq!(blocked.body, json!({"delivered": false, "error": "blocked", "durationMs": 0}));
    drop(server);
    for hidden in ["query-value", "header-value", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "ann"] {
        assert!(!logged(&place).contains(hidden), "{hidden}");
    }
}

/// No value out of the event is said.
#[test]
fn a_mapping_that_makes_no_body_says_why() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = Client::new(&server.base);
    let own = json!({"userId": "ann", "event": "e", "timestamp": "2026-11-21T08:00:00Z"});
    for (name, mapping, end) in [("a", "userId + 1", ""), ("b", "nothing.here", "it gives nothing")] {
        let made =
            json!({"destinationName": name, "url": "https://a.example/", "type": "CDP", "mapping": mapping});
        assert_eq!(api.request("POST", "/destinations", Some(&made)).status, 200);
        let answer = api.request("POST", &format!("/destinations/{name}/test"), Some(&own)).body;
        assert_eq!((&answer["delivered"], &answer["error"]), (&json!(false), &json!("mapping")));
        let message = answer["message"].as_str().unwrap();
        assert!(message.len() > 10 && message.ends_with(end) && !message.contains("ann"), "{message}");
    }
}

/// Answers one call after the other, each with the next status, and keeps what it was sent.
struct Receiver {
    address: String,
    calls: Arc<Mutex<Vec<String>>>,
    thread: JoinHandle<()>,
}

impl Receiver {
    fn start(answers: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&calls);
        let thread = std::thread::spawn(move || {
            for answer in answers {
                let (mut call, _) = listener.accept().unwrap();
                kept.lock().unwrap().push(request(&mut call));
                let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                call.write_all(answer.as_bytes()).unwrap();
            }
        });
        Self { address, calls, thread }
    }

    /// What it was sent; by then it listens no more.
    fn calls(&self) -> Vec<String> {
        until(|| self.thread.is_finished().then_some(()));
        self.calls.lock().unwrap().clone()
    }
}

/// One request whole.
fn request(call: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut bytes = [0; 4096];
    loop {
        let read = call.read(&mut bytes).unwrap();
        text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if read == 0 || body.len() == length.parse::<usize>().unwrap() {
            return text;
        }
    }
}
