//! A data folder, a worker with a clock that can be set forward, and events for its lanes.

use std::{cell::Cell, collections::BTreeMap, sync::Arc, time::Duration};

use delivery::{
    model::{self, Delivery, Queued, Status, Wakeup},
    worker::{DeliveryWorker, Evaluator, REQUEST_TIMEOUT, WorkerContext},
};
use destinations::{
    destination::{
        DEFAULT_CONCURRENCY, DEFAULT_HOLD_SECONDS, Destination, DestinationType, FINAL_STATUSES, Ordering,
        State, Stored,
    },
    outbound::{Guard, Outbound},
};
use events::{
    event::StoredEvent,
    response::{self, EventResponse},
};
use jiff::{SignedDuration, Timestamp};
use kernel::{
    Name, Objects,
    batch::BatchId,
    provenance::Source,
    quarantine::{self, Entry, Filter},
    queue::{MessageAttributes, QueueName, SqsEvent, SqsMessage},
    store::{Condition, Item, Query, Store, Table},
};
use object_store::local::LocalFileSystem;
use sqlite_store::{
    SqliteStore,
    queues::{self, LocalQueue},
};
use tempfile::TempDir;

use super::sink::Sink;

thread_local! {
    /// How far the worker's clock is set forward. A test has a thread of its own.
    static CLOCK_OFFSET: Cell<SignedDuration> = const { Cell::new(SignedDuration::ZERO) };
}

#[expect(clippy::disallowed_methods, reason = "a test is a host")]
fn wall_clock() -> Timestamp {
    Timestamp::now()
}

fn now() -> Timestamp {
    wall_clock() + CLOCK_OFFSET.get()
}

pub(super) struct Fixture {
    pub(super) folder: TempDir,
    pub(super) store: SqliteStore,
    pub(super) worker: DeliveryWorker<SqliteStore, LocalQueue>,
    pub(super) context: WorkerContext<SqliteStore, LocalQueue>,
    pub(super) tenant: Name,
    sequence: Cell<u32>,
    /// How many bytes more its events have.
    pub(super) padding: Cell<usize>,
    /// Whether its events were routed before filters were evaluated for them.
    pub(super) filter_pending: Cell<bool>,
}

impl Fixture {
    /// A fixture whose calls may go to these sinks.
    pub(super) fn new(sinks: &[&Sink]) -> Self {
        Self::with_request_timeout(sinks, REQUEST_TIMEOUT)
    }

    pub(super) fn with_request_timeout(sinks: &[&Sink], request_timeout: Duration) -> Self {
        let folder = TempDir::new().unwrap();
        let store = SqliteStore::open(&folder.path().join("crmflow.db")).unwrap();
        let files = || Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
        let allowed = sinks.iter().map(|sink| sink.address.to_string().parse().unwrap()).collect();
        let context = WorkerContext {
            store: store.clone(),
            objects: Objects::new(files(), files()),
            queue: LocalQueue::open(store.clone(), wall_clock).unwrap(),
            outbound: Outbound::new(Guard::new(allowed)).unwrap(),
            evaluator: Evaluator::default(),
            now,
            random: rand::random,
            holder: "test".to_owned(),
            max_hold: Duration::from_secs(60),
            request_timeout,
        };
        Self {
            folder,
            store,
            worker: DeliveryWorker::new(context.clone()),
            context,
            tenant: Name::default_tenant(),
            sequence: Cell::new(0),
            padding: Cell::new(0),
            filter_pending: Cell::new(false),
        }
    }

    /// Sets the clock forward.
    pub(super) fn advance(&self, seconds: i64) {
        CLOCK_OFFSET.set(CLOCK_OFFSET.get() + SignedDuration::from_secs(seconds));
    }

    /// The worker's time.
    #[expect(clippy::unused_self, reason = "it is the fixture's clock")]
    pub(super) fn now(&self) -> Timestamp {
        now()
    }

