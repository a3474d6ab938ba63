//! Order by user, through failures.

use std::collections::HashMap;

use delivery::{
    model::{self, Delivery, Queued, Status},
    worker::{DeliveryWorker, WorkerContext},
};
use destinations::destination::{Ordering, State};
use jiff::{SignedDuration, Timestamp};
use kernel::store::{Item, Store};

use super::{
    fixture::Fixture,
    recovery::{crashed, delivery_of},
    sink::{Reply, Sink},
};

/// The last time that each event came, by user, in order.
fn by_user(ids: &[String]) -> HashMap<String, Vec<String>> {
    let mut users = HashMap::<String, Vec<String>>::new();
    for (place, id) in ids.iter().enumerate() {
        if !ids[place + 1..].contains(id) {
            let user = id.split('-').next().unwrap();
            users.entry(user.to_owned()).or_default().push(id.clone());
        }
    }
    users
}

#[track_caller]
fn check_sorted(ids: &[String]) {
    for (user, ids) in by_user(ids) {
        assert!(ids.is_sorted(), "{user}: {ids:?}");
    }
}

#[tokio::test]
async fn a_users_events_arrive_in_order_whatever_fails() {
    // Every seventh call fails, whosever it is.
    let calls = std::sync::atomic::AtomicU32::new(0);
    let sink = Sink::start(move |_, _| {
        let call = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Reply::Status(if call % 7 == 3 { 500 } else { 200 }, "")
    })
    .await;
    let fixture = Fixture::new(&[&sink]);
    fixture
        .destination("A", &sink, |it| {
            it.ordering = Ordering::User;
            it.retry_delays = vec![0; 50];
        })
        .await;
    for number in 0..300 {
        let user = format!("u{}", number % 11);
        fixture.event(&format!("{user}-{number:04}"), Some(&user), None, &["A"]).await;
    }
    fixture.deliver(&["A"]).await;
    check_sorted(&sink.ids());
    assert_eq!((by_user(&sink.ids()).len(), fixture.deliveries("A").await.len()), (11, 300));
    assert_eq!(fixture.rows("A", "q#").await.len(), 0);
}

#[tokio::test]
async fn a_stuck_event_holds_up_its_user_for_a_while() {
    let sink =
        Sink::start(|request, _| Reply::Status(if request.id() == "a-1" { 500 } else { 200 }, "")).await;
    let fixture = Fixture::new(&[&sink]);
    fixture
        .destination("A", &sink, |it| {
            it.ordering = Ordering::User;
            it.retry_delays = vec![60; 9];
            it.hold_seconds = 150;
        })
        .await;
    for id in ["a-1", "a-2", "b-1", "a-3"] {
        fixture.event(id, Some(&id[..1]), None, &["A"]).await;
    }
    fixture.deliver(&["A"]).await;
    let mut ids = sink.ids();
    ids.sort();
    assert_eq!(ids, ["a-1", "b-1"]);
    // Another worker finds it as the first one left it; what comes later waits too.
    fixture.advance(70);
    fixture.event("a-4", Some("a"), None, &["A"]).await;
    let other = DeliveryWorker::new(fixture.context.clone());
    fixture.deliver_with(&other, &["A"]).await;
    assert_eq!(sink.ids()[2..], ["a-1"]);
    // After 150 seconds the later ones go.
    fixture.advance(100);
    fixture.deliver(&["A"]).await;
    let later: Vec<String> =
        sink.ids().into_iter().filter(|id| id.starts_with("a-") && id != "a-1").collect();
    assert_eq!(later, ["a-2", "a-3", "a-4"]);
}

