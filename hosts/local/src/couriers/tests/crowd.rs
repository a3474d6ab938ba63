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
    faulty::{Asked, Fault, Faulty},
    lab::Lab,
    sink::{Reply, Sink},
    trouble::{courier, times},
};

/// How many come at once.
const CROWD: usize = 50;

/// A crowd comes to lane A, and all have looked before the first one writes; gives how often one of them wrote to it.
async fn come(lab: &Lab) -> usize {
    let writes = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&writes);
    let store = Faulty::new(&lab.store, move |asked, table| {
        let is_write = asked == Asked::Put && table == Table::Deliveries;
        counts.fetch_add(usize::from(is_write), Relaxed);
        is_write.then_some(Fault::Slow)
    });
    let crowd: Vec<_> =
        (0..CROWD).map(|one| courier(lab, store.clone(), &format!("process {one}"))).collect();
    join_all(crowd.iter().map(|one| lab.deliver_by(one, &["A"]))).await;
    writes.load(Relaxed)
}

/// Lane A with an event, whose holder is dead, and of which this is known too.
async fn lab(sink: &Sink, known: &str) -> Lab {
    let lab = Lab::new(&[sink]);
    lab.destination("A", sink, |_| {}).await;
    lab.event("m1", None, None, &["A"]).await;
    let expires = (lab.tools.now)() + SignedDuration::from_secs(60);
    let lane = lab.left(&format!(r#"{{"holder":"dead","expiresAt":"{expires}"{known}}}"#));
    lab.put(model::TABLE, lane).await;
    lab
}

#[track_caller]
fn check_one_message(lab: &Lab) {
    let messages = lab.messages(QueueName::Lanes);
    assert!(messages.len() == 1 && (55..=61).contains(&messages[0].0), "{messages:?}");
}

/// A crowd comes there, and once more when the lease is over.
async fn check(known: &str) {
    let sink = Sink::start(|_, _| Reply::Status(200, "")).await;
    let lab = lab(&sink, known).await;
    let writes = come(&lab).await;
    check_one_message(&lab);
    assert!(writes <= CROWD + 1, "{known}: {writes} writes");
    lab.pass(61);
    let writes = come(&lab).await;
    assert_eq!((sink.ids(), lab.rows("A", "q#").await.len()), (vec!["m1".to_owned()], 0), "{known}");
    let messages = lab.messages(QueueName::Lanes);
    assert!(messages.len() <= 3, "{known}: {messages:?}");
    assert!(writes <= 3 * CROWD, "{known}: {writes} writes");
}

#[tokio::test]
async fn of_many_who_come_to_a_lane_each_writes_little_and_one_sends_a_message() {
    check("").await;
    // Who rang died before the message was sent.
    check(r#","rung":true"#).await;
    check(r#","rung":true,"wakeAt":"2026-01-01T00:00:00Z""#).await;
}

#[tokio::test]
async fn who_takes_its_own_ring_for_another_s_sends_the_message_all_the_same() {
    let sink = Sink::start(|_, _| Reply::Status(200, "")).await;
    let lab = lab(&sink, "").await;
    let store = Faulty::new(&lab.store, times(Asked::Put, Table::Deliveries, 0, 1, Fault::Conflict));
    lab.deliver_by(&courier(&lab, store, "other"), &["A"]).await;
    check_one_message(&lab);
}

#[tokio::test]
async fn who_comes_when_another_has_rung_already_is_heard_too() {
    let sink = Sink::start(|_, _| Reply::Status(200, "")).await;
    let lab = Lab::new(&[&sink]);
    lab.destination("A", &sink, |_| {}).await;
    lab.event("m1", None, None, &["A"]).await;
    let writes = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&writes);
    let store = Faulty::new(&lab.store, move |asked, table| {
        let is_write = asked == Asked::Put && table == Table::Deliveries;
        // What comes after the lease was taken is slow.
        (is_write && counts.fetch_add(1, Relaxed) > 0).then_some(Fault::Slow)
    });
    let slow = courier(&lab, store, "slow");
    let [first, second] = ["first", "second"].map(|name| courier(&lab, lab.store.clone(), name));
    let mut work = pin!(lab.deliver_by(&slow, &["A"]));
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
    lab.deliver_by(&first, &["A"]).await;
    until(3).await;
    lab.event("m2", None, None, &["A"]).await;
    lab.deliver_by(&second, &["A"]).await;
    work.await;
    assert_eq!(sink.ids(), ["m1", "m2"]);
}