    /// Makes a destination at a sink.
    pub(super) async fn destination(&self, name: &str, sink: &Sink, change: impl FnOnce(&mut Destination)) {
        let mut destination = Destination {
            destination_name: name.parse().unwrap(),
            headers: BTreeMap::new().into(),
            kind: DestinationType::Analytics,
            url: format!("http://{}/in", sink.address).into(),
            events: Vec::new(),
            filter: None,
            mapping: None,
            secrets: Vec::new().into(),
            rate_limit: None,
            ordering: Ordering::None,
            hold_seconds: DEFAULT_HOLD_SECONDS,
            concurrency: DEFAULT_CONCURRENCY,
            retry_delays: vec![0; 7],
            final_statuses: FINAL_STATUSES.to_vec(),
            state: State::Active,
            reason: None,
            created_at: now(),
            updated_at: now(),
        };
        change(&mut destination);
        assert!(destination.save(&self.tenant, None, &self.store).await.unwrap());
    }

    pub(super) async fn found(&self, name: &str) -> Destination {
        self.stored(name).await.destination
    }

    /// Changes a destination, as somebody does.
    pub(super) async fn change(&self, name: &str, change: impl FnOnce(&mut Destination)) {
        let mut stored = self.stored(name).await;
        change(&mut stored.destination);
        assert!(stored.destination.save(&self.tenant, Some(stored.version), &self.store).await.unwrap());
    }

    async fn stored(&self, name: &str) -> Stored {
        let found = Destination::find(&self.tenant, &name.parse().unwrap(), &self.store).await;
        found.unwrap().unwrap()
    }

