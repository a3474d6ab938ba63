//! Filters that are evaluated in the lane, because RouteEvents did not.

use delivery::{
    model::{self, Delivery},
    redrive::{self, Selection},
};
use destinations::destination::{Ordering, State};
use events::response;

use super::{
    fixture::Fixture,
    sink::{Reply, Sink},
};

/// Comes to no end.
const ENDLESS: &str = "($f := function() { $f() }; $f())";

async fn fixture(sink: &Sink, filter: &str, retry_delays: Vec<u32>) -> Fixture {
    let fixture = Fixture::new(&[sink]);
    fixture.filter_pending.set(true);
    fixture
        .destination("A", sink, |it| {
            it.filter = Some(filter.to_owned());
            it.retry_delays = retry_delays;
        })
        .await;
    fixture
}

async fn sink() -> Sink {
    Sink::start(|_, _| Reply::Status(200, "")).await
}

/// The entry of `A` in the response of an event: `true`, `false`, `false, undecided`, or none.
async fn says(fixture: &Fixture, id: &str) -> String {
    let says = fixture.says(id, "A").await;
    let is_undecided = fixture.response(id).await.undecided.contains(&"A".parse().unwrap());
    says.map_or_else(String::new, |says| says.to_string()) + if is_undecided { ", undecided" } else { "" }
}

/// How deliveries stand: `failed filter: it called $error`.
async fn summaries(fixture: &Fixture) -> Vec<String> {
    let stands = |delivery: Delivery| {
        let last = delivery.attempts.into_iter().next_back();
        let last = last.map(|last| last.message.or(last.status.map(|status| status.to_string())));
        let last = last.flatten().unwrap_or_default();
        format!("{} {}: {last}", delivery.status.name(), delivery.reason.unwrap_or_default())
    };
    fixture.deliveries("A").await.into_iter().map(stands).collect()
}

async fn redrive(fixture: &Fixture) -> usize {
    let selection = Selection {
        destination: fixture.found("A").await,
        since: None,
        failure: Some("filter".parse().unwrap()),
        limit: 100,
    };
    let replayed =
        redrive::redrive(&fixture.tenant, &selection, &fixture.store, &fixture.context.queue).await;
    replayed.unwrap().replayed
}

#[tokio::test]
async fn a_filtered_event_is_removed_from_the_lane() {
    let sink = sink().await;
    let fixture = fixture(&sink, "$contains(messageId, 'yes')", vec![]).await;
    for id in ["yes-1", "no-1", "no-2", "yes-2"] {
        fixture.event(id, None, None, &["A"]).await;
    }
    assert_eq!(says(&fixture, "no-1").await, "false, undecided");
    fixture.deliver(&["A"]).await;
    assert_eq!(summaries(&fixture).await, ["delivered : 200", "delivered : 200"]);
    for (id, expected) in [("yes-1", "true"), ("no-1", ""), ("no-2", ""), ("yes-2", "true")] {
        assert_eq!(says(&fixture, id).await, expected, "{id}");
    }
    assert_eq!((sink.requests().len(), fixture.rows("A", "q#").await.len()), (2, 0));
    assert_eq!(fixture.quarantine().await.len(), 0);
}

#[tokio::test]
async fn a_filter_that_fails_makes_a_replayable_failure() {
    let sink = sink().await;
    let fixture = fixture(&sink, "$number(messageId) > 1", vec![0; 7]).await;
    for id in ["m1", "2", "m3"] {
        fixture.event(id, None, None, &["A"]).await;
    }
    fixture.deliver(&["A"]).await;
    let failed = "failed filter: $number was given something that is no number";
    assert_eq!(summaries(&fixture).await, [failed, "delivered : 200", failed]);
    let kept = fixture.quarantine().await;
    assert_eq!(kept.len(), 2);
    let message = "was not taken by destination A: filter: $number was given something that is no number";
    assert_eq!(kept[0].faults[0].message, message);
    assert_eq!(says(&fixture, "m1").await, "false, undecided");
    // It fails in the same way until somebody mends the filter, which wants one of the two.
    assert_eq!(redrive(&fixture).await, 2);
    fixture.deliver(&["A"]).await;
    assert_eq!(summaries(&fixture).await, [failed, "delivered : 200", failed]);
    fixture.change("A", |it| it.filter = Some("messageId = 'm1'".to_owned())).await;
    assert_eq!(redrive(&fixture).await, 2);
    fixture.deliver(&["A"]).await;
    assert_eq!(summaries(&fixture).await, ["delivered : 200", "delivered : 200"]);
    assert_eq!((says(&fixture, "m1").await, says(&fixture, "m3").await), ("true".to_owned(), String::new()));
    assert_eq!(redrive(&fixture).await, 0);
    for prefix in ["q#", "p#", "f#"] {
        assert_eq!(fixture.rows("A", prefix).await, [], "{prefix}");
    }
    assert_eq!(sink.ids(), ["2", "m1"]);
}

#[tokio::test]
async fn a_slow_filter_is_retried_on_the_schedule() {
    let sink = sink().await;
    let fixture = fixture(&sink, ENDLESS, vec![0, 0, 0, 0, 0]).await;
    fixture.event("m1", None, None, &["A"]).await;
    fixture.deliver(&["A"]).await;
    assert_eq!(summaries(&fixture).await, ["failed filter: it took longer than 1 s"]);
    assert_eq!(fixture.deliveries("A").await[0].attempts.len(), 4);
    // A destination that wants one try has one.
    fixture.change("A", |it| it.retry_delays = Vec::new()).await;
    fixture.event("m2", None, None, &["A"]).await;
    fixture.deliver(&["A"]).await;
    assert_eq!(fixture.deliveries("A").await[1].attempts.len(), 1);
    assert_eq!(sink.requests().len(), 0);
}

