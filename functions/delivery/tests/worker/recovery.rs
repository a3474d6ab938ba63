//! The rows that a crash leaves lead to the same result.

use delivery::model::{self, Delivery, Queued, Status};
use events::response::{self, EventResponse};
use jiff::{SignedDuration, Timestamp};
use kernel::store::{Item, Store};

use super::{
    fixture::Fixture,
    sink::{Reply, Sink},
};

/// A lane that somebody left without having let it go.
pub(super) fn crashed(fixture: &Fixture) -> Item {
    fixture.lane_item(r#"{"holder":"test","expiresAt":"2999-01-01T00:00:00Z"}"#)
}

pub(super) fn delivery_of(status: Status, next_attempt_at: Option<Timestamp>) -> Delivery {
    Delivery {
        message_id: "m1".to_owned(),
        destination: "A".parse().unwrap(),
        status,
        attempts: vec![model::Attempt {
            at: Timestamp::UNIX_EPOCH,
            duration_ms: 1,
            status: Some(500),
            error: None,
            message: None,
        }],
        next_attempt_at,
        blocking_since: None,
        reason: (status == Status::Failed).then(|| "http_500".to_owned()),
        user: None,
        channel: None,
        received_at: Timestamp::UNIX_EPOCH,
        destination_made: None,
        replays: 0,
        filter_pending: false,
    }
}

/// An event `m1` for the destination `A`, and a lane of `A` that a worker has not released. The tests add the rows
/// that a crash left.
struct Crash {
    fixture: Fixture,
    sink: Sink,
    /// The queue row of the event, and its parts.
    row: Item,
    due: Timestamp,
    sequence: String,
    queued: Queued,
}

impl Crash {
    async fn new() -> Self {
        let sink = Sink::start(|_, _| Reply::Status(200, "")).await;
        let fixture = Fixture::new(&[&sink]);
        fixture.destination("A", &sink, |_| {}).await;
        fixture.event("m1", None, None, &["A"]).await;
        fixture.put(model::TABLE, crashed(&fixture)).await;
        let row = fixture.rows("A", "q#").await.remove(0);
        let (due, sequence) = model::queued_parts(&row.sort).unwrap();
        let (sequence, queued) = (sequence.to_owned(), model::body(&row).unwrap());
        Self { fixture, sink, row, due, sequence, queued }
    }

    /// Stores the delivery in the place of this status. Its version is one more than its replays.
    async fn put_delivery(&self, place: Status, delivery: &Delivery) {
        let sort = place.sort(&self.sequence);
        let item =
            model::item(&self.fixture.lane("A"), sort, u64::from(delivery.replays) + 1, delivery).unwrap();
        self.fixture.put(model::TABLE, item).await;
    }

    /// Stores a second queue row of the event, due later.
    async fn queue_again(&self, due: Timestamp, queued: &Queued) {
        let sort = model::queued_sort(due, &self.sequence);
        let item = model::item(&self.fixture.lane("A"), sort, 1, queued).unwrap();
        self.fixture.put(model::TABLE, item).await;
    }

    /// Lets the response of the event say that it is delivered.
    async fn mark_response_delivered(&self) {
        let partition = response::partition(&self.fixture.tenant, "m1");
        let item =
            self.fixture.store.get(response::TABLE, &partition, response::SORT).await.unwrap().unwrap();
        let mut response = EventResponse::read(&item).unwrap();
        response.destinations.insert("A".parse().unwrap(), true);
        self.fixture.put(response::TABLE, response.item(&self.fixture.tenant, 2).unwrap()).await;
    }

    /// Fails unless the destination had this many calls, and `A` has this one delivery and an empty queue.
    async fn check(&self, calls: usize, status: Status) {
        assert_eq!(self.sink.requests().len(), calls);
        let deliveries = self.fixture.deliveries("A").await;
        assert_eq!(deliveries.iter().map(|it| it.status).collect::<Vec<_>>(), [status]);
        assert_eq!(self.fixture.is_delivered("m1", "A").await, status == Status::Delivered);
        assert_eq!(self.queued_rows().await, 0);
    }

    async fn queued_rows(&self) -> usize {
        self.fixture.rows("A", "q#").await.len()
    }

    async fn run_worker(&self) {
        self.fixture.deliver(&["A"]).await;
    }
}

#[tokio::test]
async fn delivered_but_the_response_does_not_say_so() {
    let crash = Crash::new().await;
    crash.put_delivery(Status::Delivered, &delivery_of(Status::Delivered, None)).await;
    crash.run_worker().await;
    crash.check(0, Status::Delivered).await;
}

#[tokio::test]
async fn delivered_but_still_queued() {
    let crash = Crash::new().await;
    crash.put_delivery(Status::Delivered, &delivery_of(Status::Delivered, None)).await;
    crash.mark_response_delivered().await;
    crash.run_worker().await;
    crash.check(0, Status::Delivered).await;
}

#[tokio::test]
async fn failed_but_still_queued() {
    let crash = Crash::new().await;
    crash.put_delivery(Status::Failed, &delivery_of(Status::Failed, None)).await;
    crash.run_worker().await;
    crash.check(0, Status::Failed).await;
}

#[tokio::test]
async fn a_delivered_replay_removes_an_old_failure() {
    let crash = Crash::new().await;
    let body = serde_json::to_string(&Queued { replays: 1, ..crash.queued.clone() }).unwrap();
    crash.fixture.put(model::TABLE, Item { body, ..crash.row.clone() }).await;
    // A failure that is sent again has the status `pending`.
    for (place, status) in [(Status::Delivered, Status::Delivered), (Status::Failed, Status::Pending)] {
        crash.put_delivery(place, &Delivery { replays: 1, ..delivery_of(status, None) }).await;
    }
    crash.mark_response_delivered().await;
    crash.run_worker().await;
    crash.check(0, Status::Delivered).await;
}

#[tokio::test]
async fn put_off_but_queued_twice() {
    let crash = Crash::new().await;
    let next = crash.due + SignedDuration::from_secs(600);
    crash.put_delivery(Status::Pending, &delivery_of(Status::Pending, Some(next))).await;
    crash.queue_again(next, &Queued { tries: 1, ..crash.queued.clone() }).await;
    crash.run_worker().await;
    assert_eq!((crash.sink.requests().len(), crash.queued_rows().await), (0, 1));
    crash.fixture.advance(601);
    crash.run_worker().await;
    crash.check(1, Status::Delivered).await;
    assert_eq!(crash.fixture.deliveries("A").await[0].attempts.len(), 2);
}

#[tokio::test]
async fn put_off_but_the_new_row_is_not_there() {
    let crash = Crash::new().await;
    let next = crash.due + SignedDuration::from_secs(600);
    crash.put_delivery(Status::Pending, &delivery_of(Status::Pending, Some(next))).await;
    crash.run_worker().await;
    crash.check(1, Status::Delivered).await;
    assert_eq!(crash.fixture.rows("A", "p#").await.len(), 0);
}

#[tokio::test]
async fn a_missing_event_is_awaited_and_then_fails() {
    let crash = Crash::new().await;
    let partition = response::partition(&crash.fixture.tenant, "m1");
    crash.fixture.store.delete(response::TABLE, &partition, response::SORT).await.unwrap();
    tokio::select! {
        () = crash.run_worker() => panic!("it waits, a second at a time"),
        () = tokio::time::sleep(std::time::Duration::from_millis(500)) => {}
    }
    assert_eq!((crash.sink.requests().len(), crash.queued_rows().await), (0, 1));
    crash.fixture.advance(301);
    crash.run_worker().await;
    assert_eq!(crash.fixture.deliveries("A").await[0].reason.as_deref(), Some("event_missing"));
    assert_eq!((crash.sink.requests().len(), crash.queued_rows().await), (0, 0));
}
