//! What a crash leaves behind leads to the same end.

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

/// The event's row as it was put, and what it holds.
async fn row(fixture: &Fixture) -> (Item, Timestamp, String, Queued) {
    let row = fixture.rows("A", "q#").await.remove(0);
    let (due, sequence) = model::queued_parts(&row.sort).unwrap();
    let (sequence, queued) = (sequence.to_owned(), model::body(&row).unwrap());
    (row, due, sequence, queued)
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

async fn fixture() -> (Fixture, Sink) {
    let sink = Sink::start(|_, _| Reply::Status(200, "")).await;
    let fixture = Fixture::new(&[&sink]);
    fixture.destination("A", &sink, |_| {}).await;
    fixture.event("m1", None, None, &["A"]).await;
    fixture.put(model::TABLE, crashed(&fixture)).await;
    (fixture, sink)
}

async fn check_result(fixture: &Fixture, sink: &Sink, calls: usize, status: Status, is_true: bool) {
    assert_eq!(sink.requests().len(), calls);
    assert_eq!(fixture.deliveries("A").await.iter().map(|it| it.status).collect::<Vec<_>>(), [status]);
    assert_eq!(fixture.is_delivered("m1", "A").await, is_true);
    assert_eq!(fixture.rows("A", "q#").await.len(), 0);
}

#[tokio::test]
async fn delivered_but_the_response_does_not_say_so() {
    let (fixture, sink) = fixture().await;
    let (_, _, sequence, _) = row(&fixture).await;
    let done = delivery_of(Status::Delivered, None);
    fixture
        .put(
            model::TABLE,
            model::item(&fixture.lane("A"), Status::Delivered.sort(&sequence), 1, &done).unwrap(),
        )
        .await;
    fixture.deliver(&["A"]).await;
    check_result(&fixture, &sink, 0, Status::Delivered, true).await;
}

#[tokio::test]
async fn delivered_but_still_queued() {
    let (fixture, sink) = fixture().await;
    let (_, _, sequence, _) = row(&fixture).await;
    let done = delivery_of(Status::Delivered, None);
    fixture
        .put(
            model::TABLE,
            model::item(&fixture.lane("A"), Status::Delivered.sort(&sequence), 1, &done).unwrap(),
        )
        .await;
    let partition = response::partition(&fixture.tenant, "m1");
    let item = fixture.store.get(response::TABLE, &partition, response::SORT).await.unwrap().unwrap();
    let mut response = EventResponse::read(&item).unwrap();
    response.destinations.insert("A".parse().unwrap(), true);
    fixture.put(response::TABLE, response.item(&fixture.tenant, 2).unwrap()).await;
    fixture.deliver(&["A"]).await;
    check_result(&fixture, &sink, 0, Status::Delivered, true).await;
}

#[tokio::test]
async fn failed_but_still_queued() {
    let (fixture, sink) = fixture().await;
    let (_, _, sequence, _) = row(&fixture).await;
    let done = delivery_of(Status::Failed, None);
    fixture
        .put(model::TABLE, model::item(&fixture.lane("A"), Status::Failed.sort(&sequence), 1, &done).unwrap())
        .await;
    fixture.deliver(&["A"]).await;
    check_result(&fixture, &sink, 0, Status::Failed, false).await;
}

#[tokio::test]
async fn a_delivered_replay_removes_an_old_failure() {
    let (fixture, sink) = fixture().await;
    let (row, _, sequence, queued) = row(&fixture).await;
    let body = serde_json::to_string(&Queued { replays: 1, ..queued }).unwrap();
    fixture.put(model::TABLE, Item { body, ..row }).await;
    for (status, replays) in [(Status::Delivered, 1), (Status::Failed, 1)] {
        // A failure that is sent again says that it waits.
        let says = if status == Status::Failed { Status::Pending } else { status };
        let done = Delivery { replays, ..delivery_of(says, None) };
        let item = model::item(&fixture.lane("A"), status.sort(&sequence), 2, &done).unwrap();
        fixture.put(model::TABLE, item).await;
    }
    let partition = response::partition(&fixture.tenant, "m1");
    let item = fixture.store.get(response::TABLE, &partition, response::SORT).await.unwrap().unwrap();
    let mut response = EventResponse::read(&item).unwrap();
    response.destinations.insert("A".parse().unwrap(), true);
    fixture.put(response::TABLE, response.item(&fixture.tenant, 2).unwrap()).await;
    fixture.deliver(&["A"]).await;
    check_result(&fixture, &sink, 0, Status::Delivered, true).await;
}

#[tokio::test]
async fn put_off_but_queued_twice() {
    let (fixture, sink) = fixture().await;
    let (_, due, sequence, queued) = row(&fixture).await;
    let next = due + SignedDuration::from_secs(600);
    let waits = delivery_of(Status::Pending, Some(next));
    fixture
        .put(
            model::TABLE,
            model::item(&fixture.lane("A"), Status::Pending.sort(&sequence), 1, &waits).unwrap(),
        )
        .await;
    let again = Queued { tries: 1, ..queued };
    fixture
        .put(
            model::TABLE,
            model::item(&fixture.lane("A"), model::queued_sort(next, &sequence), 1, &again).unwrap(),
        )
        .await;
    fixture.deliver(&["A"]).await;
    assert_eq!((sink.requests().len(), fixture.rows("A", "q#").await.len()), (0, 1));
    fixture.advance(601);
    fixture.deliver(&["A"]).await;
    check_result(&fixture, &sink, 1, Status::Delivered, true).await;
    assert_eq!(fixture.deliveries("A").await[0].attempts.len(), 2);
}

#[tokio::test]
async fn put_off_but_the_new_row_is_not_there() {
    let (fixture, sink) = fixture().await;
    let (_, due, sequence, _) = row(&fixture).await;
    let waits = delivery_of(Status::Pending, Some(due + SignedDuration::from_secs(600)));
    fixture
        .put(
            model::TABLE,
            model::item(&fixture.lane("A"), Status::Pending.sort(&sequence), 1, &waits).unwrap(),
        )
        .await;
    fixture.deliver(&["A"]).await;
    check_result(&fixture, &sink, 1, Status::Delivered, true).await;
    assert_eq!(fixture.rows("A", "p#").await.len(), 0);
}

#[tokio::test]
async fn a_missing_event_is_awaited_and_then_fails() {
    let (fixture, sink) = fixture().await;
    let partition = response::partition(&fixture.tenant, "m1");
    fixture.store.delete(response::TABLE, &partition, response::SORT).await.unwrap();
    tokio::select! {
        () = fixture.deliver(&["A"]) => panic!("it waits, a second at a time"),
        () = tokio::time::sleep(std::time::Duration::from_millis(500)) => {}
    }
    assert_eq!((sink.requests().len(), fixture.rows("A", "q#").await.len()), (0, 1));
    fixture.advance(301);
    fixture.deliver(&["A"]).await;
    assert_eq!(fixture.deliveries("A").await[0].reason.as_deref(), Some("event_missing"));
    assert_eq!((sink.requests().len(), fixture.rows("A", "q#").await.len()), (0, 0));
}
