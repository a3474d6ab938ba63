//! What a destination refuses, and one that refuses everything.

use std::sync::{
    Arc,
    atomic::{AtomicU16, AtomicUsize, Ordering::Relaxed},
};

use delivery::model::Status;
use destinations::destination::{RETRY_DELAYS, State};
use kernel::queue::QueueName;

use super::{
    answers::said,
    lab::Lab,
    sink::{Reply, Sink},
};

/// A lab with a destination, and a sink that gives the answer that is set.
async fn answered(status: u16) -> (Lab, Sink, Arc<AtomicU16>) {
    let answer = Arc::new(AtomicU16::new(status));
    let says = Arc::clone(&answer);
    let sink = Sink::start(move |_, _| Reply::Status(says.load(Relaxed), "")).await;
    let lab = Lab::new(&[&sink]);
    lab.destination("A", &sink, |it| it.retry_delays = RETRY_DELAYS.to_vec()).await;
    (lab, sink, answer)
}

async fn events(lab: &Lab, count: usize) {
    for number in 0..count {
        lab.event(&format!("m{number:03}"), None, None, &["A"]).await;
    }
}

/// Works on the lane for so many seconds.
async fn pass(lab: &Lab, seconds: i64) {
    for _ in 0..seconds {
        lab.pass(1);
        lab.deliver(&["A"]).await;
    }
}

#[tokio::test]
async fn one_refused_delivery_fails_alone_after_its_tries() {
    for status in [401, 403, 404, 409, 302] {
        let sink = Sink::start(move |request, _| {
            Reply::Status(if request.id().starts_with("poison") { status } else { 200 }, "")
        })
        .await;
        let lab = Lab::new(&[&sink]);
        lab.destination("A", &sink, |it| {
            it.concurrency = 1;
            it.retry_delays = vec![60; 2];
        })
        .await;
        for id in ["poison-1", "m1", "m2", "poison-2", "m3", "m4", "m5"] {
            lab.event(id, None, None, &["A"]).await;
        }
        lab.deliver(&["A"]).await;
        for id in ["m1", "m2", "m3", "m4", "m5"] {
            assert!(lab.is_delivered(id, "A").await, "{status}: {id}");
        }
        for _ in 0..2 {
            lab.pass(70);
            lab.deliver(&["A"]).await;
        }
        let failed = format!("failed http_{status}: {status} {status} {status}");
        let said: Vec<String> = lab.deliveries("A").await.iter().map(said).collect();
        assert_eq!((&said[0], &said[3]), (&failed, &failed));
        assert_eq!(lab.found("A").await.state, State::Active);
        assert_eq!(lab.quarantine().await.len(), 2);
    }
}

