//! What becomes of events, on every store (feature `contract`): whatever a step is, running it twice is running it
//! once, and another try of a request comes to what the first one came to.

#![expect(clippy::panic, reason = "a broken promise ends the test that asks for it")]

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};

use crate::{
    arrival::{Arrival, Via},
    batch::{Batch, BatchId, Kind, Name},
    delivery,
    destination::Destination,
    door,
    error::Error,
    event::{Standing, StoredEvent},
    ledger::{Ledger, Part},
    objects::Objects,
    outcome::Outcome::{self, Conflict, Duplicate, Invalid, Routed},
    quarantine,
    queue::Queue,
    received::Received,
    records::Records,
    response::{self, Response},
    routes::Routes,
    steps::{self, Execution, LogSchemaErrors, Start, Step},
    store::{Item, Query, Store, Table},
};

/// How old an event is before a destination in order gets it.
const SETTLE: SignedDuration = SignedDuration::from_secs(5);

/// Checks stores that are empty.
///
/// # Panics
///
/// Where an event ends otherwise than it should.
pub async fn event_contract(store: impl Store, objects: Objects, queue: impl Queue) {
    let flow = |tenant: &str| Flow {
        store: store.clone(),
        objects: objects.clone(),
        queue: queue.clone(),
        routes: Routes::default(),
        tenant: done(tenant.parse()),
    };
    an_id_stands_for_its_event(flow("ids")).await;
    an_id_is_free_after_a_week(flow("week")).await;
    an_invalid_event_frees_its_id(flow("invalid")).await;
    conflicts_are_noted(flow("conflicts")).await;
    another_try_goes_where_the_first_one_went(flow("tries")).await;
    destinations_are_told_apart(flow("ways")).await;
    what_is_kept_in_order_waits_for_what_came_before(flow("order")).await;
    what_no_table_can_keep_is_kept_as_text(flow("text")).await;
}

struct Flow<S, Q> {
    store: S,
    objects: Objects,
    queue: Q,
    routes: Routes,
    tenant: Name,
}

/// An event of a request.
#[derive(Clone, Copy)]
struct Sent {
    request: u32,
    index: u32,
    id: &'static str,
    /// Its name and more, as members of a JSON object.
    content: &'static str,
    /// On which day it arrives.
    day: i64,
}

const ORDER: &str = r#""event":"Order Placed""#;
const VISIT: &str = r#""event":"Visit","metadata":{"preferredChannel":"sms"}"#;
const NAMELESS: &str = r#""metadata":{}"#;

fn sent(request: u32, index: u32, id: &'static str, content: &'static str) -> Sent {
    Sent { request, index, id, content, day: 0 }
}

/// How far a try gets before it fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    Stored,
    Routed,
    Summarized,
}

#[track_caller]
fn done<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("a step failed: {error:?}"))
}

/// What a step gives, the same both times.
async fn twice<T: Serialize>(step: impl AsyncFn() -> Result<T, Error>) -> T {
    let first = done(step().await);
    let again = done(step().await);
    assert_eq!(json!(first), json!(again));
    first
}

fn raw(value: impl Serialize) -> Box<RawValue> {
    done(to_raw_value(&value))
}

impl Sent {
    fn record(&self) -> String {
        let Self { id, content, .. } = self;
        format!(r#"{{"messageId":"{id}","userId":"ann","timestamp":"2026-01-01T00:00:00Z",{content}}}"#)
    }

    fn received_at(&self) -> Timestamp {
        done(Timestamp::from_second(1_767_225_600)) + SignedDuration::from_hours(24 * self.day)
    }

    fn arrival(&self) -> Arrival {
        Arrival {
            id: BatchId::new(self.received_at(), self.request.into()),
            index: self.index,
            message_id: self.id.to_owned(),
            via: Via::Events,
            received_at: self.received_at(),
            sent_at: None,
        }
    }
}

impl<S: Store, Q: Queue> Flow<S, Q> {
    /// One try of some events: each step twice; what became of each.
    async fn run(&self, events: &[Sent], until: Until) -> Vec<Outcome> {
        let Self { store, objects, queue, routes, .. } = self;
        let start = self.start(events);
        let now = start.execution.started_at;
        let valid = twice(async || steps::validate_schema(start.clone(), objects).await).await;
        let batch = valid.batch;
        let mut parts = Vec::new();
        if valid.invalid.count > 0 {
            let input = LogSchemaErrors { batch: batch.clone(), records: valid.invalid };
            parts.push(
                twice(async || steps::log_schema_errors(input.clone(), store, objects).await).await.part,
            );
        }
        let step = Step { batch: batch.clone(), records: valid.valid };
        let unique = twice(async || steps::remove_duplicates(step.clone(), objects).await).await;
        assert_eq!((unique.opted_in.count, unique.opted_out.count), (0, 0));
        parts.push(unique.part);
        let step = Step { batch: batch.clone(), records: unique.events };
        let stored = twice(async || steps::put_events(step.clone(), store, objects).await).await;
        parts.push(stored.part);
        if until == Until::Stored {
            return Vec::new();
        }
        let step = Step { batch, records: stored.fresh };
        let route =
            async || steps::route_events(step.clone(), store, objects, queue, routes, now, SETTLE).await;
        parts.push(twice(route).await.part);
        if until == Until::Routed {
            return Vec::new();
        }
        let mut whole = Part::default();
        for part in parts {
            whole.merge(done(part.open(objects).await));
        }
        let ledger = done(Ledger::new(valid.received, whole));
        let outcome = |index| ledger.part.outcome(index).unwrap_or_else(|| panic!("{index} has no outcome"));
        (0..valid.received).map(outcome).collect()
    }

