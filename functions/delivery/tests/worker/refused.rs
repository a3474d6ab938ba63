//! Refused deliveries, and a destination that refuses all.

use std::sync::{
    Arc,
    atomic::{AtomicU16, AtomicUsize, Ordering::Relaxed},
};

use delivery::model::Status;
use destinations::destination::{RETRY_DELAYS, State};
use kernel::queue::QueueName;

use super::{
    answers::summary,
    fixture::Fixture,
    sink::{Reply, Sink},
};

/// A fixture with a destination, and a sink that gives the answer that is set.
async fn answered(status: u16) -> (Fixture, Sink, Arc<AtomicU16>) {
    let answer = Arc::new(AtomicU16::new(status));
    let says = Arc::clone(&answer);
    let sink = Sink::start(move |_, _| Reply::Status(says.load(Relaxed), "")).await;
    let fixture = Fixture::new(&[&sink]);
    fixture.destination("A", &sink, |it| it.retry_delays = RETRY_DELAYS.to_vec()).await;
    (fixture, sink, answer)
}

async fn events(fixture: &Fixture, count: usize) {
    for number in 0..count {
        fixture.event(&format!("m{number:03}"), None, None, &["A"]).await;
    }
}

/// Works on the lane for so many seconds.
async fn advance(fixture: &Fixture, seconds: i64) {
    for _ in 0..seconds {
        fixture.advance(1);
        fixture.deliver(&["A"]).await;
    }
}

#[tokio::test]
async fn one_refused_delivery_fails_alone_after_its_tries() {
    for status in [401, 403, 404, 409, 302] {
        let sink = Sink::start(move |request, _| {
            Reply::Status(if request.id().starts_with("poison") { status } else { 200 }, "")
        })
        .await;
        let fixture = Fixture::new(&[&sink]);
        fixture
            .destination("A", &sink, |it| {
                it.concurrency = 1;
                it.retry_delays = vec![60; 2];
            })
            .await;
        for id in ["poison-1", "m1", "m2", "poison-2", "m3", "m4", "m5"] {
            fixture.event(id, None, None, &["A"]).await;
        }
        fixture.deliver(&["A"]).await;
        for id in ["m1", "m2", "m3", "m4", "m5"] {
            assert!(fixture.is_delivered(id, "A").await, "{status}: {id}");
        }
        for _ in 0..2 {
            fixture.advance(70);
            fixture.deliver(&["A"]).await;
        }
        let failed = format!("failed http_{status}: {status} {status} {status}");
        let summary: Vec<String> = fixture.deliveries("A").await.iter().map(summary).collect();
        assert_eq!((&summary[0], &summary[3]), (&failed, &failed));
        assert_eq!(fixture.found("A").await.state, State::Active);
        assert_eq!(fixture.quarantine().await.len(), 2);
    }
}