    /// Puts an event into the lanes of destinations.
    pub(super) async fn event(&self, id: &str, user: Option<&str>, channel: Option<&str>, to: &[&str]) {
        let number = self.sequence.replace(self.sequence.get() + 1);
        let received_at = now();
        let sequence = format!("{}-{number:05}", BatchId::new("2026-01-01T00:00:00Z".parse().unwrap(), 7));
        let padding = " ".repeat(self.padding.get());
        let payload =
            format!(r#"{{"event": "signed_up",  "big": 12345678901234567890, {padding}"id": "{id}"}}"#);
        let event = StoredEvent {
            message_id: id.to_owned(),
            sequence: sequence.clone(),
            via: Source::Track,
            received_at,
            outcome: events::event::EventStatus::Stored,
            faults: Vec::new(),
            hash: String::new(),
            call: None,
            event_name: None,
            user_id: None,
            anonymous_id: None,
            timestamp: None,
            event: Some(format!(r#"{{"messageId":"{id}","event":"signed_up","metadata":{{"plan":"pro"}}}}"#)),
            payload: Some(payload.clone()),
            conflicts: Vec::new(),
        };
        self.put(Table::Events, event.item(&self.tenant, 1).unwrap()).await;
        let response = EventResponse {
            response_id: id.to_owned(),
            response_body: serde_json::from_str(&payload).unwrap(),
            destinations: to.iter().map(|name| (name.parse().unwrap(), false)).collect(),
            undecided: to
                .iter()
                .filter(|_| self.filter_pending.get())
                .map(|name| name.parse().unwrap())
                .collect(),
            sequence: sequence.clone(),
        };
        self.put(response::TABLE, response.item(&self.tenant, 1).unwrap()).await;
        for name in to {
            let of = Destination::find(&self.tenant, &name.parse().unwrap(), &self.store).await.unwrap();
            let destination_made = of.map(|stored| stored.destination.made());
            let queued = Queued {
                message_id: id.to_owned(),
                received_at,
                user: user.map(ToOwned::to_owned),
                channel: channel.map(ToOwned::to_owned),
                tries: 0,
                replays: 0,
                blocking_since: None,
                filter_pending: self.filter_pending.get(),
                destination_made,
                failed_at: None,
                throttled_since: None,
            };
            let sort = model::queued_sort(received_at, &sequence);
            self.put(model::TABLE, model::item(&self.lane(name), sort, 1, &queued).unwrap()).await;
        }
    }

    pub(super) async fn put(&self, table: Table, item: Item) {
        self.store.put(table, item, Condition::None).await.unwrap();
    }

    pub(super) fn lane(&self, name: &str) -> String {
        model::partition(&self.tenant, &name.parse().unwrap())
    }

    /// Lane A itself, as somebody left it.
    pub(super) fn lane_item(&self, body: &str) -> Item {
        Item {
            partition: self.lane("A"),
            sort: model::LANE_SORT.to_owned(),
            version: 7,
            body: body.to_owned(),
        }
    }

    /// Has the worker work on lanes, all of which it does.
    pub(super) async fn deliver(&self, names: &[&str]) {
        self.deliver_with(&self.worker, names).await;
    }

    pub(super) async fn deliver_with<S: Store>(
        &self,
        worker: &DeliveryWorker<S, LocalQueue>,
        names: &[&str],
    ) {
        let left = worker.deliver(self.wakeups(names)).await.batch_item_failures;
        assert_eq!(left, []);
    }

    pub(super) fn wakeups(&self, names: &[&str]) -> SqsEvent {
        let wakeup = |name: &&str| {
            let wakeup = Wakeup { tenant: self.tenant.clone(), destination: name.parse().unwrap() };
            let body = serde_json::to_string(&wakeup).unwrap();
            SqsMessage { message_id: (*name).to_owned(), body, attributes: MessageAttributes::default() }
        };
        SqsEvent { records: names.iter().map(wakeup).collect() }
    }

    /// The rows of a lane with these sorts.
    pub(super) async fn rows(&self, name: &str, prefix: &str) -> Vec<Item> {
        let query = Query {
            partition: self.lane(name),
            prefix: prefix.to_owned(),
            after: None,
            descending: false,
            limit: 10_000,
        };
        self.store.query(model::TABLE, query).await.unwrap()
    }

    /// How the deliveries of a destination stand that were tried, in the order of their events.
    pub(super) async fn deliveries(&self, name: &str) -> Vec<Delivery> {
        let mut all = Vec::new();
        for status in Status::ALL {
            let rows = self.rows(name, status.prefix()).await;
            all.extend(rows.iter().map(|row| (row.sort[2..].to_owned(), model::body(row).unwrap())));
        }
        all.sort_by(|(one, _), (other, _): &(String, Delivery)| one.cmp(other));
        all.into_iter().map(|(_, delivery)| delivery).collect()
    }

    /// Whether the response of an event says that a destination has it.
    pub(super) async fn is_delivered(&self, id: &str, name: &str) -> bool {
        self.says(id, name).await == Some(true)
    }

    /// The entry of a destination in the response of an event; `None`: there is none.
    pub(super) async fn says(&self, id: &str, name: &str) -> Option<bool> {
        self.response(id).await.destinations.get(&name.parse().unwrap()).copied()
    }

    /// The response of an event.
    pub(super) async fn response(&self, id: &str) -> EventResponse {
        let partition = response::partition(&self.tenant, id);
        let item = self.store.get(response::TABLE, &partition, response::SORT).await.unwrap().unwrap();
        EventResponse::read(&item).unwrap()
    }

    pub(super) async fn quarantine(&self) -> Vec<Entry> {
        let (all, objects) = (Filter::default(), &self.context.objects);
        quarantine::list(&self.tenant, &all, None, 1_000, objects).await.unwrap().entries
    }

    /// The messages of a queue: the delay of each, in seconds, and its body.
    pub(super) fn messages(&self, queue: QueueName) -> Vec<(i64, String)> {
        let waiting = queues::oldest(&self.store.readers, queue.resource(), 1_000).unwrap();
        let delay = |it: &queues::Waiting| it.visible_at.duration_since(it.sent_at).as_secs();
        waiting.into_iter().map(|it| (delay(&it), it.body)).collect()
    }
}