    fn start(&self, events: &[Sent]) -> Start {
        let mut lines = Vec::new();
        for (index, event) in (0..).zip(events) {
            let record = done(RawValue::from_string(event.record()));
            let received = Received { arrival: Some(event.arrival()), ..Received::json(index, 0, &record) };
            done(received.write(&mut lines));
            lines.push(b'\n');
        }
        let first = events[0].arrival();
        let batch = Batch {
            batch_id: first.id,
            tenant: self.tenant.clone(),
            provider: done("events".parse()),
            kind: Kind::Event,
            received_at: first.received_at,
            chunk: None,
        };
        let execution = Execution { name: first.id.to_string(), started_at: first.received_at };
        Start { input: raw(json!({ "batch": batch, "records": done(Records::inline(&lines)) })), execution }
    }

    /// A whole try that comes to this.
    #[track_caller]
    fn check(&self, events: &[Sent], outcomes: &[Outcome]) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move { assert_eq!(self.run(events, Until::Summarized).await, outcomes, "{place}") }
    }

    async fn stored(&self, id: &str) -> StoredEvent {
        let (partition, sort) = StoredEvent::key(&self.tenant, id);
        let item = done(self.store.get(Table::Events, &partition, &sort).await);
        done(StoredEvent::read(&item.unwrap_or_else(|| panic!("{id} is not stored"))))
    }

    async fn response(&self, id: &str) -> Option<Response> {
        let partition = response::partition(&self.tenant, id);
        let item = done(self.store.get(response::TABLE, &partition, response::SORT).await);
        item.map(|item| done(Response::read(&item)))
    }

    /// It is delivered wherever it goes.
    async fn delivered(&self, id: &str) {
        let mut response = self.response(id).await.unwrap_or_else(|| panic!("{id} has no response"));
        response.destinations.values_mut().for_each(|is_delivered| *is_delivered = true);
        let item = done(response.item(&self.tenant, 2));
        done(self.store.put(response::TABLE, item, crate::store::Condition::None).await);
    }

    /// What waits in a lane: the id, user and channel of each.
    async fn lane(&self, destination: &str) -> Vec<Value> {
        self.rows(destination).await.into_iter().map(|(_, row)| row).collect()
    }

    /// The same, with when it is due.
    async fn rows(&self, destination: &str) -> Vec<(Timestamp, Value)> {
        let query = Query {
            partition: delivery::partition(&self.tenant, &done(destination.parse())),
            prefix: delivery::QUEUED.to_owned(),
            after: None,
            descending: false,
            limit: 100,
        };
        let items = done(self.store.query(delivery::TABLE, query).await);
        let row = |item: &Item| {
            let body: Value = done(door::decode(item.body.as_bytes()));
            let due = delivery::queued_parts(&item.sort).map(|(due, _)| due);
            let due = due.unwrap_or_else(|| panic!("{} is no row's", item.sort));
            (due, json!([body["messageId"], body["user"], body["channel"]]))
        };
        items.iter().map(row).collect()
    }

    /// Makes a destination; `more` are members of its own.
    async fn destination(&self, name: &str, more: Value) {
        let mut body = json!({
            "destinationName": name, "Type": "analytics", "Url": "https://example.com/", "holdSeconds": 1,
            "concurrency": 1, "retryDelays": [], "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z",
        });
        if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
            body.extend(more);
        }
        let destination: Destination = done(door::decode(&done(door::encode(&body))));
        assert!(done(destination.save(&self.tenant, None, &self.store).await));
    }
}