/// An event fails so often, the destination is paused for longer than an event may hold up others, and it fails once
/// more.
async fn check_paused(before: usize) {
    let sink = Sink::start(move |request, calls| {
        Reply::Status(if request.id() == "a-1" && calls <= before { 503 } else { 200 }, "")
    })
    .await;
    let fixture = Fixture::new(&[&sink]);
    fixture
        .destination("A", &sink, |it| {
            it.ordering = Ordering::User;
            it.retry_delays = vec![600; 4];
            it.hold_seconds = 3_600;
        })
        .await;
    fixture.event("a-1", Some("a"), None, &["A"]).await;
    for _ in 0..before {
        fixture.deliver(&["A"]).await;
        fixture.advance(700);
    }
    let change = async |state| {
        let now = fixture.now();
        fixture.change("A", |it| (it.state, it.updated_at) = (state, now)).await;
    };
    change(State::Paused).await;
    fixture.advance(4_000);
    change(State::Active).await;
    fixture.event("a-2", Some("a"), None, &["A"]).await;
    fixture.deliver(&["A"]).await;
    assert_eq!(sink.ids(), vec!["a-1"; before + 1]);
    fixture.advance(700);
    fixture.deliver(&["A"]).await;
    assert_eq!(sink.ids()[before + 1..], ["a-1", "a-2"]);
}

#[tokio::test]
async fn pause_time_does_not_count_as_holding_up_others() {
    check_paused(1).await;
    check_paused(2).await;
}

/// Rows are due by the millisecond, and other times are kept to the nanosecond.
#[tokio::test]
async fn a_blocked_event_is_sent_when_its_limit_ends() {
    fn time(micros: i64) -> Timestamp {
        Timestamp::from_microsecond(1_900_000_000_000_000 + micros).unwrap()
    }
    let sink = Sink::start(|_, _| Reply::Status(200, "")).await;
    let fixture = Fixture::new(&[&sink]);
    fixture.destination("A", &sink, |it| (it.ordering, it.hold_seconds) = (Ordering::User, 1)).await;
    for id in ["a-1", "a-2"] {
        fixture.event(id, Some("a"), None, &["A"]).await;
    }
    let row = fixture.rows("A", "q#").await.remove(0);
    let sequence = model::queued_parts(&row.sort).unwrap().1.to_owned();
    let (lane, next) = (fixture.lane("A"), time(600_000_000));
    let waits = Delivery {
        user: Some("a".to_owned()),
        blocking_since: Some(time(456) - SignedDuration::from_secs(1)),
        ..delivery_of(Status::Pending, Some(next))
    };
    fixture.store.delete(model::TABLE, &lane, &row.sort).await.unwrap();
    let sort = model::queued_sort(next, &sequence);
    fixture.put(model::TABLE, Item { sort, ..row }).await;
    let sort = Status::Pending.sort(&sequence);
    fixture.put(model::TABLE, model::item(&lane, sort, 1, &waits).unwrap()).await;
    let worker = DeliveryWorker::new(WorkerContext { now: || time(100), ..fixture.context.clone() });
    fixture.deliver_with(&worker, &["A"]).await;
    assert_eq!(sink.ids(), ["a-2"]);
}

/// Goes on with some work, which does not end meanwhile, until something is so.
async fn work_until(work: &mut (impl Future<Output = ()> + Unpin), is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::select! {
            () = &mut *work => panic!("it ended before"),
            () = tokio::time::sleep(std::time::Duration::from_millis(5)) => {}
        }
    }
}

/// Requests may be queued in another order than they arrived.
#[tokio::test]
async fn what_comes_late_into_the_lane_is_not_overtaken() {
    let sink =
        Sink::start(|request, _| if request.id() == "b-1" { Reply::Held } else { Reply::Status(200, "") })
            .await;
    let fixture = Fixture::new(&[&sink]);
    fixture.destination("A", &sink, |it| it.ordering = Ordering::User).await;
    fixture.advance(10);
    fixture.event("b-1", Some("b"), None, &["A"]).await;
    let mut work = Box::pin(fixture.deliver(&["A"]));
    work_until(&mut work, || sink.ids().len() == 1).await;
    fixture.advance(-5);
    fixture.event("a-1", Some("a"), None, &["A"]).await;
    fixture.advance(5);
    fixture.event("a-2", Some("a"), None, &["A"]).await;
    work_until(&mut work, || sink.ids().len() == 3).await;
    sink.release();
    work.await;
    assert_eq!(sink.ids(), ["b-1", "a-1", "a-2"]);
}

