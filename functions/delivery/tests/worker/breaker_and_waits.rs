//! When a lane rests, and who is not held up by it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering::Relaxed},
    },
    time::Duration,
};

use delivery::{
    model::{self, Status},
    query::{self, Filter, LaneView},
    redrive::{self, Selection},
    worker::{DeliveryWorker, WorkerContext},
};
use destinations::destination::{Destination, State};
use kernel::queue::QueueName;

use super::{
    fixture::Fixture,
    sink::{Reply, Sink},
};

#[tokio::test]
async fn a_wake_up_arrives_when_a_retry_is_due() {
    let sink = Sink::start(|_, before| Reply::Status(if before < 2 { 500 } else { 200 }, "")).await;
    let fixture = Fixture::new(&[&sink]);
    fixture.destination("A", &sink, |it| it.retry_delays = vec![5, 300, 7_200]).await;
    fixture.event("m1", None, None, &["A"]).await;
    fixture.deliver(&["A"]).await;
    let delays = |fixture: &Fixture| {
        fixture.messages(QueueName::Lanes).iter().map(|(delay, _)| *delay).collect::<Vec<_>>()
    };
    let first = delays(&fixture);
    assert!(first.len() == 1 && (5..=6).contains(&first[0]), "{first:?}");
    // Another message finds nothing due, and asks for none.
    fixture.deliver(&["A"]).await;
    assert_eq!((sink.requests().len(), delays(&fixture).len()), (1, 1));
    fixture.advance(7);
    fixture.deliver(&["A"]).await;
    let second = delays(&fixture);
    assert!(second.len() == 2 && (270..=331).contains(&second[1]), "{second:?}");
    fixture.advance(331);
    fixture.deliver(&["A"]).await;
    let delivery = fixture.deliveries("A").await.remove(0);
    assert_eq!((delivery.status, delivery.attempts.len()), (Status::Delivered, 3));
    assert_eq!(delays(&fixture).len(), 2);
}

#[tokio::test]
async fn what_the_destination_asks_for_wins() {
    let sink =
        Sink::start(|_, before| Reply::Status([429, 503, 200][before.min(2)], "retry-after: 40\r\n")).await;
    let fixture = Fixture::new(&[&sink]);
    fixture.destination("A", &sink, |it| it.retry_delays = vec![5, 7_200]).await;
    fixture.event("m1", None, None, &["A"]).await;
    for calls in 1..=2 {
        fixture.deliver(&["A"]).await;
        fixture.advance(38);
        fixture.deliver(&["A"]).await;
        assert_eq!(sink.requests().len(), calls);
        // It is up to a tenth later.
        fixture.advance(7);
    }
    fixture.deliver(&["A"]).await;
    assert_eq!((fixture.deliveries("A").await[0].status, sink.requests().len()), (Status::Delivered, 3));
}

#[tokio::test]
async fn a_message_is_held_back_no_longer_than_queues_do() {
    let sink = Sink::start(|_, _| Reply::Status(500, "")).await;
    let fixture = Fixture::new(&[&sink]);
    fixture.destination("A", &sink, |it| it.retry_delays = vec![7_200]).await;
    fixture.event("m1", None, None, &["A"]).await;
    fixture.deliver(&["A"]).await;
    assert_eq!(fixture.messages(QueueName::Lanes).iter().map(|(delay, _)| *delay).collect::<Vec<_>>(), [900]);
}