async fn an_id_stands_for_its_event<S: Store, Q: Queue>(flow: Flow<S, Q>) {
    flow.destination("all", json!({})).await;
    let request =
        [sent(1, 0, "a", ORDER), sent(1, 1, "a", ORDER), sent(1, 2, "a", VISIT), sent(1, 3, "b", VISIT)];
    let outcomes = [Routed, Duplicate, Conflict, Routed];
    flow.check(&request, &outcomes).await;
    // Another try of the request comes to the same, also with others.
    flow.check(&request, &outcomes).await;
    let more = [sent(2, 0, "b", VISIT), sent(2, 1, "b", ORDER), sent(2, 2, "c", ORDER)];
    let both = [&request[..], &more].concat();
    flow.check(&both, &[&outcomes[..], &[Duplicate, Conflict, Routed]].concat()).await;
    assert_eq!(
        flow.lane("all").await,
        [json!(["a", null, null]), json!(["b", null, null]), json!(["c", null, null])]
    );
    let kept =
        done(quarantine::list(&flow.tenant, &quarantine::Filter::default(), None, 100, &flow.objects).await);
    let kept: Vec<_> =
        kept.entries.iter().map(|entry| (entry.batch_id, entry.index, entry.message_id.as_deref())).collect();
    assert_eq!(kept, [(request[0].arrival().id, 2, Some("a")), (more[0].arrival().id, 1, Some("b"))]);
}

async fn an_id_is_free_after_a_week<S: Store, Q: Queue>(flow: Flow<S, Q>) {
    flow.destination("all", json!({})).await;
    let on = |day, request, content| [Sent { day, ..sent(request, 0, "a", content) }];
    flow.check(&on(0, 1, ORDER), &[Routed]).await;
    flow.check(&on(7, 2, ORDER), &[Duplicate]).await;
    flow.check(&on(7, 3, VISIT), &[Conflict]).await;
    // Not while it is on its way: what is delivered is what lies under the id.
    flow.check(&on(8, 5, VISIT), &[Conflict]).await;
    flow.check(&on(8, 6, ORDER), &[Duplicate]).await;
    flow.delivered("a").await;
    flow.check(&on(8, 4, VISIT), &[Routed]).await;
    flow.check(&on(8, 4, VISIT), &[Routed]).await;
    let [newest] = on(8, 4, VISIT);
    assert_eq!(flow.stored("a").await.sequence, newest.arrival().sequence());
    assert_eq!(flow.response("a").await.map(|response| response.sequence), Some(newest.arrival().sequence()));
}

async fn an_invalid_event_frees_its_id<S: Store, Q: Queue>(flow: Flow<S, Q>) {
    flow.check(&[sent(1, 0, "a", NAMELESS), sent(1, 1, "a", NAMELESS)], &[Invalid, Invalid]).await;
    let stored = flow.stored("a").await;
    assert_eq!(
        (stored.outcome, stored.sequence),
        (Standing::Invalid, sent(1, 1, "a", "").arrival().sequence())
    );
    assert_eq!(stored.faults.iter().map(|fault| &*fault.pointer).collect::<Vec<_>>(), ["/event"]);
    flow.check(&[sent(2, 0, "a", ORDER)], &[Routed]).await;
    // What was valid stays, whichever tries come later.
    flow.check(&[sent(1, 0, "a", NAMELESS), sent(3, 0, "a", NAMELESS)], &[Invalid, Invalid]).await;
    let stored = flow.stored("a").await;
    assert_eq!((stored.outcome, stored.event_name.as_deref()), (Standing::Stored, Some("Order Placed")));
}

async fn conflicts_are_noted<S: Store, Q: Queue>(flow: Flow<S, Q>) {
    flow.check(&[sent(1, 0, "a", ORDER)], &[Routed]).await;
    let others: Vec<Sent> = (0..7).map(|index| Sent { index, ..sent(2, 0, "a", VISIT) }).collect();
    // All of them are one event, which came seven times.
    flow.check(&others, &[&[Conflict][..], &[Duplicate; 6]].concat()).await;
    let first = others[0].arrival().sequence();
    assert_eq!(flow.stored("a").await.conflicts, [first]);
    for request in 3..20 {
        flow.check(&[sent(request, 0, "a", VISIT)], &[Conflict]).await;
    }
    let conflicts = flow.stored("a").await.conflicts;
    let expected: Vec<String> =
        (10..20).map(|request| sent(request, 0, "a", VISIT).arrival().sequence()).collect();
    assert_eq!(conflicts, expected);
}

