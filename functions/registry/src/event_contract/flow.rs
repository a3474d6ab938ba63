//! The flow of events, for a tenant of its own: every step runs twice, and tests read the stored items.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};

use batches::LogSchemaErrors;
use delivery::{
    model::{self, Queued},
    routes::Routes,
};
use destinations::destination::Destination;
use events::{
    event::StoredEvent,
    response::{self, EventResponse},
};
use kernel::{
    batch::{Batch, BatchId, Kind, Name},
    error::Error,
    json,
    ledger::{Ledger, Part},
    objects::Objects,
    outcome::Outcome,
    provenance::{Provenance, Source},
    queue::Queue,
    raw_record::RawRecord,
    records::Records,
    start::{Execution, Start},
    step::Step,
    store::{Condition, Item, Query, Store, Table},
};

/// The age of an event before a destination in order receives it.
pub(super) const ORDERING_DELAY: SignedDuration = SignedDuration::from_secs(5);

pub(super) struct Flow<S, Q> {
    pub(super) store: S,
    pub(super) objects: Objects,
    pub(super) queue: Q,
    pub(super) routes: Routes,
    pub(super) tenant: Name,
}

/// An event of a request.
#[derive(Clone, Copy)]
pub(super) struct Sent {
    pub(super) request: u32,
    pub(super) index: u32,
    pub(super) id: &'static str,
    /// Its name and more, as members of a JSON object.
    pub(super) content: &'static str,
    /// The day of its arrival.
    pub(super) day: i64,
}

pub(super) fn sent(request: u32, index: u32, id: &'static str, content: &'static str) -> Sent {
    Sent { request, index, id, content, day: 0 }
}

/// How far an attempt gets before it fails.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    Stored,
    Routed,
    Summarized,
}

#[track_caller]
pub(super) fn done<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("a step failed: {error:?}"))
}

/// The output of a step, which is the same both times.
pub(super) async fn twice<T: Serialize>(step: impl AsyncFn() -> Result<T, Error>) -> T {
    let first = done(step().await);
    let again = done(step().await);
    assert_eq!(json!(first), json!(again));
    first
}

pub(super) fn raw(value: impl Serialize) -> Box<RawValue> {
    done(to_raw_value(&value))
}

impl Sent {
    pub(super) fn record(&self) -> String {
        let Self { id, content, .. } = self;
        format!(r#"{{"messageId":"{id}","userId":"ann","timestamp":"2026-01-01T00:00:00Z",{content}}}"#)
    }

    pub(super) fn received_at(&self) -> Timestamp {
        done(Timestamp::from_second(1_767_225_600)) + SignedDuration::from_hours(24 * self.day)
    }

    pub(super) fn provenance(&self) -> Provenance {
        Provenance {
            id: BatchId::new(self.received_at(), self.request.into()),
            index: self.index,
            message_id: self.id.to_owned(),
            via: Source::Events,
            received_at: self.received_at(),
            sent_at: None,
        }
    }
}

impl<S: Store, Q: Queue> Flow<S, Q> {
    /// One attempt at some events: each step twice; the outcome of each event.
    pub(super) async fn run(&self, events: &[Sent], until: Until) -> Vec<Outcome> {
        let Self { store, objects, queue, routes, .. } = self;
        let start = self.start(events);
        let now = start.execution.started_at;
        let valid = twice(async || batches::validate_schema(start.clone(), objects).await).await;
        let batch = valid.batch;
        let mut parts = Vec::new();
        if valid.invalid.count > 0 {
            let input = LogSchemaErrors { batch: batch.clone(), records: valid.invalid };
            parts.push(
                twice(async || batches::log_schema_errors(input.clone(), store, objects).await).await.part,
            );
        }
        let step = Step { batch: batch.clone(), records: valid.valid };
        let unique = twice(async || batches::remove_duplicates(step.clone(), objects).await).await;
        assert_eq!((unique.opted_in.count, unique.opted_out.count), (0, 0));
        parts.push(unique.part);
        let step = Step { batch: batch.clone(), records: unique.events };
        let stored = twice(async || events::put_events(step.clone(), store, objects).await).await;
        parts.push(stored.part);
        if until == Until::Stored {
            return Vec::new();
        }
        let step = Step { batch, records: stored.fresh };
        let route = async || {
            delivery::route_events(step.clone(), store, objects, queue, routes, now, ORDERING_DELAY).await
        };
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

    pub(super) fn start(&self, events: &[Sent]) -> Start {
        let mut lines = Vec::new();
        for (index, event) in (0..).zip(events) {
            let record = done(RawValue::from_string(event.record()));
            let received =
                RawRecord { provenance: Some(event.provenance()), ..RawRecord::json(index, 0, &record) };
            done(received.write(&mut lines));
            lines.push(b'\n');
        }
        let first = events[0].provenance();
        let batch = Batch {
            batch_id: first.id,
            tenant: self.tenant.clone(),
            provider: done("events".parse()),
            kind: Kind::Event,
            received_at: first.received_at,
            order: 0,
            replay: 0,
            chunk: None,
            rules: kernel::Rules::default(),
        };
        let execution = Execution { name: first.id.to_string(), started_at: first.received_at };
        Start { input: raw(json!({ "batch": batch, "records": done(Records::inline(&lines)) })), execution }
    }

    /// Checks the outcomes of a complete attempt.
    #[track_caller]
    pub(super) fn check(&self, events: &[Sent], outcomes: &[Outcome]) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move { assert_eq!(self.run(events, Until::Summarized).await, outcomes, "{place}") }
    }

