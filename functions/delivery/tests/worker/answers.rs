//! The answer of a destination decides the result of the delivery.

use std::time::Duration;

use delivery::{
    model::{Delivery, Status},
    worker::{DeliveryWorker, WorkerContext},
};
use destinations::{
    destination::{DestinationType, State},
    outbound::{Guard, Outbound},
};
use kernel::{fault::ErrorType, queue::QueueName};

use jiff::SignedDuration;

use super::{
    fixture::Fixture,
    secure,
    sink::{Reply, Sink},
};

const SHORT_TIMEOUT: Duration = Duration::from_secs(1);

fn reply(token: &str) -> Reply {
    match token {
        "drop" => Reply::Drop,
        "late" => Reply::Late(SHORT_TIMEOUT * 3),
        status => Reply::Status(status.parse().unwrap(), ""),
    }
}

/// How a delivery stands, and what was tried: `failed http_404: 500 404`.
pub(super) fn summary(delivery: &Delivery) -> String {
    let attempts = delivery.attempts.iter().map(|attempt| match (attempt.status, &attempt.error) {
        (Some(status), None) => status.to_string(),
        (None, Some(error)) if error != "mapping" || attempt.message.is_some() => error.clone(),
        other => format!("{other:?}"),
    });
    let reason = delivery.reason.as_ref().map(|reason| format!(" {reason}")).unwrap_or_default();
    format!("{}{reason}: {}", delivery.status.name(), attempts.collect::<Vec<_>>().join(" "))
}

/// Sends one event to a destination that gives these answers, the last one again and again, and may be tried three
/// times more. Fails unless this is the result of the delivery, and the destination remains active.
async fn check(answers: &'static str, expected: &str) {
    let sink = Sink::start(move |_, before| {
        let answers: Vec<&str> = answers.split(' ').collect();
        reply(answers[before.min(answers.len() - 1)])
    })
    .await;
    let is_slow = answers.contains("late");
    let fixture =
        if is_slow { Fixture::with_request_timeout(&[&sink], SHORT_TIMEOUT) } else { Fixture::new(&[&sink]) };
    fixture.destination("A", &sink, |it| it.retry_delays = vec![0, 0, 0]).await;
    fixture.event("m1", None, None, &["A"]).await;
    fixture.deliver(&["A"]).await;
    let deliveries = fixture.deliveries("A").await;
    assert_eq!(deliveries.iter().map(summary).collect::<Vec<_>>(), [expected], "{answers}");
    assert_eq!(fixture.found("A").await.state, State::Active, "{answers}");
    // The other places tell the same.
    let (status, queued) = (deliveries[0].status, fixture.rows("A", "q#").await.len());
    assert_eq!(queued, usize::from(status == Status::Pending), "{answers}");
    assert_eq!(fixture.is_delivered("m1", "A").await, status == Status::Delivered, "{answers}");
    let kept = fixture.quarantine().await;
    assert_eq!(kept.len(), usize::from(status == Status::Failed), "{answers}");
    for entry in kept {
        assert_eq!(entry.error_type, ErrorType::Delivery);
        assert_eq!(entry.message_id.as_deref(), Some("m1"));
        assert_eq!(entry.destination.as_ref().map(ToString::to_string).as_deref(), Some("A"));
        assert!(entry.record.unwrap().get().contains("12345678901234567890"));
        let reason = deliveries[0].reason.clone().unwrap();
        assert_eq!(entry.faults[0].message, format!("was not taken by destination A: {reason}"));
    }
    assert_eq!(sink.requests().len(), deliveries[0].attempts.len(), "{answers}");
}

// The meaning of each status is a table in `call_outcome.rs`, and `tests/delivery/answers.json` on both hosts.
#[tokio::test]
async fn different_answers_share_the_attempts() {
    check("503 404 422", "failed http_422: 503 404 422").await;
    check("500 403", "failed http_403: 500 403 403 403").await;
    check("408 423 425 200", "delivered: 408 423 425 200").await;
}

