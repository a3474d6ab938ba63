//! Many processes that come to one lane at once, as on AWS: one of them works on it, and of the others each does little.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use delivery::model;
use futures::future::join_all;
use jiff::SignedDuration;
use kernel::{queue::QueueName, store::Table};

use super::{
    fault_plan::{Fault, FaultyStore, Operation},
    fixture::Fixture,
    sink::{Reply, Sink},
    storage_faults::{fail_times, worker},
};

/// How many come at once.
const WORKERS: usize = 50;

/// A crowd comes to lane A, and all have looked before the first one writes; gives how often one of them wrote to it.
async fn start_all(fixture: &Fixture) -> usize {
    let writes = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&writes);
    let store = FaultyStore::new(&fixture.store, move |operation, table| {
        let is_write = operation == Operation::Put && table == Table::Deliveries;
        counter.fetch_add(usize::from(is_write), Relaxed);
        is_write.then_some(Fault::Slow)
    });
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker_number| worker(fixture, store.clone(), &format!("process {worker_number}")))
        .collect();
    join_all(workers.iter().map(|worker| fixture.deliver_with(worker, &["A"]))).await;
    writes.load(Relaxed)
}

/// Lane A with an event, whose holder is dead, and of which this is known too.
async fn fixture(sink: &Sink, stored: &str) -> Fixture {
    let fixture = Fixture::new(&[sink]);
    fixture.destination("A", sink, |_| {}).await;
    fixture.event("m1", None, None, &["A"]).await;
    let expires = (fixture.context.now)() + SignedDuration::from_secs(60);
    let lane = fixture.lane_item(&format!(r#"{{"holder":"dead","expiresAt":"{expires}"{stored}}}"#));
    fixture.put(model::TABLE, lane).await;
    fixture
}

#[track_caller]
fn check_one_message(fixture: &Fixture) {
    let messages = fixture.messages(QueueName::Lanes);
    assert!(messages.len() == 1 && (55..=61).contains(&messages[0].0), "{messages:?}");
}

/// A crowd comes there, and once more when the lease is over.
async fn check(stored: &str) {
    let sink = Sink::start(|_, _| Reply::Status(200, "")).await;
    let fixture = fixture(&sink, stored).await;
    let writes = start_all(&fixture).await;
    check_one_message(&fixture);
    assert!(writes <= WORKERS + 1, "{stored}: {writes} writes");
    fixture.advance(61);
    let writes = start_all(&fixture).await;
    assert_eq!((sink.ids(), fixture.rows("A", "q#").await.len()), (vec!["m1".to_owned()], 0), "{stored}");
    let messages = fixture.messages(QueueName::Lanes);
    assert!(messages.len() <= 3, "{stored}: {messages:?}");
    assert!(writes <= 3 * WORKERS, "{stored}: {writes} writes");
}

#[tokio::test]
async fn many_workers_at_one_lane_send_one_message() {
    check("").await;
    // The worker that set the flag died before it sent the message.
    check(r#","rung":true"#).await;
    check(r#","rung":true,"wakeAt":"2026-01-01T00:00:00Z""#).await;
}

#[tokio::test]
async fn a_mistaken_own_flag_still_sends_a_wake_up() {
    let sink = Sink::start(|_, _| Reply::Status(200, "")).await;
    let fixture = fixture(&sink, "").await;
    let store = FaultyStore::new(
        &fixture.store,
        fail_times(Operation::Put, Table::Deliveries, 0, 1, Fault::Conflict),
    );
    fixture.deliver_with(&worker(&fixture, store, "other"), &["A"]).await;
    check_one_message(&fixture);
}

#[tokio::test]
async fn a_worker_after_a_set_flag_is_noticed_too() {
    let sink = Sink::start(|_, _| Reply::Status(200, "")).await;
    let fixture = Fixture::new(&[&sink]);
    fixture.destination("A", &sink, |_| {}).await;
    fixture.event("m1", None, None, &["A"]).await;
    let writes = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&writes);
    let store = FaultyStore::new(&fixture.store, move |operation, table| {
        let is_write = operation == Operation::Put && table == Table::Deliveries;
        // The writes after the lease are slow.
        (is_write && counter.fetch_add(1, Relaxed) > 0).then_some(Fault::Slow)
    });
    let slow = worker(&fixture, store, "slow");
    let [first, second] = ["first", "second"].map(|name| worker(&fixture, fixture.store.clone(), name));
    let mut work = pin!(fixture.deliver_with(&slow, &["A"]));
    let mut until = async |count: usize| {
        while writes.load(Relaxed) < count {
            tokio::select! {
                () = &mut work => panic!("it lets the lane go though somebody came by"),
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
        }
    };
    // It is about to let the lane go, has seen that one rang, and is about to write that.
    until(2).await;
    fixture.deliver_with(&first, &["A"]).await;
    until(3).await;
    fixture.event("m2", None, None, &["A"]).await;
    fixture.deliver_with(&second, &["A"]).await;
    work.await;
    assert_eq!(sink.ids(), ["m1", "m2"]);
}
