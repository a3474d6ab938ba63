//! An outage that has ended: what waits for another try does not wait for its schedule.

use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering::Relaxed},
};

use delivery::model::Status;
use destinations::destination::{Destination, Ordering, RETRY_DELAYS, State};

use super::{
    fixture::Fixture,
    sink::{Reply, Sink},
};

/// A fixture with a destination that is out of order.
async fn failing(change: impl FnOnce(&mut Destination)) -> (Fixture, Sink, Arc<AtomicU16>) {
    let answer = Arc::new(AtomicU16::new(503));
    let says = Arc::clone(&answer);
    let sink = Sink::start(move |request, _| {
        Reply::Status(if request.id().starts_with("bad") { 503 } else { says.load(Relaxed) }, "")
    })
    .await;
    let fixture = Fixture::new(&[&sink]);
    fixture
        .destination("A", &sink, |it| {
            it.retry_delays = RETRY_DELAYS.to_vec();
            change(it);
        })
        .await;
    (fixture, sink, answer)
}

/// The tries that each delivery in the queue has used up.
async fn tries(fixture: &Fixture) -> Vec<u32> {
    let rows = fixture.rows("A", "q#").await;
    rows.iter()
        .map(|row| {
            let queued: delivery::model::Queued = delivery::model::body(row).unwrap();
            queued.tries
        })
        .collect()
}

#[tokio::test]
async fn one_success_brings_forward_what_waits() {
    let (fixture, sink, answer) = failing(|_| {}).await;
    for number in 0..6 {
        fixture.event(&format!("m{number}"), None, None, &["A"]).await;
    }
    fixture.deliver(&["A"]).await;
    fixture.advance(6);
    // They fail once more, and wait for five minutes.
    fixture.deliver(&["A"]).await;
    assert_eq!(tries(&fixture).await, [2; 6]);
    answer.store(200, Relaxed);
    fixture.advance(61);
    fixture.deliver(&["A"]).await;
    let before = sink.requests().len();
    assert!(fixture.rows("A", "d#").await.is_empty(), "nothing shows that it works");
    fixture.event("new", None, None, &["A"]).await;
    fixture.deliver(&["A"]).await;
    assert_eq!((fixture.rows("A", "d#").await.len(), sink.requests().len()), (7, before + 7));
    assert!(fixture.rows("A", "q#").await.is_empty() && fixture.rows("A", "p#").await.is_empty());
    for delivery in fixture.deliveries("A").await.iter().take(6) {
        assert_eq!((delivery.status, delivery.attempts.len()), (Status::Delivered, 3));
    }
}

#[tokio::test]
async fn a_probe_that_goes_well_brings_forward_what_waits() {
    let (fixture, _, answer) = failing(|_| {}).await;
    for number in 0..300 {
        fixture.event(&format!("m{number:03}"), None, None, &["A"]).await;
    }
    for _ in 0..30 {
        fixture.deliver(&["A"]).await;
        fixture.advance(61);
    }
    assert!(fixture.rows("A", "p#").await.len() > 10);
    answer.store(200, Relaxed);
    fixture.deliver(&["A"]).await;
    assert_eq!(fixture.rows("A", "d#").await.len(), 300);
    assert!(fixture.rows("A", "q#").await.is_empty());
}

#[tokio::test]
async fn an_early_failure_keeps_attempts_and_due_time() {
    let (fixture, sink, answer) = failing(|_| {}).await;
    for id in ["bad-1", "m1", "bad-2"] {
        fixture.event(id, None, None, &["A"]).await;
    }
    fixture.deliver(&["A"]).await;
    fixture.advance(6);
    fixture.deliver(&["A"]).await;
    let due = |rows: Vec<kernel::store::Item>| rows.into_iter().map(|row| row.sort).collect::<Vec<_>>();
    let waiting: Vec<String> =
        due(fixture.rows("A", "q#").await).into_iter().filter(|sort| !sort.ends_with("00001")).collect();
    answer.store(200, Relaxed);
    for number in 0..5 {
        fixture.advance(6);
        fixture.event(&format!("new-{number}"), None, None, &["A"]).await;
        fixture.deliver(&["A"]).await;
        // Each was called once before its time.
        let calls = |id: &str| sink.ids().iter().filter(|other| *other == id).count();
        assert_eq!((calls("bad-1"), calls("bad-2"), calls("m1")), (3, 3, 3));
        assert_eq!(
            (due(fixture.rows("A", "q#").await), tries(&fixture).await),
            (waiting.clone(), vec![2, 2])
        );
    }
    let bad = fixture.deliveries("A").await.remove(0);
    assert_eq!((bad.status, bad.attempts.len()), (Status::Pending, 3));
}

#[tokio::test]
async fn what_is_brought_forward_keeps_its_order() {
    let (fixture, sink, answer) =
        failing(|it| (it.ordering, it.hold_seconds) = (Ordering::User, 86_400)).await;
    for number in 0..4 {
        for user in ["a", "b", "c"] {
            fixture.event(&format!("{user}-{number}"), Some(user), None, &["A"]).await;
        }
    }
    for _ in 0..2 {
        fixture.deliver(&["A"]).await;
        fixture.advance(6);
    }
    fixture.deliver(&["A"]).await;
    let before = sink.requests().len();
    answer.store(200, Relaxed);
    fixture.advance(30);
    for (id, user) in [("a-9", "a"), ("d-0", "d")] {
        fixture.event(id, Some(user), None, &["A"]).await;
    }
    fixture.deliver(&["A"]).await;
    let mut calls = sink.ids().split_off(before);
    for user in ["a", "b", "c"] {
        let of_user: Vec<&String> = calls.iter().filter(|id| id.starts_with(user)).collect();
        assert!(of_user.is_sorted(), "{calls:?}");
    }
    calls.sort();
    assert_eq!(calls.len(), 14, "{calls:?}");
    assert_eq!(fixture.rows("A", "d#").await.len(), 14);
    assert!(fixture.rows("A", "q#").await.is_empty());
}

#[tokio::test]
async fn what_waits_goes_too_after_somebody_has_seen_to_it() {
    let (fixture, _, answer) = failing(|_| {}).await;
    fixture.event("m1", None, None, &["A"]).await;
    fixture.deliver(&["A"]).await;
    fixture.advance(6);
    fixture.deliver(&["A"]).await;
    fixture.change("A", |it| it.state = State::Active).await;
    answer.store(200, Relaxed);
    fixture.advance(6);
    fixture.event("m2", None, None, &["A"]).await;
    fixture.deliver(&["A"]).await;
    assert_eq!(fixture.rows("A", "d#").await.len(), 2);
}
