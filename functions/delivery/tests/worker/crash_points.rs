//! The process dies between any two items that a worker writes.

use std::time::Duration;

use destinations::destination::Ordering;
use futures::{StreamExt, stream};
use tokio::time::sleep;

use super::{
    fault_plan::FaultyStore,
    fixture::Fixture,
    sink::{Reply, Sink},
    storage_faults::worker,
};

/// So many labs are at work at once.
const MAX_CONCURRENT: usize = 64;
/// So long after the next worker began comes what came late, in milliseconds: before what is tried again is due.
const LATE_DELAY_MS: u64 = 300;
/// The users with events, and how many of the events existed before the first worker.
const USERS: [(&str, usize); 3] = [("a", 2), ("b", 3), ("c", 4)];
/// How many events each has in the end.
const EVENTS: usize = 5;

/// Every third event fails once, and is tried again after about a second. No breaker opens.
fn plan(id: &str, before: usize) -> Reply {
    let number: usize = id.rsplit('-').next().unwrap().parse().unwrap();
    Reply::Status(if number % 3 == 1 && before == 0 { 503 } else { 200 }, "")
}

/// The events that the filter refuses, if the lane evaluates it: one of each user.
fn is_refused(id: &str, is_undecided: bool) -> bool {
    is_undecided && id.ends_with("-2")
}

/// Delivers events of some users by a worker that dies after so many writes, and by the next one; gives whether the
/// first one died. Where they are undecided, the worker evaluates the filter.
async fn check(writes: usize, is_backward: bool, is_undecided: bool) -> bool {
    let sink = Sink::start(|request, before| plan(request.id(), before)).await;
    let fixture = Fixture::new(&[&sink]);
    fixture.filter_pending.set(is_undecided);
    fixture
        .destination("A", &sink, |it| {
            it.filter = Some("$contains(messageId, '-2') = false".to_owned());
            it.ordering = Ordering::User;
            it.retry_delays = vec![1; 7];
        })
        .await;
    let events = |is_late: bool| {
        let of = move |number| USERS.into_iter().filter(move |(_, early)| (number >= *early) == is_late);
        (0..EVENTS)
            .flat_map(move |number| of(number).map(move |(user, _)| (format!("{user}-{number}"), user)))
    };
    for (id, user) in events(false) {
        fixture.event(&id, Some(user), None, &["A"]).await;
    }
    let store = FaultyStore::crashing_after(&fixture.store, writes, is_backward);
    let crashing = worker(&fixture, store.clone(), "test");
    let has_crashed = tokio::select! {
        biased;
        () = store.crashed() => true,
        () = fixture.deliver_with(&crashing, &["A"]) => false,
    };
    drop(crashing);
    let late = async {
        sleep(Duration::from_millis(LATE_DELAY_MS)).await;
        for (id, user) in events(true) {
            fixture.event(&id, Some(user), None, &["A"]).await;
        }
    };
    futures::join!(fixture.deliver(&["A"]), late);
    while !fixture.rows("A", "q#").await.is_empty() {
        sleep(Duration::from_millis(20)).await;
        fixture.deliver(&["A"]).await;
    }
    check_result(&fixture, &sink, writes, is_undecided).await;
    has_crashed
}

async fn check_result(fixture: &Fixture, sink: &Sink, writes: usize, is_undecided: bool) {
    let calls = sink.ids();
    let mut accepted: Vec<&str> = Vec::new();
    for (at, id) in calls.iter().enumerate() {
        let before = calls[..at].iter().filter(|other| *other == id).count();
        if plan(id, before) == Reply::Status(200, "") && !accepted.contains(&id.as_str()) {
            accepted.push(id);
        }
    }
    let mut refused = 0;
    for (user, _) in USERS {
        let all = (0..EVENTS).map(|number| format!("{user}-{number}"));
        let (filtered, events): (Vec<_>, Vec<_>) = all.partition(|id| is_refused(id, is_undecided));
        let found: Vec<&str> = accepted.iter().copied().filter(|id| id.starts_with(user)).collect();
        assert_eq!(found, events, "after {writes} writes: {calls:?}");
        for id in events {
            assert_eq!(fixture.says(&id, "A").await, Some(true), "after {writes} writes: {id}");
        }
        for id in filtered {
            assert_eq!(fixture.says(&id, "A").await, None, "after {writes} writes: {id}");
            refused += 1;
        }
    }
    let rows = [fixture.rows("A", "p#").await, fixture.rows("A", "f#").await].concat();
    let delivered = fixture.rows("A", "d#").await.len();
    assert_eq!((rows, delivered), (vec![], USERS.len() * EVENTS - refused), "after {writes} writes");
}

async fn crash_everywhere(is_backward: bool, is_undecided: bool) {
    let crashes = stream::iter(0..).map(|writes| check(writes, is_backward, is_undecided));
    let mut crashes = crashes.buffered(MAX_CONCURRENT);
    let mut count = 0;
    while crashes.next().await == Some(true) {
        count += 1;
    }
    assert!(count > 40, "{count} writes");
}

#[tokio::test]
async fn events_arrive_in_order_wherever_a_worker_dies() {
    for is_backward in [false, true] {
        crash_everywhere(is_backward, false).await;
    }
}

#[tokio::test]
async fn refused_events_are_gone_wherever_a_worker_dies() {
    crash_everywhere(true, true).await;
}