#[tokio::test]
async fn a_destination_that_refuses_all_is_paused() {
    for status in [401, 404, 302] {
        let (fixture, sink, answer) = answered(status).await;
        events(&fixture, 40).await;
        fixture.deliver(&["A"]).await;
        assert_eq!(fixture.found("A").await.state, State::Active);
        advance(&fixture, 35).await;
        let found = fixture.found("A").await;
        let reason = format!("http_{status}");
        assert_eq!((found.state, found.reason), (State::Paused, Some(reason.clone())));
        // One call in three seconds went, after the first ones.
        assert!(sink.requests().len() <= 10 + 16 + 12, "{}", sink.requests().len());
        assert_eq!((fixture.rows("A", "q#").await.len(), fixture.quarantine().await.len()), (40, 0));
        let told = fixture.messages(QueueName::Events);
        assert_eq!(told.len(), 1, "{told:?}");
        for part in ["crmflow destination paused", &format!(r#""reason":"{reason}""#)] {
            assert!(told[0].1.contains(part), "{told:?}");
        }
        // Somebody has seen to it.
        answer.store(200, Relaxed);
        fixture.change("A", |it| (it.state, it.reason) = (State::Active, None)).await;
        fixture.deliver(&["A"]).await;
        let deliveries = fixture.deliveries("A").await;
        assert_eq!(deliveries.len(), 40);
        assert!(deliveries.iter().all(|it| it.status == Status::Delivered), "{status}");
    }
}

#[tokio::test]
async fn final_refusals_pause_before_everything_has_failed() {
    let (fixture, _, _) = answered(400).await;
    events(&fixture, 100).await;
    fixture.deliver(&["A"]).await;
    advance(&fixture, 35).await;
    let found = fixture.found("A").await;
    assert_eq!((found.state, found.reason.as_deref()), (State::Paused, Some("http_400")));
    let (failed, waiting) = (fixture.rows("A", "f#").await.len(), fixture.rows("A", "q#").await.len());
    assert_eq!((failed + waiting, fixture.messages(QueueName::Events).len()), (100, 1));
    assert!((10..=10 + 16 + 12).contains(&failed), "{failed}");
}

#[tokio::test]
async fn a_moment_of_refusals_pauses_nothing() {
    for status in [403, 404, 405] {
        let (fixture, _, answer) = answered(status).await;
        events(&fixture, 50).await;
        fixture.deliver(&["A"]).await;
        advance(&fixture, 3).await;
        answer.store(200, Relaxed);
        advance(&fixture, 8).await;
        let deliveries = fixture.deliveries("A").await;
        assert_eq!((fixture.found("A").await.state, deliveries.len()), (State::Active, 50));
        assert!(deliveries.iter().all(|it| it.status == Status::Delivered), "{status}");
        assert_eq!(fixture.messages(QueueName::Events).len(), 0);
    }
}

#[tokio::test]
async fn a_run_of_refusals_delays_others_for_a_moment() {
    let sink = Sink::start(|request, _| {
        Reply::Status(if request.id().starts_with("poison") { 403 } else { 200 }, "")
    })
    .await;
    let fixture = Fixture::new(&[&sink]);
    fixture
        .destination("A", &sink, |it| {
            it.concurrency = 1;
            it.retry_delays = RETRY_DELAYS.to_vec();
        })
        .await;
    for number in 0..14 {
        fixture.event(&format!("poison-{number}"), None, None, &["A"]).await;
    }
    events(&fixture, 30).await;
    fixture.deliver(&["A"]).await;
    advance(&fixture, 20).await;
    assert_eq!(fixture.found("A").await.state, State::Active);
    assert_eq!(fixture.rows("A", "d#").await.len(), 30);
}

#[tokio::test]
async fn the_final_statuses_are_those_of_the_destination() {
    for (status, finals, tries) in
        [(404, vec![404], 1), (400, vec![404], 3), (503, vec![503], 1), (410, vec![], 3)]
    {
        let (fixture, sink, _) = answered(status).await;
        fixture.change("A", |it| (it.final_statuses, it.retry_delays) = (finals.clone(), vec![0, 0])).await;
        events(&fixture, 1).await;
        fixture.deliver(&["A"]).await;
        assert_eq!(
            (sink.requests().len(), fixture.found("A").await.state),
            (tries, State::Active),
            "{status}"
        );
        assert_eq!(fixture.deliveries("A").await[0].status, Status::Failed, "{status}");
    }
}

/// A destination that takes one call in a second, and says so with these headers.
async fn throttled(headers: &'static str, calls: usize) -> (Fixture, Sink) {
    let left = AtomicUsize::new(calls);
    let sink = Sink::start(move |_, _| {
        let is_throttled = left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
        if is_throttled { Reply::Status(429, headers) } else { Reply::Status(200, "") }
    })
    .await;
    let fixture = Fixture::new(&[&sink]);
    (fixture, sink)
}

#[tokio::test]
async fn retry_after_rests_a_lane_and_uses_no_attempt() {
    for headers in ["retry-after: 1\r\n", "retry-after: 0\r\n", ""] {
        let (fixture, sink) = throttled(headers, 40).await;
        fixture.destination("A", &sink, |it| (it.retry_delays, it.concurrency) = (vec![60, 60], 4)).await;
        events(&fixture, 10).await;
        fixture.deliver(&["A"]).await;
        // Those that were on their way, and one a rest.
        for _ in 0..40 {
            let before = sink.requests().len();
            if fixture.rows("A", "d#").await.is_empty() {
                assert!(before <= 4 + 40, "{before}");
            }
            fixture.advance(301);
            fixture.deliver(&["A"]).await;
        }
        let deliveries = fixture.deliveries("A").await;
        assert_eq!(deliveries.len(), 10, "{headers:?}");
        assert!(deliveries.iter().all(|it| it.status == Status::Delivered), "{headers:?}");
        assert!(deliveries.iter().any(|it| it.attempts.len() > 4), "{headers:?}");
        assert_eq!(sink.requests().len(), 40 + 10);
        assert_eq!(fixture.found("A").await.state, State::Active);
    }
}

#[tokio::test]
async fn retry_after_delays_the_lane_by_its_length() {
    let (fixture, sink) = throttled("retry-after: 60\r\n", 3).await;
    fixture.destination("A", &sink, |it| it.retry_delays = vec![5]).await;
    events(&fixture, 3).await;
    fixture.deliver(&["A"]).await;
    fixture.event("later", None, None, &["A"]).await;
    fixture.advance(58);
    fixture.deliver(&["A"]).await;
    assert_eq!(sink.requests().len(), 3);
    fixture.advance(10);
    fixture.deliver(&["A"]).await;
    assert_eq!(fixture.rows("A", "d#").await.len(), 4);
}

#[tokio::test]
async fn endless_retry_after_is_given_up() {
    let (fixture, sink) = throttled("", usize::MAX).await;
    fixture.destination("A", &sink, |it| it.retry_delays = vec![5]).await;
    events(&fixture, 1).await;
    fixture.deliver(&["A"]).await;
    for _ in 0..27 {
        fixture.advance(3_600);
        fixture.deliver(&["A"]).await;
        assert_eq!(fixture.deliveries("A").await[0].status, Status::Pending);
    }
    fixture.advance(3_600);
    fixture.deliver(&["A"]).await;
    let delivery = fixture.deliveries("A").await.remove(0);
    assert_eq!((delivery.status, delivery.reason.as_deref()), (Status::Failed, Some("http_429")));
}

#[tokio::test]
async fn a_short_retry_after_uses_up_no_schedule() {
    for headers in
        ["retry-after: 1\r\n", "retry-after: 0\r\n", "retry-after: Wed, 01 Jan 2025 01:00:00 GMT\r\n"]
    {
        let sink = Sink::start(move |_, _| Reply::Status(503, headers)).await;
        let fixture = Fixture::new(&[&sink]);
        fixture.destination("A", &sink, |it| it.retry_delays = RETRY_DELAYS.to_vec()).await;
        events(&fixture, 1).await;
        fixture.deliver(&["A"]).await;
        advance(&fixture, 20).await;
        assert_eq!(sink.requests().len(), 2, "{headers}");
        assert_eq!(fixture.deliveries("A").await[0].status, Status::Pending);
    }
}
