//! The contract of events, on every store (feature `contract`): a step that runs twice has the result of one run, and
//! another attempt at a request has the result of the first.

#![expect(clippy::panic, reason = "a broken promise ends the test that asks for it")]

mod flow;

use serde_json::{Value, json};

use delivery::{model, routes::Routes};
use events::event::{EventStatus, StoredEvent};
use flow::{Flow, ORDERING_DELAY, Sent, Until, done, sent};
use kernel::{
    objects::Objects,
    outcome::Outcome::{Conflict, Duplicate, Invalid, Routed},
    quarantine,
    queue::Queue,
    store::{Condition, Store, Table},
};

/// Checks stores that are empty.
///
/// # Panics
///
/// If an event has another result than it should have.
pub async fn event_contract(store: impl Store, objects: Objects, queue: impl Queue) {
    let flow = |tenant: &str| Flow {
        store: store.clone(),
        objects: objects.clone(),
        queue: queue.clone(),
        routes: Routes::default(),
        tenant: done(tenant.parse()),
    };
    an_id_belongs_to_its_event(flow("ids")).await;
    an_id_is_free_after_a_week(flow("week")).await;
    an_invalid_event_frees_its_id(flow("invalid")).await;
    conflicts_are_noted(flow("conflicts")).await;
    a_resend_is_no_conflict(flow("resends")).await;
    another_attempt_has_the_first_result(flow("tries")).await;
    undecided_events_stay_undecided(flow("undecided")).await;
    destinations_of_one_name_are_distinguished(flow("ways")).await;
    ordered_events_wait_for_earlier_ones(flow("order")).await;
    unstorable_payloads_are_stored_as_text(flow("text")).await;
}

const ORDER: &str = r#""event":"Order Placed""#;
const VISIT: &str = r#""event":"Visit","metadata":{"preferredChannel":"sms"}"#;
const NAMELESS: &str = r#""metadata":{}"#;

async fn an_id_belongs_to_its_event<S: Store, Q: Queue>(flow: Flow<S, Q>) {
    flow.destination("all", json!({})).await;
    let request =
        [sent(1, 0, "a", ORDER), sent(1, 1, "a", ORDER), sent(1, 2, "a", VISIT), sent(1, 3, "b", VISIT)];
    let outcomes = [Routed, Duplicate, Conflict, Routed];
    flow.check(&request, &outcomes).await;
    // Another attempt at the request has the same result, also together with others.
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
    assert_eq!(kept, [(request[0].provenance().id, 2, Some("a")), (more[0].provenance().id, 1, Some("b"))]);
}

async fn an_id_is_free_after_a_week<S: Store, Q: Queue>(flow: Flow<S, Q>) {
    flow.destination("all", json!({})).await;
    let on = |day, request, content| [Sent { day, ..sent(request, 0, "a", content) }];
    flow.check(&on(0, 1, ORDER), &[Routed]).await;
    flow.check(&on(7, 2, ORDER), &[Duplicate]).await;
    flow.check(&on(7, 3, VISIT), &[Conflict]).await;
    // Not while it is in delivery: a delivery sends the event that is stored under the id.
    flow.check(&on(8, 5, VISIT), &[Conflict]).await;
    flow.check(&on(8, 6, ORDER), &[Duplicate]).await;
    flow.delivered("a").await;
    flow.check(&on(8, 4, VISIT), &[Routed]).await;
    flow.check(&on(8, 4, VISIT), &[Routed]).await;
    let [newest] = on(8, 4, VISIT);
    assert_eq!(flow.stored("a").await.sequence, newest.provenance().sequence());
    assert_eq!(
        flow.response("a").await.map(|response| response.sequence),
        Some(newest.provenance().sequence())
    );
}

async fn an_invalid_event_frees_its_id<S: Store, Q: Queue>(flow: Flow<S, Q>) {
    flow.check(&[sent(1, 0, "a", NAMELESS), sent(1, 1, "a", NAMELESS)], &[Invalid, Invalid]).await;
    let stored = flow.stored("a").await;
    assert_eq!(
        (stored.outcome, stored.sequence),
        (EventStatus::Invalid, sent(1, 1, "a", "").provenance().sequence())
    );
    assert_eq!(stored.faults.iter().map(|fault| &*fault.pointer).collect::<Vec<_>>(), ["/event"]);
    flow.check(&[sent(2, 0, "a", ORDER)], &[Routed]).await;
    // A valid event stays, whichever attempts follow.
    flow.check(&[sent(1, 0, "a", NAMELESS), sent(3, 0, "a", NAMELESS)], &[Invalid, Invalid]).await;
    let stored = flow.stored("a").await;
    assert_eq!((stored.outcome, stored.event_name.as_deref()), (EventStatus::Stored, Some("Order Placed")));
}

