//! `crmflow sink`: it answers as it was told to, and shows what it received.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    time::Duration,
};

use serde_json::{Value, json};

use crate::harness::{
    http::{Answer, Client},
    program::{Place, Server, run},
};

/// A sink: one on a free port, with the file that it records to; or one that is there already.
pub(crate) struct Sink {
    pub(crate) api: Client,
    /// `http://127.0.0.1:PORT`
    base: String,
    /// Those of one that the test has started.
    own: Option<(Server, PathBuf)>,
}

impl Sink {
    pub(crate) fn start(place: &Place) -> Self {
        Self::start_with(place, &[])
    }

    /// With more options.
    pub(crate) fn start_with(place: &Place, options: &[&str]) -> Self {
        let record = place.path("received.ndjson");
        let mut command = place.command(["sink", "--listen", "127.0.0.1:0", "--quiet", "--record"]);
        command.arg(&record).args(options);
        let server = Server::spawn(command);
        Self { api: Client::new(&server.base), base: server.base.clone(), own: Some((server, record)) }
    }

    /// One that is there already.
    pub(crate) fn at(base: &str) -> Self {
        Self { api: Client::new(base), base: base.to_owned(), own: None }
    }

    /// Its host and port.
    pub(crate) fn authority(&self) -> &str {
        self.base.strip_prefix("http://").unwrap()
    }

    /// The address of an endpoint.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Tells an endpoint how to behave.
    #[track_caller]
    pub(crate) fn tell(&self, endpoint: &str, behaviour: &Value) {
        let path = self.url(&format!("/_sink/{endpoint}"));
        let answer = self.api.put(&path, behaviour.to_string().as_bytes());
        assert_eq!((answer.status, &answer.body), (200, behaviour), "{answer:?}");
    }

    /// What an endpoint counted.
    #[track_caller]
    pub(crate) fn counts(&self, endpoint: &str) -> Value {
        self.api.show("/_sink/counts")[endpoint].take()
    }