#[tokio::test]
async fn a_reset_or_late_answer_is_an_attempt() {
    check("drop", "failed reset: reset reset reset reset").await;
    // The destination has the event, but its answer was late: the worker sends the event again with the same id.
    check("late 200", "delivered: timeout 200").await;
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_called() {
    let sink = Sink::start(|_, _| reply("200")).await;
    let fixture = Fixture::new(&[]);
    for (name, host) in [("A", "localhost"), ("B", "127.0.0.1"), ("C", "0x7f.1")] {
        fixture
            .destination(name, &sink, |it| {
                it.url = format!("http://{host}:{}/in", sink.address.port()).into();
                it.retry_delays = vec![0];
            })
            .await;
        fixture.event(name, None, None, &[name]).await;
        fixture.deliver(&[name]).await;
        let summary: Vec<String> = fixture.deliveries(name).await.iter().map(summary).collect();
        assert_eq!(summary, ["failed blocked: blocked blocked"], "{host}");
    }
    assert_eq!(sink.requests().len(), 0);
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_not_trusted() {
    for (until, expected) in [(4000, "delivered: 200"), (2021, "failed tls: tls tls")] {
        let (address, roots) = secure::start(until).await;
        let fixture = Fixture::new(&[]);
        let sink = Sink::start(|_, _| reply("200")).await;
        fixture
            .destination("A", &sink, |it| {
                it.url = format!("https://localhost:{}/in", address.port()).into();
                it.retry_delays = vec![0];
            })
            .await;
        fixture.event("m1", None, None, &["A"]).await;
        let guard = Guard::new(vec![address.to_string().parse().unwrap()]);
        let outbound = Outbound::trusting(guard, roots).unwrap();
        fixture
            .deliver_with(&DeliveryWorker::new(WorkerContext { outbound, ..fixture.context.clone() }), &["A"])
            .await;
        assert_eq!(fixture.deliveries("A").await.iter().map(summary).collect::<Vec<_>>(), [expected]);
        assert_eq!(fixture.found("A").await.state, State::Active);
    }
}

#[tokio::test]
async fn what_is_sent() {
    let sink = Sink::start(|_, _| reply("200")).await;
    let fixture = Fixture::new(&[&sink]);
    // They are being rotated: whichever the receiver holds fits.
    let secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"];
    fixture
        .destination("Plain", &sink, |it| {
            it.headers.insert("Authorization".to_owned(), "Bearer 7".to_owned());
        })
        .await;
    fixture
        .destination("Comms", &sink, |it| {
            it.kind = DestinationType::Cdp;
            it.url.push_str("/?key=1");
            it.secrets = secrets.map(ToOwned::to_owned).to_vec().into();
        })
        .await;
    fixture
        .destination("Mapped", &sink, |it| {
            it.mapping = Some(r#"{"plan": metadata.plan}"#.to_owned());
            it.headers.insert("content-type".to_owned(), "application/x-own".to_owned());
        })
        .await;
    fixture.event("é 1", None, Some("e/mail"), &["Plain"]).await;
    fixture.event("m2", None, Some("e/mail ü"), &["Comms"]).await;
    fixture.event("m3", None, None, &["Comms"]).await;
    fixture.event("m4", None, None, &["Mapped"]).await;
    for name in ["Plain", "Comms", "Mapped"] {
        fixture.deliver(&[name]).await;
    }
    let mut seen = sink.requests();
    seen.sort_by_key(|request| request.id().to_owned());
    let [plain, channel, none, mapped] = seen.as_slice() else { panic!("{seen:?}") };
    assert_eq!((plain.id(), plain.path.as_str()), ("%C3%A9%201", "/in"));
    assert_eq!(plain.body, r#"{"event": "signed_up",  "big": 12345678901234567890, "id": "é 1"}"#);
    assert_eq!(plain.headers["authorization"], "Bearer 7");
    assert_eq!(plain.headers["content-type"], "application/json");
    assert!(!plain.headers.contains_key("webhook-signature"));
    assert_eq!(channel.path, "/in/e%2Fmail%20%C3%BC?key=1");
    assert_eq!(none.path, "/in/?key=1");
    let signatures = secrets.map(|secret| {
        let at = channel.headers["webhook-timestamp"].parse().unwrap();
        destinations::outbound::sign(&[secret.parse().unwrap()], "m2", at, channel.body.as_bytes())
    });
    assert_eq!(channel.headers["webhook-signature"], signatures.join(" "));
    assert!(signatures[0] != signatures[1] && signatures.iter().all(|it| it.starts_with("v1,")));
    let debugged = format!("{:?}", fixture.found("Comms").await);
    assert!(!debugged.contains(secrets[0]) && !debugged.contains("key=1"), "{debugged}");
    let debugged = format!("{:?}", fixture.found("Plain").await);
    assert!(!debugged.contains("Bearer"), "{debugged}");
    assert_eq!(
        (mapped.body.as_str(), mapped.headers["content-type"].as_str()),
        (r#"{"plan":"pro"}"#, "application/x-own")
    );
}

#[tokio::test]
async fn an_event_that_cannot_be_mapped_fails_alone() {
    let sink = Sink::start(|_, _| reply("200")).await;
    let fixture = Fixture::new(&[&sink]);
    fixture
        .destination("A", &sink, |it| it.mapping = Some("messageId = 'm2' ? 1 + 'a' : {\"a\": 1}".to_owned()))
        .await;
    fixture.destination("B", &sink, |it| it.mapping = Some("nothing.here".to_owned())).await;
    for id in ["m1", "m2", "m3"] {
        fixture.event(id, None, None, &["A"]).await;
    }
    fixture.event("m4", None, None, &["B"]).await;
    fixture.deliver(&["A", "B"]).await;
    let summary = |all: Vec<Delivery>| all.iter().map(summary).collect::<Vec<_>>();
    assert_eq!(
        summary(fixture.deliveries("A").await),
        ["delivered: 200", "failed mapping: mapping", "delivered: 200"]
    );
    let nothing = fixture.deliveries("B").await;
    assert_eq!(nothing[0].attempts[0].message.as_deref(), Some("it gives nothing"));
    assert_eq!(summary(nothing), ["failed mapping: mapping"]);
    let why = fixture.deliveries("A").await[1].attempts[0].message.clone().unwrap();
    let kept = fixture.quarantine().await;
    let messages: Vec<&str> = kept.iter().map(|entry| &*entry.faults[0].message).collect();
    assert!(
        messages.contains(&format!("was not taken by destination A: mapping: {why}").as_str()),
        "{messages:?}"
    );
}

#[tokio::test]
async fn a_410_ends_the_queue_and_is_reported() {
    let sink = Sink::start(|_, _| reply("410")).await;
    let fixture = Fixture::new(&[&sink]);
    fixture.destination("A", &sink, |it| it.concurrency = 1).await;
    for id in ["m1", "m2", "m3"] {
        fixture.event(id, None, None, &["A"]).await;
    }
    fixture.deliver(&["A"]).await;
    let reasons: Vec<_> = fixture.deliveries("A").await.into_iter().map(|it| it.reason.unwrap()).collect();
    assert_eq!(reasons, ["http_410", "destination_disabled", "destination_disabled"]);
    assert_eq!((fixture.rows("A", "q#").await.len(), fixture.quarantine().await.len()), (0, 3));
    assert_eq!(sink.requests().len(), 1);
    fixture.deliver(&["A"]).await;
    let told = fixture.messages(QueueName::Events);
    assert_eq!(told.len(), 1, "{told:?}");
    for part in ["crmflow destination disabled", r#""via":"crmflow""#, r#""reason":"http_410""#] {
        assert!(told[0].1.contains(part), "{told:?}");
    }
}

#[tokio::test]
async fn the_queue_of_a_deleted_destination_fails() {
    let sink = Sink::start(|_, _| reply("200")).await;
    let fixture = Fixture::new(&[&sink]);
    fixture.event("m1", None, None, &["Gone"]).await;
    fixture.deliver(&["Gone"]).await;
    assert_eq!(fixture.deliveries("Gone").await[0].reason.as_deref(), Some("destination_deleted"));
    assert_eq!((sink.requests().len(), fixture.rows("Gone", "q#").await.len()), (0, 0));
}

#[tokio::test]
async fn a_paused_destination_keeps_queue_and_attempts() {
    let sink = Sink::start(|_, _| reply("200")).await;
    let fixture = Fixture::new(&[&sink]);
    fixture
        .destination("A", &sink, |it| {
            (it.state, it.reason) = (State::Paused, Some("http_401".to_owned()));
            it.retry_delays = Vec::new();
        })
        .await;
    fixture.event("m1", None, None, &["A"]).await;
    fixture.event("m2", None, None, &["A"]).await;
    fixture.deliver(&["A"]).await;
    fixture.deliver(&["A"]).await;
    assert_eq!((sink.ids().len(), fixture.rows("A", "q#").await.len()), (0, 2));
    assert_eq!(fixture.messages(QueueName::Events).len(), 1);
    // Somebody changes it, and leaves it paused.
    fixture
        .change("A", |it| {
            it.headers.insert("X-Tried".to_owned(), "1".to_owned());
            it.updated_at += SignedDuration::from_secs(1);
        })
        .await;
    fixture.deliver(&["A"]).await;
    assert_eq!(fixture.messages(QueueName::Events).len(), 1);
    // Somebody has seen to it.
    fixture.change("A", |it| (it.state, it.reason) = (State::Active, None)).await;
    fixture.deliver(&["A"]).await;
    let summary: Vec<String> = fixture.deliveries("A").await.iter().map(summary).collect();
    assert_eq!(summary, ["delivered: 200", "delivered: 200"]);
    assert_eq!(fixture.messages(QueueName::Events).len(), 1);
}