async fn conflicts_are_noted<S: Store, Q: Queue>(flow: Flow<S, Q>) {
    flow.check(&[sent(1, 0, "a", ORDER)], &[Routed]).await;
    let others: Vec<Sent> = (0..7).map(|index| Sent { index, ..sent(2, 0, "a", VISIT) }).collect();
    // All of them are one event, which arrived seven times.
    flow.check(&others, &[&[Conflict][..], &[Duplicate; 6]].concat()).await;
    let first = others[0].provenance().sequence();
    assert_eq!(flow.stored("a").await.conflicts, [first]);
    for request in 3..20 {
        flow.check(&[sent(request, 0, "a", VISIT)], &[Conflict]).await;
    }
    let conflicts = flow.stored("a").await.conflicts;
    let expected: Vec<String> =
        (10..20).map(|request| sent(request, 0, "a", VISIT).provenance().sequence()).collect();
    assert_eq!(conflicts, expected);
}

/// A retry of a browser, whose first attempt arrived: also if an earlier rule of content stored the first one.
async fn a_resend_is_no_conflict<S: Store, Q: Queue>(flow: Flow<S, Q>) {
    const FIRST: &str = r#""event":"Visit","_metadata":{"bundled":[]},"sentAt":"2026-01-01T00:00:01Z""#;
    const RESENT: &str = r#""event":"Visit","_metadata":{"retryCount":2},"sentAt":"2026-01-01T00:00:09Z""#;
    flow.check(&[sent(1, 0, "a", FIRST)], &[Routed]).await;
    flow.check(&[sent(2, 0, "a", RESENT), sent(2, 1, "a", ORDER)], &[Duplicate, Conflict]).await;
    flow.check(&[sent(3, 0, "b", FIRST), sent(3, 1, "b", RESENT)], &[Routed, Duplicate]).await;
    let stored = StoredEvent { hash: "0".repeat(32), ..flow.stored("b").await };
    let item = done(stored.item(&flow.tenant, 2));
    done(flow.store.put(Table::Events, item, Condition::None).await);
    flow.check(&[sent(4, 0, "b", RESENT), sent(4, 1, "b", ORDER)], &[Duplicate, Conflict]).await;
}

async fn another_attempt_has_the_first_result<S: Store, Q: Queue>(flow: Flow<S, Q>) {
    flow.destination("first", json!({})).await;
    let request = [sent(1, 0, "a", ORDER), sent(1, 1, "b", ORDER)];
    flow.run(&request[..1], Until::Stored).await;
    assert_eq!(flow.lane("first").await.len(), 0);
    assert!(flow.response("a").await.is_none(), "it is not routed yet");
    flow.run(&request[..1], Until::Routed).await;
    flow.destination("second", json!({})).await;
    flow.check(&request, &[Routed, Routed]).await;
    assert_eq!(flow.lane("first").await.len(), 2);
    assert_eq!(flow.lane("second").await, [json!(["b", null, null])]);
    // A delivery that its lane has attempted is not queued again.
    let lane = model::partition(&flow.tenant, &done("second".parse()));
    let sequence = request[1].provenance().sequence();
    let tried = done(model::item(&lane, model::Status::Pending.sort(&sequence), 1, &json!({})));
    done(flow.store.put(model::TABLE, tried, Condition::None).await);
    let queued = model::queued_sort(request[1].received_at(), &sequence);
    done(flow.store.delete(model::TABLE, &lane, &queued).await);
    flow.check(&request, &[Routed, Routed]).await;
    assert_eq!(flow.lane("second").await.len(), 0);
}

