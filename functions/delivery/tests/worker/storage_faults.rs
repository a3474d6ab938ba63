//! Storage that fails while calls are on their way: what is known is written down, and no call is made twice for it.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use delivery::{
    model::Status,
    worker::{DeliveryWorker, WorkerContext},
};
use destinations::destination::Ordering;
use kernel::{Store, queue::QueueName, store::Table};
use sqlite_store::queues::LocalQueue;

use super::{
    fault_plan::{Fault, FaultyStore, Operation},
    fixture::Fixture,
    sink::{Reply, Sink},
};

pub(super) fn worker<S: Store>(fixture: &Fixture, store: S, holder: &str) -> DeliveryWorker<S, LocalQueue> {
    let WorkerContext { objects, queue, outbound, evaluator, now, random, max_hold, request_timeout, .. } =
        fixture.context.clone();
    let holder = holder.to_owned();
    DeliveryWorker::new(WorkerContext {
        store,
        objects,
        queue,
        outbound,
        evaluator,
        now,
        random,
        holder,
        max_hold,
        request_timeout,
    })
}

fn delays(fixture: &Fixture) -> Vec<i64> {
    fixture.messages(QueueName::Lanes).iter().map(|(delay, _)| *delay).collect()
}

/// Sends `m1`, which takes a second and a half, and `m2` through storage that fails so; gives the fixture after that, and
/// how many calls were made. `m2` fails for good.
async fn check(
    expected: &[Status],
    plan: impl Fn(Operation, Table) -> Option<Fault> + Send + Sync + 'static,
) -> Fixture {
    let sink = Sink::start(|request, _| match request.id() {
        "m1" => Reply::Late(Duration::from_millis(1_500)),
        _ => Reply::Status(422, ""),
    })
    .await;
    let fixture = Fixture::new(&[&sink]);
    fixture.destination("A", &sink, |_| {}).await;
    for id in ["m1", "m2"] {
        fixture.event(id, None, None, &["A"]).await;
    }
    fixture.deliver_with(&worker(&fixture, FaultyStore::new(&fixture.store, plan), "test"), &["A"]).await;
    let found: Vec<Status> = fixture.deliveries("A").await.iter().map(|it| it.status).collect();
    assert_eq!((found.as_slice(), sink.requests().len()), (expected, 2));
    // All is well afterwards, and nothing of it is lost, or made twice.
    fixture.deliver(&["A"]).await;
    let found: Vec<Status> = fixture.deliveries("A").await.iter().map(|it| it.status).collect();
    assert_eq!(found, [Status::Delivered, Status::Failed]);
    assert!(fixture.is_delivered("m1", "A").await);
    assert_eq!(
        (fixture.rows("A", "q#").await.len(), fixture.quarantine().await.len(), sink.requests().len()),
        (0, 1, 2)
    );
    fixture
}

/// Fails from the `first` time on, so many times.
pub(super) fn fail_times(
    operation: Operation,
    table: Table,
    first: usize,
    count: usize,
    fault: Fault,
) -> impl Fn(Operation, Table) -> Option<Fault> + Send + Sync {
    let seen = AtomicUsize::new(0);
    move |other, of| {
        let is_it = other == operation && of == table;
        let at = seen.fetch_add(usize::from(is_it), Relaxed);
        (is_it && (first..first + count).contains(&at)).then_some(fault)
    }
}

#[tokio::test]
async fn a_look_that_fails_costs_nothing() {
    let both = [Status::Delivered, Status::Failed];
    let fixture = check(&both, fail_times(Operation::Get, Table::Destinations, 1, 3, Fault::Throttled)).await;
    assert!(delays(&fixture).is_empty());
}

#[tokio::test]
async fn what_is_known_is_written_once_more() {
    let both = [Status::Delivered, Status::Failed];
    for (operation, table) in [
        (Operation::PutAll, Table::Deliveries),
        (Operation::Delete, Table::Deliveries),
        (Operation::PutAll, Table::Responses),
    ] {
        let fixture = check(&both, fail_times(operation, table, 0, 1, Fault::Throttled)).await;
        let delays = delays(&fixture);
        assert!(delays.len() == 1 && (5..=60).contains(&delays[0]), "{operation:?} {table:?} {delays:?}");
    }
}

/// An outage that a look at the lane meets, and what is being written at that time.
#[tokio::test]
async fn an_outage_costs_one_write() {
    let both = [Status::Delivered, Status::Failed];
    let first = fail_times(Operation::PutAll, Table::Deliveries, 0, 1, Fault::Slow);
    let writes = Arc::new(AtomicBool::new(false));
    let looks = fail_times(Operation::Read, Table::Deliveries, 0, 1, Fault::Throttled);
    let deletes = fail_times(Operation::Delete, Table::Deliveries, 0, 1, Fault::Throttled);
    check(&both, move |operation, table| {
        let slow = first(operation, table);
        writes.fetch_or(slow.is_some(), Relaxed);
        let look = if writes.load(Relaxed) { looks(operation, table) } else { None };
        slow.or(look).or(deletes(operation, table))
    })
    .await;
}

#[tokio::test]
async fn a_contended_response_blocks_nothing() {
    let both = [Status::Delivered, Status::Failed];
    check(&both, fail_times(Operation::PutAll, Table::Responses, 0, 45, Fault::Conflict)).await;
}