#[tokio::test]
async fn a_destination_that_refuses_everything_is_paused_and_told_of() {
    for status in [401, 404, 302] {
        let (lab, sink, answer) = answered(status).await;
        events(&lab, 40).await;
        lab.deliver(&["A"]).await;
        assert_eq!(lab.found("A").await.state, State::Active);
        pass(&lab, 35).await;
        let found = lab.found("A").await;
        let reason = format!("http_{status}");
        assert_eq!((found.state, found.reason), (State::Paused, Some(reason.clone())));
        // One call in three seconds went, after the first ones.
        assert!(sink.seen().len() <= 10 + 16 + 12, "{}", sink.seen().len());
        assert_eq!((lab.rows("A", "q#").await.len(), lab.quarantine().await.len()), (40, 0));
        let told = lab.messages(QueueName::Events);
        assert_eq!(told.len(), 1, "{told:?}");
        for part in ["crmflow destination paused", &format!(r#""reason":"{reason}""#)] {
            assert!(told[0].1.contains(part), "{told:?}");
        }
        // Somebody has seen to it.
        answer.store(200, Relaxed);
        lab.change("A", |it| (it.state, it.reason) = (State::Active, None)).await;
        lab.deliver(&["A"]).await;
        let deliveries = lab.deliveries("A").await;
        assert_eq!(deliveries.len(), 40);
        assert!(deliveries.iter().all(|it| it.status == Status::Delivered), "{status}");
    }
}

#[tokio::test]
async fn final_refusals_pause_before_everything_has_failed() {
    let (lab, _, _) = answered(400).await;
    events(&lab, 100).await;
    lab.deliver(&["A"]).await;
    pass(&lab, 35).await;
    let found = lab.found("A").await;
    assert_eq!((found.state, found.reason.as_deref()), (State::Paused, Some("http_400")));
    let (failed, waiting) = (lab.rows("A", "f#").await.len(), lab.rows("A", "q#").await.len());
    assert_eq!((failed + waiting, lab.messages(QueueName::Events).len()), (100, 1));
    assert!((10..=10 + 16 + 12).contains(&failed), "{failed}");
}

#[tokio::test]
async fn a_deployment_that_refuses_for_a_moment_pauses_nothing() {
    for status in [403, 404, 405] {
        let (lab, _, answer) = answered(status).await;
        events(&lab, 50).await;
        lab.deliver(&["A"]).await;
        pass(&lab, 3).await;
        answer.store(200, Relaxed);
        pass(&lab, 8).await;
        let deliveries = lab.deliveries("A").await;
        assert_eq!((lab.found("A").await.state, deliveries.len()), (State::Active, 50));
        assert!(deliveries.iter().all(|it| it.status == Status::Delivered), "{status}");
        assert_eq!(lab.messages(QueueName::Events).len(), 0);
    }
}

#[tokio::test]
async fn a_run_of_refused_events_holds_up_the_others_for_a_moment() {
    let sink = Sink::start(|request, _| {
        Reply::Status(if request.id().starts_with("poison") { 403 } else { 200 }, "")
    })
    .await;
    let lab = Lab::new(&[&sink]);
    lab.destination("A", &sink, |it| {
        it.concurrency = 1;
        it.retry_delays = RETRY_DELAYS.to_vec();
    })
    .await;
    for number in 0..14 {
        lab.event(&format!("poison-{number}"), None, None, &["A"]).await;
    }
    events(&lab, 30).await;
    lab.deliver(&["A"]).await;
    pass(&lab, 20).await;
    assert_eq!(lab.found("A").await.state, State::Active);
    assert_eq!(lab.rows("A", "d#").await.len(), 30);
}

#[tokio::test]
async fn the_final_statuses_are_those_of_the_destination() {
    for (status, finals, tries) in
        [(404, vec![404], 1), (400, vec![404], 3), (503, vec![503], 1), (410, vec![], 3)]
    {
        let (lab, sink, _) = answered(status).await;
        lab.change("A", |it| (it.final_statuses, it.retry_delays) = (finals.clone(), vec![0, 0])).await;
        events(&lab, 1).await;
        lab.deliver(&["A"]).await;
        assert_eq!((sink.seen().len(), lab.found("A").await.state), (tries, State::Active), "{status}");
        assert_eq!(lab.deliveries("A").await[0].status, Status::Failed, "{status}");
    }
}

/// A destination that takes one call in a second, and says so with these headers.
async fn throttled(headers: &'static str, calls: usize) -> (Lab, Sink) {
    let left = AtomicUsize::new(calls);
    let sink = Sink::start(move |_, _| {
        let is_throttled = left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
        if is_throttled { Reply::Status(429, headers) } else { Reply::Status(200, "") }
    })
    .await;
    let lab = Lab::new(&[&sink]);
    (lab, sink)
}

#[tokio::test]
async fn a_lane_rests_when_it_is_asked_to_and_no_try_is_used_up() {
    for headers in ["retry-after: 1\r\n", "retry-after: 0\r\n", ""] {
        let (lab, sink) = throttled(headers, 40).await;
        lab.destination("A", &sink, |it| (it.retry_delays, it.concurrency) = (vec![60, 60], 4)).await;
        events(&lab, 10).await;
        lab.deliver(&["A"]).await;
        // Those that were on their way, and one a rest.
        for _ in 0..40 {
            let before = sink.seen().len();
            if lab.rows("A", "d#").await.is_empty() {
                assert!(before <= 4 + 40, "{before}");
            }
            lab.pass(301);
            lab.deliver(&["A"]).await;
        }
        let deliveries = lab.deliveries("A").await;
        assert_eq!(deliveries.len(), 10, "{headers:?}");
        assert!(deliveries.iter().all(|it| it.status == Status::Delivered), "{headers:?}");
        assert!(deliveries.iter().any(|it| it.attempts.len() > 4), "{headers:?}");
        assert_eq!(sink.seen().len(), 40 + 10);
        assert_eq!(lab.found("A").await.state, State::Active);
    }
}

#[tokio::test]
async fn a_rest_is_as_long_as_was_asked_for_and_holds_up_the_lane() {
    let (lab, sink) = throttled("retry-after: 60\r\n", 3).await;
    lab.destination("A", &sink, |it| it.retry_delays = vec![5]).await;
    events(&lab, 3).await;
    lab.deliver(&["A"]).await;
    lab.event("later", None, None, &["A"]).await;
    lab.pass(58);
    lab.deliver(&["A"]).await;
    assert_eq!(sink.seen().len(), 3);
    lab.pass(10);
    lab.deliver(&["A"]).await;
    assert_eq!(lab.rows("A", "d#").await.len(), 4);
}

#[tokio::test]
async fn a_destination_that_asks_for_time_for_ever_is_given_up() {
    let (lab, sink) = throttled("", usize::MAX).await;
    lab.destination("A", &sink, |it| it.retry_delays = vec![5]).await;
    events(&lab, 1).await;
    lab.deliver(&["A"]).await;
    for _ in 0..27 {
        lab.pass(3_600);
        lab.deliver(&["A"]).await;
        assert_eq!(lab.deliveries("A").await[0].status, Status::Pending);
    }
    lab.pass(3_600);
    lab.deliver(&["A"]).await;
    let delivery = lab.deliveries("A").await.remove(0);
    assert_eq!((delivery.status, delivery.reason.as_deref()), (Status::Failed, Some("http_429")));
}

#[tokio::test]
async fn a_short_retry_after_uses_up_no_schedule() {
    for headers in
        ["retry-after: 1\r\n", "retry-after: 0\r\n", "retry-after: Wed, 01 Jan 2025 01:00:00 GMT\r\n"]
    {
        let sink = Sink::start(move |_, _| Reply::Status(503, headers)).await;
        let lab = Lab::new(&[&sink]);
        lab.destination("A", &sink, |it| it.retry_delays = RETRY_DELAYS.to_vec()).await;
        events(&lab, 1).await;
        lab.deliver(&["A"]).await;
        pass(&lab, 20).await;
        assert_eq!(sink.seen().len(), 2, "{headers}");
        assert_eq!(lab.deliveries("A").await[0].status, Status::Pending);
    }
}