#[tokio::test]
async fn evaluations_use_up_no_tries_of_the_call() {
    let sink = Sink::start(|_, before| Reply::Status(if before < 2 { 503 } else { 200 }, "")).await;
    let fixture = fixture(&sink, ENDLESS, vec![0, 3_600]).await;
    fixture.event("m1", None, None, &["A"]).await;
    fixture.deliver(&["A"]).await;
    assert_eq!(summaries(&fixture).await, ["pending : it took longer than 1 s"]);
    fixture.change("A", |it| (it.filter, it.retry_delays) = (Some("true".to_owned()), vec![0, 0])).await;
    fixture.advance(4_000);
    fixture.deliver(&["A"]).await;
    assert_eq!(summaries(&fixture).await, ["delivered : 200"]);
    assert_eq!(fixture.deliveries("A").await[0].attempts.len(), 5);
}

/// The filter that let it through counts, and not what it says at a later try.
#[tokio::test]
async fn an_event_that_was_let_through_stays_wanted() {
    let sink = Sink::start(|_, before| Reply::Status(if before == 0 { 503 } else { 200 }, "")).await;
    let fixture = fixture(&sink, "true", vec![3_600]).await;
    fixture.event("m1", None, None, &["A"]).await;
    fixture.deliver(&["A"]).await;
    assert_eq!(summaries(&fixture).await, ["pending : 503"]);
    fixture.change("A", |it| it.filter = Some("false".to_owned())).await;
    fixture.advance(4_000);
    fixture.deliver(&["A"]).await;
    assert_eq!(
        (summaries(&fixture).await, says(&fixture, "m1").await),
        (vec!["delivered : 200".to_owned()], "true".to_owned())
    );
}

#[tokio::test]
async fn refused_events_do_not_use_up_the_rate_limit() {
    let sink = sink().await;
    let fixture = fixture(&sink, "messageId = 'last'", vec![]).await;
    fixture.change("A", |it| it.rate_limit = Some(1)).await;
    for number in 0..100 {
        fixture.event(&format!("m{number}"), None, None, &["A"]).await;
    }
    fixture.deliver(&["A"]).await;
    let lane = fixture.rows("A", model::LANE_SORT).await.remove(0);
    assert!(!lane.body.contains("freeAt"), "{}", lane.body);
    fixture.event("last", None, None, &["A"]).await;
    fixture.deliver(&["A"]).await;
    assert_eq!((sink.ids(), fixture.rows("A", "q#").await.len()), (vec!["last".to_owned()], 0));
}

#[tokio::test]
async fn order_by_user_holds_for_undecided_events() {
    let sink = Sink::start(|request, before| {
        Reply::Status(if request.id() == "a-1" && before == 0 { 503 } else { 200 }, "")
    })
    .await;
    let fixture = fixture(&sink, "$contains(messageId, 'x') = false", vec![0; 7]).await;
    fixture.change("A", |it| it.ordering = Ordering::User).await;
    for number in 0..6 {
        for user in ["a", "b"] {
            let refused = if number % 2 == 0 { "x" } else { "" };
            fixture.event(&format!("{user}-{refused}{number}"), Some(user), None, &["A"]).await;
        }
        // Those that are decided go between the others.
        fixture.filter_pending.set(number % 3 != 1);
    }
    fixture.deliver(&["A"]).await;
    let calls = sink.ids();
    let of =
        |user: &str| calls.iter().filter(|id| id.starts_with(user)).map(|id| &id[2..]).collect::<Vec<_>>();
    // The third is decided.
    assert_eq!((of("a"), of("b")), (vec!["1", "1", "x2", "3", "5"], vec!["1", "x2", "3", "5"]));
}

#[tokio::test]
async fn undecided_events_of_disabled_ones_are_replayed() {
    let sink = sink().await;
    let fixture = fixture(&sink, "messageId = 'm1'", vec![]).await;
    fixture.change("A", |it| it.state = State::Disabled).await;
    fixture.event("m1", None, None, &["A"]).await;
    fixture.event("m2", None, None, &["A"]).await;
    fixture.deliver(&["A"]).await;
    assert_eq!(summaries(&fixture).await, ["failed destination_disabled: ", "failed destination_disabled: "]);
    assert_eq!(fixture.quarantine().await.len(), 2);
    fixture.change("A", |it| it.state = State::Active).await;
    let selection = Selection {
        destination: fixture.found("A").await,
        since: None,
        failure: Some("destination_disabled".parse().unwrap()),
        limit: 100,
    };
    let replayed =
        redrive::redrive(&fixture.tenant, &selection, &fixture.store, &fixture.context.queue).await.unwrap();
    assert_eq!(replayed.replayed, 2);
    fixture.deliver(&["A"]).await;
    assert_eq!(
        (summaries(&fixture).await, sink.ids()),
        (vec!["delivered : 200".to_owned()], vec!["m1".to_owned()])
    );
    assert_eq!(says(&fixture, "m2").await, "");
}

/// A crash between the response and the row: the row leads to the same end, whatever the filter says by then.
#[tokio::test]
async fn what_was_refused_before_a_crash_stays_refused() {
    let sink = sink().await;
    let fixture = fixture(&sink, "true", vec![]).await;
    fixture.event("m1", None, None, &["A"]).await;
    let mut left = fixture.response("m1").await;
    left.leave_out(&"A".parse().unwrap());
    fixture.put(response::TABLE, left.item(&fixture.tenant, 2).unwrap()).await;
    fixture.deliver(&["A"]).await;
    assert_eq!(
        (sink.requests().len(), fixture.rows("A", "").await.len()),
        (0, 1),
        "nothing but the lane itself"
    );
    assert_eq!(says(&fixture, "m1").await, "");
}