#[tokio::test]
async fn other_lanes_write_what_one_lane_could_not() {
    let sink = Sink::start(|_, _| Reply::Status(200, "")).await;
    let fixture = Fixture::new(&[&sink]);
    let names: Vec<String> = (0..20).map(|number| format!("D{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for name in &names {
        fixture.destination(name, &sink, |_| {}).await;
    }
    fixture.event("m1", None, None, &names).await;
    // The first writes for itself, and the second for all who waited meanwhile.
    let first = fail_times(Operation::PutAll, Table::Responses, 0, 1, Fault::Slow);
    let second = fail_times(Operation::PutAll, Table::Responses, 1, 1, Fault::Throttled);
    let plan = move |operation, table| first(operation, table).or(second(operation, table));
    fixture.deliver_with(&worker(&fixture, FaultyStore::new(&fixture.store, plan), "test"), &names).await;
    fixture.deliver(&names).await;
    for name in names {
        assert!(fixture.is_delivered("m1", name).await, "{name}");
    }
    assert_eq!(sink.requests().len(), 20);
}

#[tokio::test]
async fn a_quarantine_that_fails_costs_what_failed_alone() {
    let sink =
        Sink::start(|request, _| Reply::Status(if request.id() == "m2" { 422 } else { 200 }, "")).await;
    let fixture = Fixture::new(&[&sink]);
    fixture.destination("A", &sink, |_| {}).await;
    for id in ["m1", "m2", "m3"] {
        fixture.event(id, None, None, &["A"]).await;
    }
    let in_the_way = fixture.folder.path().join("quarantine");
    std::fs::write(&in_the_way, "").unwrap();
    fixture.deliver(&["A"]).await;
    assert_eq!(fixture.deliveries("A").await.len(), 2);
    assert!(fixture.is_delivered("m1", "A").await && fixture.is_delivered("m3", "A").await);
    assert_eq!(fixture.rows("A", "q#").await.len(), 1);
    std::fs::remove_file(&in_the_way).unwrap();
    fixture.deliver(&["A"]).await;
    assert_eq!((fixture.deliveries("A").await.len(), fixture.quarantine().await.len()), (3, 1));
    let mut ids = sink.ids();
    ids.sort();
    assert_eq!(ids, ["m1", "m2", "m2", "m3"]);
}

/// `m1` is answered late, when the lease of the worker that sent it is over and another worker has the lane, which
/// gets this answer at once.
async fn check_late(answer: u16, status: Status) {
    let sink =
        Sink::start(move |_, before| if before == 0 { Reply::Held } else { Reply::Status(answer, "") }).await;
    let fixture = Fixture::new(&[&sink]);
    fixture.destination("A", &sink, |it| it.ordering = Ordering::User).await;
    fixture.event("m1", Some("u"), None, &["A"]).await;
    let other = worker(&fixture, fixture.store.clone(), "other");
    let mut first = pin!(fixture.deliver(&["A"]));
    while sink.requests().is_empty() {
        tokio::select! {
            () = &mut first => panic!("it does not hang"),
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
    }
    fixture.advance(61);
    fixture.deliver_with(&other, &["A"]).await;
    sink.release();
    first.await;
    let found: Vec<(Status, usize)> =
        fixture.deliveries("A").await.iter().map(|it| (it.status, it.attempts.len())).collect();
    assert_eq!(found, [(status, 1)], "{answer}");
    assert_eq!(fixture.is_delivered("m1", "A").await, status == Status::Delivered, "{answer}");
    let failed = usize::from(status == Status::Failed);
    assert_eq!(
        (fixture.rows("A", "q#").await.len(), fixture.quarantine().await.len()),
        (0, failed),
        "{answer}"
    );
}

#[tokio::test]
async fn who_has_lost_the_lane_writes_nothing() {
    check_late(422, Status::Failed).await;
    check_late(200, Status::Delivered).await;
}

#[tokio::test]
async fn a_change_is_in_effect_with_the_next_event() {
    let before = Sink::start(|_, _| Reply::Status(200, "")).await;
    let after = Sink::start(|_, _| Reply::Status(200, "")).await;
    let fixture = Fixture::new(&[&before, &after]);
    fixture.destination("A", &before, |it| it.rate_limit = Some(2)).await;
    for number in 0..20 {
        fixture.event(&format!("m{number:02}"), None, None, &["A"]).await;
    }
    let mut work = pin!(fixture.deliver(&["A"]));
    while before.requests().len() < 2 {
        tokio::select! {
            () = &mut work => panic!("it takes ten seconds"),
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
    }
    fixture
        .change("A", |it| (it.url, it.rate_limit) = (format!("http://{}/in", after.address).into(), None))
        .await;
    fixture.deliver(&["A"]).await;
    work.await;
    assert_eq!((before.requests().len(), after.requests().len()), (2, 18));
}

#[tokio::test]
async fn large_events_wait_in_the_lane() {
    let sink = Sink::start(|_, _| Reply::Hang).await;
    let fixture = Fixture::new(&[&sink]);
    fixture.destination("A", &sink, |it| it.concurrency = 64).await;
    fixture.padding.set(60_000);
    for number in 0..250 {
        fixture.event(&format!("m{number}"), None, None, &["A"]).await;
    }
    let loaded = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&loaded);
    let store = FaultyStore::new(&fixture.store, move |operation, table| {
        let is_event = operation == Operation::Read && table == Table::Events;
        counts.fetch_add(usize::from(is_event), Relaxed);
        None
    });
    let worker = worker(&fixture, store, "test");
    let mut work = pin!(fixture.deliver_with(&worker, &["A"]));
    while sink.requests().len() < 64 {
        tokio::select! {
            () = &mut work => panic!("it does not hang"),
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
    }
    // As many as are called at once, or four megabytes.
    let loaded = loaded.load(Relaxed);
    assert!((64..100).contains(&loaded), "{loaded}");
}