    pub(super) async fn stored(&self, id: &str) -> StoredEvent {
        let (partition, sort) = StoredEvent::key(&self.tenant, id);
        let item = done(self.store.get(Table::Events, &partition, &sort).await);
        done(StoredEvent::read(&item.unwrap_or_else(|| panic!("{id} is not stored"))))
    }

    pub(super) async fn response(&self, id: &str) -> Option<EventResponse> {
        let partition = response::partition(&self.tenant, id);
        let item = done(self.store.get(response::TABLE, &partition, response::SORT).await);
        item.map(|item| done(EventResponse::read(&item)))
    }

    /// Delivers it to all of its destinations.
    pub(super) async fn delivered(&self, id: &str) {
        let mut response = self.response(id).await.unwrap_or_else(|| panic!("{id} has no response"));
        response.destinations.values_mut().for_each(|is_delivered| *is_delivered = true);
        let item = done(response.item(&self.tenant, 2));
        done(self.store.put(response::TABLE, item, Condition::None).await);
    }

    /// The queue of a lane: id, user and channel of each event.
    pub(super) async fn lane(&self, destination: &str) -> Vec<Value> {
        self.rows(destination).await.into_iter().map(|(_, row)| row).collect()
    }

    /// The same, with the due times.
    pub(super) async fn rows(&self, destination: &str) -> Vec<(Timestamp, Value)> {
        let items = self.items(destination).await;
        let row = |item: &Item| {
            let body: Value = done(json::decode(item.body.as_bytes()));
            let due = model::queued_parts(&item.sort).map(|(due, _)| due);
            let due = due.unwrap_or_else(|| panic!("{} is no row's", item.sort));
            (due, json!([body["messageId"], body["user"], body["channel"]]))
        };
        items.iter().map(row).collect()
    }

    async fn items(&self, destination: &str) -> Vec<Item> {
        let query = Query {
            partition: model::partition(&self.tenant, &done(destination.parse())),
            prefix: model::QUEUED_PREFIX.to_owned(),
            after: None,
            descending: false,
            limit: 100,
        };
        done(self.store.query(model::TABLE, query).await)
    }

    /// The ids of those that wait for the lane to evaluate its filter.
    pub(super) async fn undecided(&self, destination: &str) -> Vec<String> {
        let rows = self.items(destination).await;
        let rows = rows.iter().map(|item| done(model::body::<Queued>(item)));
        rows.filter(|row| row.filter_pending).map(|row| row.message_id).collect()
    }

    /// Makes a destination; `more` are members of its own.
    pub(super) async fn destination(&self, name: &str, more: Value) {
        self.save(name, more, None).await;
    }

    /// Changes a destination that was made, and not changed since.
    pub(super) async fn change(&self, name: &str, more: Value) {
        self.save(name, more, Some(1)).await;
    }

    async fn save(&self, name: &str, more: Value, version: Option<u64>) {
        let mut body = json!({
            "destinationName": name, "Type": "analytics", "Url": "https://example.com/", "holdSeconds": 1,
            "concurrency": 1, "retryDelays": [], "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z",
        });
        if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
            body.extend(more);
        }
        let destination: Destination = done(json::decode(&done(json::encode(&body))));
        assert!(done(destination.save(&self.tenant, version, &self.store).await));
    }
}