/// The delivery worker evaluates the filter, even if that has changed by then.
async fn undecided_events_stay_undecided<S: Store, Q: Queue>(flow: Flow<S, Q>) {
    flow.destination("broken", json!({ "filter": "$number(event) > 1" })).await;
    let request = [sent(1, 0, "a", ORDER)];
    flow.run(&request, Until::Routed).await;
    assert_eq!(flow.undecided("broken").await, ["a"]);
    let lane = model::partition(&flow.tenant, &done("broken".parse()));
    let sort = model::queued_sort(request[0].received_at(), &request[0].provenance().sequence());
    done(flow.store.delete(model::TABLE, &lane, &sort).await);
    flow.change("broken", json!({ "filter": "true" })).await;
    flow.check(&request, &[Routed]).await;
    assert_eq!(flow.undecided("broken").await, ["a"]);
}

async fn destinations_of_one_name_are_distinguished<S: Store, Q: Queue>(flow: Flow<S, Q>) {
    flow.check(&[sent(1, 0, "nowhere", ORDER)], &[Routed]).await;
    flow.destination("orders", json!({ "events": ["Order Placed", "Other"], "ordering": "user" })).await;
    flow.destination("mails", json!({ "Type": "CDP" })).await;
    flow.destination("filtered", json!({ "filter": "metadata.preferredChannel = 'sms'" })).await;
    flow.destination("broken", json!({ "filter": "$number(event) > 1", "events": ["Visit"] })).await;
    flow.destination("paused", json!({ "state": "paused", "events": ["Visit"] })).await;
    let disabled = json!({ "state": "disabled", "filter": "metadata.preferredChannel = 'sms'" });
    flow.destination("disabled", disabled).await;
    flow.check(&[sent(2, 0, "order", ORDER), sent(2, 1, "visit", VISIT)], &[Routed, Routed]).await;
    assert_eq!(flow.lane("orders").await, [json!(["order", "ann", null])]);
    assert_eq!(flow.lane("mails").await, [json!(["order", null, null]), json!(["visit", null, "sms"])]);
    for (name, ids) in [("filtered", ["visit"].as_slice()), ("paused", &["visit"]), ("disabled", &["visit"])]
    {
        let rows: Vec<Value> = ids.iter().map(|id| json!([id, null, null])).collect();
        assert_eq!(flow.lane(name).await, rows, "{name}");
    }
    // The delivery worker reports the fault of its filter.
    assert_eq!(flow.undecided("broken").await, ["visit"]);
    let visit = flow.response("visit").await.unwrap_or_else(|| panic!("there is no response"));
    assert_eq!(json!(visit.undecided), json!(["broken"]));
    assert_eq!(
        json!(visit.destinations),
        json!({ "broken": false, "disabled": false, "filtered": false, "mails": false, "paused": false })
    );
    let response = flow.response("order").await.unwrap_or_else(|| panic!("there is no response"));
    assert_eq!(json!(response.destinations), json!({ "mails": false, "orders": false }));
    assert_eq!(json!(response.response_body)["event"], "Order Placed");
    let nowhere = flow.response("nowhere").await.unwrap_or_else(|| panic!("it is not routed"));
    assert_eq!((nowhere.response_body.get(), nowhere.destinations.len()), ("null", 0));
}

async fn ordered_events_wait_for_earlier_ones<S: Store, Q: Queue>(flow: Flow<S, Q>) {
    flow.destination("ordered", json!({ "ordering": "user" })).await;
    flow.destination("other", json!({})).await;
    // The queue delivers them in reverse order.
    for (request, id) in [(2, "m2"), (1, "m1")] {
        flow.check(&[sent(request, 0, id, ORDER)], &[Routed]).await;
    }
    let accepted = sent(1, 0, "m1", ORDER).received_at();
    for (name, user, due) in
        [("ordered", json!("ann"), accepted + ORDERING_DELAY), ("other", json!(null), accepted)]
    {
        let expected = [(due, json!(["m1", user, null])), (due, json!(["m2", user, null]))];
        assert_eq!(flow.rows(name).await, expected, "{name}");
    }
}

async fn unstorable_payloads_are_stored_as_text<S: Store, Q: Queue>(flow: Flow<S, Q>) {
    flow.destination("all", json!({})).await;
    let huge =
        sent(1, 0, "a", r#""event":"e","metadata":{"":1,"n":1234567890123456789012345678901234567890}"#);
    flow.check(&[huge], &[Routed]).await;
    let response = flow.response("a").await.unwrap_or_else(|| panic!("there is no response"));
    assert_eq!(json!(response.response_body), json!(huge.record()));
    assert_eq!(flow.stored("a").await.payload, Some(huge.record()));
}