    /// Every request that it ever received, in order; of one that was there already, as far as it keeps them.
    #[track_caller]
    pub(crate) fn recorded(&self) -> Vec<Value> {
        let Some((_, record)) = &self.own else {
            return self.api.show("/_sink/received?limit=100000")["received"].as_array().unwrap().clone();
        };
        // What was counted is in the file.
        self.api.show("/_sink/counts");
        let text = fs::read_to_string(record).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Sends a message as a destination gets it.
    #[track_caller]
    fn send(&self, path: &str, id: &str, body: &str) -> Answer {
        self.api.post(path, &[("webhook-id", id), ("content-type", "application/json")], body.as_bytes())
    }
}

/// The seed's three endpoints, and what lies below them (S0-044).
#[test]
fn every_request_is_received_and_shown() {
    let place = Place::new();
    let sink = Sink::start(&place);
    let sent = [
        ("analytics-1", "/analytics-1", "a", r#"{"event": "x", "n": 1.0}"#),
        ("analytics-1", "/analytics-1", "a", r#"{"event": "x", "n": 1.0}"#),
        ("analytics-1", "/analytics-1/below", "a", "not JSON"),
        ("analytics-2", "/analytics-2?key=1", "b", ""),
        ("comms", "/comms/email", "c", "<script>alert(1)</script>"),
    ];
    for (_, path, id, body) in sent {
        let answer = sink.send(path, id, body);
        assert_eq!((answer.status, answer.body), (200, json!({"received": true})));
    }
    assert_eq!(sink.api.get("/comms/push").status, 200);
    assert_eq!(sink.api.get("/analytics-3").status, 404);
    assert_eq!(sink.api.show("/_sink/received?endpoint=comms")["received"][1]["method"], "GET");

    let counts = |requests, distinct, repeats, without| json!({"requests": requests, "distinct": distinct, "repeats": repeats, "withoutId": without, "byStatus": {"200": requests}});
    let expected = json!({"analytics-1": counts(3, 1, 1, 0), "analytics-2": counts(1, 1, 0, 0), "comms": counts(2, 1, 0, 1)});
    assert_eq!(sink.api.show("/_sink/counts"), expected);

    let recorded = sink.recorded();
    let seen = |one: &Value| {
        ["endpoint", "path", "webhookId", "body"].map(|name| one[name].as_str().unwrap().to_owned())
    };
    let all: Vec<_> = recorded[..5].iter().map(seen).collect();
    assert_eq!(all, sent.map(|(endpoint, path, id, body)| [endpoint, path, id, body].map(str::to_owned)));
    assert_eq!(recorded[0]["headers"]["content-type"], "application/json");

    // Page by page it is the same.
    let (mut after, mut paged) = (json!(0), Vec::new());
    while !after.is_null() {
        let page = sink.api.show(&format!("/_sink/received?limit=2&after={after}"));
        paged.extend(page["received"].as_array().unwrap().iter().cloned());
        after = page["next"].clone();
    }
    assert_eq!(paged, recorded);

    let page = sink.api.get("/").text;
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script"), "{page}");
    assert!(page.contains("<b>3</b> requests"), "{page}");
    sink.api.delete("/_sink/received");
    assert_eq!(sink.counts("comms")["requests"], 0);
    assert_eq!(sink.api.show("/_sink/received"), json!({"received": [], "next": null}));
    assert_eq!(sink.recorded(), recorded);
}

/// Tells an endpoint how to behave, and checks the statuses of five requests; 0 is none.
#[track_caller]
fn check(sink: &Sink, told: &Value, statuses: [u16; 5]) {
    sink.api.delete("/_sink/received");
    sink.tell("comms", told);
    for (n, expected) in statuses.into_iter().enumerate() {
        let sent = sink.api.try_post("/comms/sms", &[("webhook-id", &n.to_string())], b"{}");
        let found = sent.map_or(0, |answer| answer.status);
        assert_eq!(found, expected, "{told}: request {n}");
    }
    let counted: Value = sink.counts("comms")["byStatus"].take();
    let given = |status: u16| statuses.iter().filter(|one| **one == status).count();
    for (name, count) in counted.as_object().unwrap() {
        assert_eq!(count, given(name.parse().unwrap_or(0)), "{told}: {counted}");
    }
}

#[test]
fn an_endpoint_behaves_as_it_is_told() {
    let place = Place::new();
    let sink = Sink::start_with(&place, &["--status", "500", "--times", "1"]);
    assert_eq!([(); 2].map(|()| sink.send("/analytics-2", "a", "").status), [500, 200]);
    check(&sink, &json!({"status": 503}), [503; 5]);
    check(&sink, &json!({"status": 410, "times": 2}), [410, 410, 200, 200, 200]);
    check(&sink, &json!({"status": 429, "share": 0.5}), [200, 429, 200, 429, 429]);
    check(&sink, &json!({"reset": true, "times": 3}), [0, 0, 0, 200, 200]);
    check(&sink, &json!({"delayMs": 1}), [200; 5]);
    sink.tell("comms", &json!({"retryAfter": 7}));
    let answer = sink.send("/comms", "a", "");
    assert_eq!((answer.status, answer.headers["retry-after"].as_bytes()), (503, &b"7"[..]));
    // The others are as they were.
    assert_eq!(sink.send("/analytics-1", "a", "").status, 500);
    assert_eq!(sink.api.delete("/_sink/comms").status, 204);
    assert_eq!(sink.send("/comms", "a", "").status, 200);
    for told in [r#"{"status": 99}"#, r#"{"sharp": 1}"#, "{", r#"{"hang": true, "reset": true}"#] {
        assert_eq!(sink.api.put(&sink.url("/_sink/comms"), told.as_bytes()).status, 400, "{told}");
    }
    assert_eq!(sink.api.put(&sink.url("/_sink/sms"), b"{}").status, 404);
}

/// Sends a request, and reads until the answer ends, the connection does, or enough was read.
fn raw(sink: &Sink, enough: usize) -> std::io::Result<usize> {
    let mut stream = TcpStream::connect(sink.authority()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    stream.write_all(b"POST /comms HTTP/1.1\r\nHost: sink\r\nContent-Length: 0\r\n\r\n").unwrap();
    let mut read = 0;
    let mut buffer = [0; 16 * 1024];
    while read < enough {
        match stream.read(&mut buffer)? {
            0 => break,
            count => read += count,
        }
    }
    Ok(read)
}

#[test]
fn connections_hang_break_and_go_on() {
    use std::io::ErrorKind;
    let place = Place::new();
    let sink = Sink::start(&place);
    sink.tell("comms", &json!({"reset": true}));
    assert_eq!(raw(&sink, 1).unwrap_err().kind(), ErrorKind::ConnectionReset);
    sink.tell("comms", &json!({"hang": true}));
    assert_eq!(raw(&sink, 1).unwrap_err().kind(), ErrorKind::WouldBlock);
    sink.tell("comms", &json!({"endless": true}));
    assert!(raw(&sink, 1_000_000).unwrap() >= 1_000_000);
    assert_eq!(sink.counts("comms")["byStatus"], json!({"200": 1, "none": 2}));
}

#[test]
fn a_sink_that_cannot_be_is_refused() {
    let place = Place::new();
    place.run(["sink", "--listen", "0.0.0.0:8090"]).check(2, &["loopback"]);
    place.run(["sink", "--share", "2"]).check(2, &["a share is 0 to 1"]);
    place.run(["sink", "--hang", "--reset"]).check(2, &["only one of"]);
    place.run(["sink", "--record", "nowhere/at/all"]).check(1, &["nowhere/at/all"]);
    let mut full = place.command(["sink", "--listen", "127.0.0.1:0", "--record", "/dev/full", "--quiet"]);
    full.stderr(fs::File::create(place.path("stderr")).unwrap());
    let mut server = Server::spawn(full);
    let _ = Client::new(&server.base).try_post("/comms", &[], b"{}");
    assert_eq!(server.process.wait().code(), Some(1));
    assert!(fs::read_to_string(place.path("stderr")).unwrap().contains("the record file cannot be written"));
}

/// One line a request on the terminal, the body too where it is asked for.
#[test]
fn the_terminal_shows_requests() {
    let place = Place::new();
    let crmflow = place.command(["sink", "--listen", "127.0.0.1:0", "--show-bodies"]);
    let out = place.path("out");
    let script = format!("exec \"$0\" \"$@\" > {}", out.display());
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script]).arg(crmflow.get_program()).args(crmflow.get_args());
    let mut process = crate::harness::program::Killed(command.spawn().unwrap());
    let base = crate::harness::http::until(|| {
        let said = fs::read_to_string(&out).unwrap_or_default();
        let address = said.split_whitespace().find(|word| word.starts_with("http://"))?.to_owned();
        said.contains('\n').then_some(address)
    });
    let api = Client::new(&base);
    api.post("/comms/email", &[("webhook-id", "msg-1")], b"{\"a\": 1}");
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
    let said = fs::read_to_string(&out).unwrap();
    let lines: Vec<_> = said.lines().collect();
    assert!(lines[1].ends_with("  comms        POST /comms/email  200  msg-1"), "{said}");
    assert_eq!(lines[2], "{\"a\": 1}");
    let quiet = run(&mut place.command(["sink", "--quiet", "--show-bodies"]), b"");
    assert_eq!(quiet.code, Some(2), "{quiet:?}");
}