/// How many deliveries of a lane have used up a try.
async fn tried(fixture: &Fixture) -> usize {
    fixture.rows("A", "q#").await.iter().filter(|row| !row.body.contains(r#""tries":0"#)).count()
}

#[tokio::test]
async fn the_breaker_opens_rests_and_probes() {
    let sink = Sink::start(|_, _| Reply::Status(503, "")).await;
    let fixture = Fixture::new(&[&sink]);
    fixture
        .destination("A", &sink, |it| {
            it.concurrency = 1;
            it.retry_delays = vec![86_400; 3];
        })
        .await;
    for number in 0..40 {
        fixture.event(&format!("m{number:02}"), None, None, &["A"]).await;
    }
    fixture.deliver(&["A"]).await;
    assert_eq!(sink.requests().len(), 10);
    assert_eq!(tried(&fixture).await, 10);
    // It rests, whoever comes.
    fixture.advance(50);
    fixture.deliver(&["A"]).await;
    assert_eq!(sink.requests().len(), 10);
    // Then one goes.
    fixture.advance(11);
    fixture.deliver(&["A"]).await;
    assert_eq!((sink.requests().len(), tried(&fixture).await), (11, 11));
    fixture.deliver(&["A"]).await;
    assert_eq!(sink.requests().len(), 11);
}

#[tokio::test]
async fn a_probe_that_goes_well_closes_the_breaker() {
    let failing = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let fails = std::sync::Arc::clone(&failing);
    let sink = Sink::start(move |_, _| {
        Reply::Status(if fails.load(std::sync::atomic::Ordering::Relaxed) { 500 } else { 200 }, "")
    })
    .await;
    let fixture = Fixture::new(&[&sink]);
    fixture.destination("A", &sink, |it| it.retry_delays = vec![60; 3]).await;
    for number in 0..100 {
        fixture.event(&format!("m{number:03}"), None, None, &["A"]).await;
    }
    fixture.deliver(&["A"]).await;
    let before = sink.requests().len();
    assert!((10..=10 + 16).contains(&before), "{before}");
    failing.store(false, std::sync::atomic::Ordering::Relaxed);
    fixture.advance(70);
    fixture.deliver(&["A"]).await;
    let deliveries = fixture.deliveries("A").await;
    assert_eq!(deliveries.len(), 100);
    assert!(deliveries.iter().all(|it| it.status == Status::Delivered));
    assert_eq!(sink.requests().len(), before + 100);
}

#[tokio::test]
async fn five_days_of_failure_disable() {
    let sink = Sink::start(|_, _| Reply::Status(500, "")).await;
    let fixture = Fixture::new(&[&sink]);
    fixture.destination("A", &sink, |it| it.retry_delays = vec![36_000; 100]).await;
    fixture.event("m1", None, None, &["A"]).await;
    for _ in 0..10 {
        fixture.deliver(&["A"]).await;
        assert_eq!(fixture.found("A").await.state, State::Active);
        fixture.advance(40_000);
    }
    fixture.advance(40_000);
    fixture.deliver(&["A"]).await;
    let found = fixture.found("A").await;
    assert_eq!((found.state, found.reason.as_deref()), (State::Disabled, Some("failing")));
    assert_eq!(fixture.deliveries("A").await[0].reason.as_deref(), Some("destination_disabled"));
    let told = fixture.messages(QueueName::Events);
    assert_eq!(told.len(), 1, "{told:?}");
    for part in ["crmflow destination disabled", r#""via":"crmflow""#, r#""reason":"failing""#] {
        assert!(told[0].1.contains(part), "{told:?}");
    }
}

#[tokio::test]
async fn failures_of_what_was_changed_since_do_not_count() {
    let status = Arc::new(AtomicU16::new(503));
    let says = Arc::clone(&status);
    let sink = Sink::start(move |_, _| Reply::Status(says.load(Relaxed), "")).await;
    let fixture = Fixture::new(&[&sink]);
    let make = || fixture.destination("A", &sink, |it| it.retry_delays = vec![864_000; 3]);
    // An event that is answered so; how the destination stands then.
    let send = async |id: &str, answer: u16| {
        status.store(answer, Relaxed);
        fixture.event(id, None, None, &["A"]).await;
        fixture.deliver(&["A"]).await;
        fixture.found("A").await.state
    };
    let activate = || fixture.change("A", |it| (it.state, it.reason) = (State::Active, None));
    make().await;
    assert_eq!(send("m1", 503).await, State::Active);
    fixture.change("A", |it| it.state = State::Paused).await;
    assert_eq!(send("m2", 401).await, State::Paused);
    fixture.advance(6 * 86_400);
    activate().await;
    assert_eq!(send("m3", 503).await, State::Active, "it was paused for most of the time");
    fixture.advance(6 * 86_400);
    assert_eq!(send("m4", 503).await, State::Disabled);
    activate().await;
    assert_eq!(send("m5", 503).await, State::Active, "somebody has seen to it");
    fixture.advance(6 * 86_400);
    Destination::delete(&fixture.tenant, &"A".parse().unwrap(), &fixture.store).await.unwrap();
    make().await;
    assert_eq!(send("m6", 503).await, State::Active, "it is another one");
    // So it is with the breaker.
    for number in 10..19 {
        send(&format!("m{number}"), 503).await;
    }
    let before = sink.requests().len();
    send("m20", 200).await;
    assert_eq!(sink.requests().len(), before, "the breaker is open");
    activate().await;
    send("m21", 200).await;
    assert_eq!(sink.ids()[before..], ["m20", "m21"]);
}

#[tokio::test]
async fn a_lane_that_hangs_holds_up_nobody() {
    let hung = Sink::start(|_, _| Reply::Hang).await;
    let fast = Sink::start(|_, _| Reply::Status(200, "")).await;
    let fixture = Fixture::new(&[&hung, &fast]);
    fixture.destination("Hung", &hung, |it| it.concurrency = 4).await;
    fixture.destination("Fast", &fast, |_| {}).await;
    for number in 0..200 {
        fixture.event(&format!("m{number}"), None, None, &["Hung", "Fast"]).await;
    }
    // The hung lane is still at its first calls when the other has ended.
    tokio::select! {
        () = fixture.deliver(&["Hung"]) => panic!("it does not hang"),
        () = fixture.deliver(&["Fast"]) => {}
    }
    assert_eq!((fast.requests().len(), fixture.deliveries("Fast").await.len()), (200, 200));
    assert!(hung.requests().len() <= 4);
}

#[tokio::test]
async fn a_rate_limit_is_kept() {
    let sink = Sink::start(|_, _| Reply::Status(200, "")).await;
    let fixture = Fixture::new(&[&sink]);
    fixture.destination("A", &sink, |it| it.rate_limit = Some(20)).await;
    for number in 0..30 {
        fixture.event(&format!("m{number}"), None, None, &["A"]).await;
    }
    fixture.deliver(&["A"]).await;
    let deliveries = fixture.deliveries("A").await;
    let mut times: Vec<_> = deliveries.iter().map(|it| it.attempts[0].at).collect();
    times.sort();
    assert_eq!(times.len(), 30);
    for (index, first) in times.iter().enumerate() {
        let second = times[index..].iter().filter(|at| at.duration_since(*first).as_millis() < 1_000);
        assert!(second.count() <= 20, "{times:?}");
    }
}

#[tokio::test]
async fn who_comes_to_a_lane_that_is_taken_rings() {
    let sink = Sink::start(|_, _| Reply::Status(200, "")).await;
    let fixture = Fixture::new(&[&sink]);
    fixture.destination("A", &sink, |_| {}).await;
    fixture.event("m1", None, None, &["A"]).await;
    // Both are done, and one of them has sent it.
    tokio::join!(fixture.deliver(&["A"]), fixture.deliver(&["A"]));
    assert_eq!(sink.ids(), ["m1"]);
    // Another process holds the lane: it is told, and should it die, a message comes when its lease is over.
    let lane = fixture.lane_item(r#"{"holder":"other","expiresAt":"2999-01-01T00:00:00Z"}"#);
    fixture.put(model::TABLE, lane).await;
    fixture.event("m2", None, None, &["A"]).await;
    fixture.deliver(&["A"]).await;
    assert_eq!((sink.ids().len(), fixture.messages(QueueName::Lanes).len()), (1, 1));
    assert!(fixture.rows("A", model::LANE_SORT).await[0].body.contains(r#""rung":true"#));
}

#[tokio::test]
async fn a_busy_lane_is_let_go_when_its_time_is_over() {
    let sink = Sink::start(|_, _| Reply::Status(200, "")).await;
    let fixture = Fixture::new(&[&sink]);
    fixture.destination("A", &sink, |_| {}).await;
    fixture.event("m1", None, None, &["A"]).await;
    let worker = DeliveryWorker::new(WorkerContext {
        max_hold: Duration::from_millis(300),
        ..fixture.context.clone()
    });
    let rings = async {
        loop {
            fixture.deliver_with(&worker, &["A"]).await;
            tokio::task::yield_now().await;
        }
    };
    tokio::pin!(rings);
    // If no other worker set the flag at that moment, the worker released the lane like any other.
    while fixture.messages(QueueName::Lanes).is_empty() {
        tokio::select! {
            biased;
            () = fixture.deliver_with(&worker, &["A"]) => {}
            () = &mut rings => {}
            () = tokio::time::sleep(Duration::from_secs(60)) => panic!("it is never let go"),
        }
    }
    // The next worker continues.
    assert_eq!(fixture.messages(QueueName::Lanes)[0].0, 0);
    assert_eq!(sink.ids(), ["m1"]);
}

#[tokio::test]
async fn a_lane_that_fails_is_read_again_soon() {
    let fixture = Fixture::new(&[]);
    fixture.put(model::TABLE, fixture.lane_item("7")).await;
    fixture.deliver(&["A"]).await;
    let delays: Vec<i64> = fixture.messages(QueueName::Lanes).iter().map(|(delay, _)| *delay).collect();
    assert!(delays.len() == 1 && (5..=60).contains(&delays[0]), "{delays:?}");
}

#[tokio::test]
async fn a_recreated_destination_starts_afresh() {
    let status = Arc::new(AtomicU16::new(422));
    let says = Arc::clone(&status);
    let sink = Sink::start(move |_, _| Reply::Status(says.load(Relaxed), "")).await;
    let fixture = Fixture::new(&[&sink]);
    let make = || fixture.destination("A", &sink, |it| it.retry_delays = vec![60; 3]);
    let view =
        async || LaneView::read(&fixture.tenant, &fixture.found("A").await, &fixture.store).await.unwrap();
    let listed = async || {
        let filter = Filter { destination: Some("A".parse().unwrap()), ..Filter::default() };
        let page = query::list(&fixture.tenant, &filter, None, 100, &fixture.store).await.unwrap();
        page.deliveries.iter().map(|it| format!("{} {}", it.message_id, it.status.name())).collect::<Vec<_>>()
    };
    make().await;
    fixture.event("m1", None, None, &["A"]).await;
    fixture.deliver(&["A"]).await;
    status.store(503, Relaxed);
    fixture.event("m2", None, None, &["A"]).await;
    fixture.deliver(&["A"]).await;
    assert_eq!(listed().await, ["m2 pending", "m1 failed"]);
    assert!(view().await.failing_since.is_some());
    fixture.event("m3", None, None, &["A"]).await;
    Destination::delete(&fixture.tenant, &"A".parse().unwrap(), &fixture.store).await.unwrap();
    assert_eq!(listed().await, ["m3 pending", "m2 pending", "m1 failed"], "nobody else has its name");
    // The new one is there before anybody has worked on the lane.
    fixture.advance(1);
    make().await;
    assert_eq!(listed().await, Vec::<String>::new());
    assert_eq!(view().await.failing_since, None);
    status.store(200, Relaxed);
    fixture.event("m4", None, None, &["A"]).await;
    let before = sink.requests().len();
    fixture.advance(70);
    fixture.deliver(&["A"]).await;
    assert_eq!(sink.ids()[before..], ["m4"]);
    assert_eq!(listed().await, ["m4 delivered"]);
    let reasons: Vec<_> = fixture.deliveries("A").await.into_iter().map(|it| it.reason).collect();
    let deleted = Some("destination_deleted".to_owned());
    assert_eq!(reasons, [Some("http_422".to_owned()), deleted.clone(), deleted, None]);
    let selection =
        Selection { destination: fixture.found("A").await, since: None, failure: None, limit: 100 };
    assert_eq!(redrive::count(&fixture.tenant, &selection, &fixture.store).await.unwrap().matched, 0);
}

#[tokio::test]
async fn a_lane_shows_what_waits_and_why() {
    let sink = Sink::start(|_, _| Reply::Status(503, "")).await;
    let fixture = Fixture::new(&[&sink]);
    fixture.destination("A", &sink, |it| it.retry_delays = vec![7_200; 3]).await;
    let view =
        async || LaneView::read(&fixture.tenant, &fixture.found("A").await, &fixture.store).await.unwrap();
    assert_eq!((view().await.waiting, view().await.oldest_received_at), (0, None));
    let first = fixture.now();
    fixture.event("m0", None, None, &["A"]).await;
    fixture.deliver(&["A"]).await;
    fixture.advance(60);
    fixture.change("A", |it| it.state = State::Paused).await;
    for number in 1..1_500 {
        fixture.event(&format!("m{number}"), None, None, &["A"]).await;
    }
    let lane = view().await;
    assert_eq!((lane.waiting, lane.more), (1_500, false));
    let oldest = lane.oldest_received_at.unwrap();
    assert!(oldest >= first && oldest.duration_since(first).as_secs() < 30, "{oldest} {first}");
    let filter = Filter { status: Some(Status::Pending), ..Filter::default() };
    let mut page = query::list(&fixture.tenant, &filter, None, 1_000, &fixture.store).await.unwrap();
    let next = page.next.take();
    let rest = query::list(&fixture.tenant, &filter, next.as_deref(), 1_000, &fixture.store).await.unwrap();
    page.deliveries.extend(rest.deliveries);
    let failed: Vec<_> = page.deliveries.iter().filter(|it| it.reason.is_some()).collect();
    assert_eq!((page.deliveries.len(), failed.len()), (1_500, 1));
    assert_eq!((failed[0].message_id.as_str(), failed[0].reason.as_deref()), ("m0", Some("http_503")));
}