async fn another_try_goes_where_the_first_one_went<S: Store, Q: Queue>(flow: Flow<S, Q>) {
    flow.destination("first", json!({})).await;
    let request = [sent(1, 0, "a", ORDER), sent(1, 1, "b", ORDER)];
    flow.run(&request[..1], Until::Stored).await;
    assert_eq!(flow.lane("first").await.len(), 0);
    assert!(flow.response("a").await.is_none(), "nothing says that it is routed");
    flow.run(&request[..1], Until::Routed).await;
    flow.destination("second", json!({})).await;
    flow.check(&request, &[Routed, Routed]).await;
    assert_eq!(flow.lane("first").await.len(), 2);
    assert_eq!(flow.lane("second").await, [json!(["b", null, null])]);
    // What a lane has tried is not queued anew.
    let lane = delivery::partition(&flow.tenant, &done("second".parse()));
    let sequence = request[1].arrival().sequence();
    let tried = done(delivery::item(&lane, delivery::Status::Pending.sort(&sequence), 1, &json!({})));
    done(flow.store.put(delivery::TABLE, tried, crate::store::Condition::None).await);
    let queued = delivery::queued_sort(request[1].received_at(), &sequence);
    done(flow.store.delete(delivery::TABLE, &lane, &queued).await);
    flow.check(&request, &[Routed, Routed]).await;
    assert_eq!(flow.lane("second").await.len(), 0);
}

async fn destinations_are_told_apart<S: Store, Q: Queue>(flow: Flow<S, Q>) {
    flow.check(&[sent(1, 0, "nowhere", ORDER)], &[Routed]).await;
    flow.destination("orders", json!({ "events": ["Order Placed", "Other"], "ordering": "user" })).await;
    flow.destination("mails", json!({ "Type": "CDP" })).await;
    flow.destination("filtered", json!({ "filter": "metadata.preferredChannel = 'sms'" })).await;
    flow.destination("broken", json!({ "filter": "$number(event) > 1" })).await;
    flow.destination("paused", json!({ "state": "paused", "events": ["Visit"] })).await;
    flow.destination("disabled", json!({ "state": "disabled" })).await;
    flow.check(&[sent(2, 0, "order", ORDER), sent(2, 1, "visit", VISIT)], &[Routed, Routed]).await;
    assert_eq!(flow.lane("orders").await, [json!(["order", "ann", null])]);
    assert_eq!(flow.lane("mails").await, [json!(["order", null, null]), json!(["visit", null, "sms"])]);
    for (name, ids) in
        [("filtered", ["visit"].as_slice()), ("paused", &["visit"]), ("broken", &[]), ("disabled", &[])]
    {
        let rows: Vec<Value> = ids.iter().map(|id| json!([id, null, null])).collect();
        assert_eq!(flow.lane(name).await, rows, "{name}");
    }
    let response = flow.response("order").await.unwrap_or_else(|| panic!("there is no response"));
    assert_eq!(json!(response.destinations), json!({ "mails": false, "orders": false }));
    assert_eq!(json!(response.response_body)["event"], "Order Placed");
    let nowhere = flow.response("nowhere").await.unwrap_or_else(|| panic!("it is not routed"));
    assert_eq!((nowhere.response_body.get(), nowhere.destinations.len()), ("null", 0));
}

async fn what_is_kept_in_order_waits_for_what_came_before<S: Store, Q: Queue>(flow: Flow<S, Q>) {
    flow.destination("ordered", json!({ "ordering": "user" })).await;
    flow.destination("other", json!({})).await;
    // The queue gives them out the other way around.
    for (request, id) in [(2, "m2"), (1, "m1")] {
        flow.check(&[sent(request, 0, id, ORDER)], &[Routed]).await;
    }
    let accepted = sent(1, 0, "m1", ORDER).received_at();
    for (name, user, due) in [("ordered", json!("ann"), accepted + SETTLE), ("other", json!(null), accepted)]
    {
        let expected = [(due, json!(["m1", user, null])), (due, json!(["m2", user, null]))];
        assert_eq!(flow.rows(name).await, expected, "{name}");
    }
}

async fn what_no_table_can_keep_is_kept_as_text<S: Store, Q: Queue>(flow: Flow<S, Q>) {
    flow.destination("all", json!({})).await;
    let huge =
        sent(1, 0, "a", r#""event":"e","metadata":{"":1,"n":1234567890123456789012345678901234567890}"#);
    flow.check(&[huge], &[Routed]).await;
    let response = flow.response("a").await.unwrap_or_else(|| panic!("there is no response"));
    assert_eq!(json!(response.response_body), json!(huge.record()));
    assert_eq!(flow.stored("a").await.payload, Some(huge.record()));
}