/// The worker that deferred the event died before it deleted the old row.
#[tokio::test]
async fn a_blocked_event_with_two_rows_is_not_overtaken() {
    let sink =
        Sink::start(|request, _| if request.id() == "b-1" { Reply::Held } else { Reply::Status(200, "") })
            .await;
    let fixture = Fixture::new(&[&sink]);
    fixture.destination("A", &sink, |it| it.ordering = Ordering::User).await;
    fixture.event("a-1", Some("a"), None, &["A"]).await;
    let row = fixture.rows("A", "q#").await.remove(0);
    let (due, sequence) = model::queued_parts(&row.sort).unwrap();
    let next = due + SignedDuration::from_secs(600);
    let queued = Queued { tries: 1, blocking_since: Some(due), ..delivery::model::body(&row).unwrap() };
    let mut waits = delivery_of(Status::Pending, Some(next));
    waits.attempts[0].at = due;
    (waits.message_id, waits.user) = ("a-1".to_owned(), Some("a".to_owned()));
    let lane = fixture.lane("A");
    for item in [
        model::item(&lane, model::queued_sort(next, sequence), 1, &queued).unwrap(),
        model::item(&lane, Status::Pending.sort(sequence), 1, &waits).unwrap(),
        crashed(&fixture),
    ] {
        fixture.put(model::TABLE, item).await;
    }
    fixture.event("b-1", Some("b"), None, &["A"]).await;
    let mut work = Box::pin(fixture.deliver(&["A"]));
    work_until(&mut work, || sink.ids().len() == 1).await;
    fixture.event("a-2", Some("a"), None, &["A"]).await;
    fixture.event("c-1", Some("c"), None, &["A"]).await;
    work_until(&mut work, || sink.ids().contains(&"c-1".to_owned())).await;
    sink.release();
    work.await;
    assert_eq!(sink.ids(), ["b-1", "c-1"]);
    fixture.advance(601);
    fixture.deliver(&["A"]).await;
    assert_eq!(sink.ids(), ["b-1", "c-1", "a-1", "a-2"]);
}

/// The worker that deferred the events died before it deleted the old rows.
#[tokio::test]
async fn a_users_events_with_two_rows_are_sent_once() {
    let sink = Sink::start(|_, _| Reply::Status(200, "")).await;
    let fixture = Fixture::new(&[&sink]);
    fixture.destination("A", &sink, |it| it.ordering = Ordering::User).await;
    for number in 0..300 {
        fixture.event(&format!("a-{number:04}"), Some("a"), None, &["A"]).await;
    }
    for row in fixture.rows("A", "q#").await {
        let (due, sequence) = model::queued_parts(&row.sort).unwrap();
        let later = due + SignedDuration::from_millis(1);
        let sort = model::queued_sort(later, sequence);
        fixture.put(model::TABLE, kernel::store::Item { sort, ..row }).await;
    }
    fixture.advance(1);
    fixture.deliver(&["A"]).await;
    check_sorted(&sink.ids());
    assert_eq!((sink.ids().len(), fixture.rows("A", "q#").await.len()), (300, 0));
}

#[tokio::test]
async fn however_many_one_user_has_the_next_one_is_served() {
    let sink =
        Sink::start(|request, _| if request.id() == "a-0000" { Reply::Hang } else { Reply::Status(200, "") })
            .await;
    let fixture = Fixture::new(&[&sink]);
    fixture.destination("A", &sink, |it| it.ordering = Ordering::User).await;
    for number in 0..2_000 {
        fixture.event(&format!("a-{number:04}"), Some("a"), None, &["A"]).await;
    }
    fixture.event("b-1", Some("b"), None, &["A"]).await;
    let mut work = std::pin::pin!(fixture.deliver(&["A"]));
    work_until(&mut work, || sink.ids().contains(&"b-1".to_owned())).await;
    assert_eq!(sink.ids(), ["a-0000", "b-1"]);
}
