//! The contract of every store, as one suite; it runs on DynamoDB and on SQLite (feature `contract`).

#![expect(clippy::panic, reason = "a broken promise ends the test that asks for it")]

use futures::future::join_all;
use serde_json::Value;

use crate::store::{Condition, Item, Query, Store, Table, Written};

/// Checks a store whose tables are empty.
///
/// # Panics
///
/// If the store breaks the promise of the trait.
pub async fn store_contract(store: impl Store) {
    an_unwritten_item_is_absent(&store).await;
    puts_are_read_back(&store).await;
    conditions_decide_puts(&store).await;
    tables_and_partitions_are_separate(&store).await;
    ranges_are_read_in_order(&store).await;
    ranges_begin_after_an_item(&store).await;
    items_are_returned_in_the_order_of_keys(&store).await;
    each_put_has_its_condition(&store).await;
    puts_of_one_key_happen_in_order(&store).await;
    thousands_are_put_at_once(&store).await;
    one_of_64_wins(&store).await;
    twice_is_once(&store).await;
    a_counter_only_rises(&store).await;
}

fn item(partition: &str, sort: &str, version: u64, body: &str) -> Item {
    Item { partition: partition.into(), sort: sort.into(), version, body: body.into() }
}

fn json(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|_| panic!("a body is JSON: {body}"))
}

/// Items are equal if their bodies have equal content: a store may reorder the fields.
#[track_caller]
fn check(got: Option<&Item>, want: Option<&Item>) {
    let comparable =
        |item: &Item| (item.partition.clone(), item.sort.clone(), item.version, json(&item.body));
    assert_eq!(got.map(comparable), want.map(comparable));
}

#[track_caller]
fn done<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("the store failed: {error:?}"))
}

async fn a_counter_only_rises(store: &impl Store) {
    let raise = async |sort: &str, least| done(store.raise(Table::Claims, "counters", sort, least).await);
    for (least, given) in
        [(7, 7), (7, 8), (3, 9), (0, 10), (1_796_000_000_000, 1_796_000_000_000), (10, 1_796_000_000_001)]
    {
        assert_eq!(raise("a", least).await, given);
    }
    assert_eq!(raise("b", 5).await, 5);
    let mut given = join_all((0..64).map(|at| raise("c", at % 4))).await;
    given.sort_unstable();
    given.dedup();
    assert_eq!(given.len(), 64, "each is given once");
    assert!(raise("c", 0).await > given[63]);
}

async fn an_unwritten_item_is_absent(store: &impl Store) {
    check(done(store.get(Table::OptIns, "none", "a").await).as_ref(), None);
    done(store.delete(Table::OptIns, "none", "a").await);
    assert_eq!(done(store.get_all(Table::OptIns, vec![]).await), vec![]);
    assert_eq!(done(store.put_all(Table::OptIns, vec![]).await), vec![]);
    assert_eq!(keys(store, "none", &range("")).await, Vec::<String>::new());
}

async fn puts_are_read_back(store: &impl Store) {
    let bodies = [
        "{}",
        r#"{"name":"Ann","optIn":true,"interests":["a","b"],"index":17}"#,
        r#"{"empty":"","list":[],"nested":{"a":{"b":[null,false,{"c":""}]}}}"#,
        r#"{"largest":18446744073709551615,"smallest":-9223372036854775808,"zero":0,"half":0.5}"#,
        r#"{"digits":"123456789012345678901234567890.123456789"}"#,
        "{\"Zoë\":\"Ünïcödé 😀 𝒳 e\\u0301 \\u0000 \\\" \\\\ \\n\\r\\t \\u2028\"}",
        r#"{"extra":"{\"a\":1e999,\"b\":\"}\"}"}"#,
    ];
    for (at, body) in (1..).zip(&bodies) {
        for sort in ["x", "ann@example.com", "jürgen@xn--bcher-kva.example", "a#0000000001", " ~!'\"%_\\"] {
            let put = item("bodies/ü 😀", sort, at, body);
            let written = done(store.put(Table::OptIns, put.clone(), Condition::None).await);
            assert_eq!(written, Written::Done);
            let got = done(store.get(Table::OptIns, "bodies/ü 😀", sort).await);
            check(got.as_ref(), Some(&put));
        }
    }
    done(store.delete(Table::OptIns, "bodies/ü 😀", "x").await);
    check(done(store.get(Table::OptIns, "bodies/ü 😀", "x").await).as_ref(), None);
}

async fn conditions_decide_puts(store: &impl Store) {
    let [one, two] = [item("c", "a", 1, r#"{"n":1}"#), item("c", "a", 2, r#"{"n":2}"#)];
    let put = async |item: &Item, condition| done(store.put(Table::Claims, item.clone(), condition).await);
    assert_eq!(put(&one, Condition::Version(1)).await, Written::Conflict(None));
    assert_eq!(put(&one, Condition::Absent).await, Written::Done);
    conflict(put(&two, Condition::Absent).await, &one);
    conflict(put(&two, Condition::Version(2)).await, &one);
    assert_eq!(put(&two, Condition::Version(1)).await, Written::Done);
    conflict(put(&two, Condition::Version(1)).await, &two);
    let largest = item("c", "a", u64::MAX, "{}");
    assert_eq!(put(&largest, Condition::None).await, Written::Done);
    assert_eq!(put(&two, Condition::Version(u64::MAX)).await, Written::Done);
    done(store.delete(Table::Claims, "c", "a").await);
    assert_eq!(put(&one, Condition::Version(2)).await, Written::Conflict(None));
    assert_eq!(put(&one, Condition::Absent).await, Written::Done);
}

#[track_caller]
fn conflict(written: Written, stored: &Item) {
    match written {
        Written::Conflict(Some(item)) => check(Some(&item), Some(stored)),
        other => panic!("expected the stored item, got {other:?}"),
    }
}

async fn tables_and_partitions_are_separate(store: &impl Store) {
    for table in Table::ALL {
        for partition in ["apart", "Apart", "apart "] {
            let body = format!(r#"{{"table":"{}","partition ":"{partition}"}}"#, table.name());
            done(store.put(table, item(partition, "k", 1, &body), Condition::Absent).await);
        }
    }
    for table in Table::ALL {
        for partition in ["apart", "Apart", "apart "] {
            let got = done(store.get(table, partition, "k").await);
            let body = got.map(|item| json(&item.body)).unwrap_or_default();
            assert_eq!((&body["table"], &body["partition "]), (&table.name().into(), &partition.into()));
            assert_eq!(
                done(store.query(table, Query { partition: partition.into(), ..range("") }).await).len(),
                1
            );
        }
    }
}

fn range(prefix: &str) -> Query {
    Query { partition: String::new(), prefix: prefix.into(), after: None, descending: false, limit: 100 }
}

async fn keys(store: &impl Store, partition: &str, query: &Query) -> Vec<String> {
    let query = Query { partition: partition.into(), ..query.clone() };
    let items = done(store.query(Table::Consents, query).await);
    items.into_iter().map(|item| item.sort).collect()
}

/// In the order of their bytes, which is not that of any language.
const SORTED: [&str; 8] = ["A", "a", "a#1", "a#2", "a#2x", "aa", "b", "é"];

async fn ranges_are_read_in_order(store: &impl Store) {
    for sort in SORTED {
        done(store.put(Table::Consents, item("r", sort, 1, "{}"), Condition::None).await);
    }
    let backwards = |query: Query| Query { descending: true, ..query };
    assert_eq!(keys(store, "r", &range("")).await, SORTED);
    let mut reversed = SORTED;
    reversed.reverse();
    assert_eq!(keys(store, "r", &backwards(range(""))).await, reversed);
    assert_eq!(keys(store, "r", &range("a#")).await, ["a#1", "a#2", "a#2x"]);
    assert_eq!(keys(store, "r", &backwards(range("a#"))).await, ["a#2x", "a#2", "a#1"]);
    assert_eq!(keys(store, "r", &range("é")).await, ["é"]);
    assert!(keys(store, "r", &range("%")).await.is_empty());
    assert!(keys(store, "r", &range("_")).await.is_empty());
    for limit in 0..=9 {
        let first = keys(store, "r", &Query { limit, ..range("") }).await;
        assert_eq!(first, SORTED[..limit.min(8)]);
        let last = keys(store, "r", &Query { limit, ..backwards(range("")) }).await;
        assert_eq!(last, reversed[..limit.min(8)]);
        let counted = Query { partition: "r".into(), limit, ..range("") };
        assert_eq!(done(store.count(Table::Consents, counted).await), limit.min(8));
    }
    for (prefix, after, expected) in [("a#", None, 3), ("a#", Some("a#1"), 2), ("é", None, 1), ("%", None, 0)]
    {
        let after = after.map(str::to_owned);
        let counted = Query { partition: "r".into(), after, ..range(prefix) };
        assert_eq!(done(store.count(Table::Consents, counted).await), expected, "{prefix}");
    }
}

async fn ranges_begin_after_an_item(store: &impl Store) {
    let cases: [(&str, &str, bool, &[&str]); 12] = [
        ("", "a#2x", false, &["aa", "b", "é"]),
        ("", "a#2x", true, &["a#2", "a#1", "a", "A"]),
        ("", "a#15", false, &["a#2", "a#2x", "aa", "b", "é"]),
        ("", "é", false, &[]),
        ("", "A", true, &[]),
        ("a#", "a#1", false, &["a#2", "a#2x"]),
        ("a#", "a#2", true, &["a#1"]),
        ("a#", "A", false, &["a#1", "a#2", "a#2x"]),
        ("a#", "b", false, &[]),
        ("a#", "b", true, &["a#2x", "a#2", "a#1"]),
        ("a#", "A", true, &[]),
        ("", "", false, &SORTED),
    ];
    for (prefix, after, descending, want) in cases {
        let query = Query { after: Some(after.into()), descending, ..range(prefix) };
        assert_eq!(
            keys(store, "r", &query).await,
            want,
            "{prefix:?} behind {after:?}, descending: {descending}"
        );
    }
}

async fn items_are_returned_in_the_order_of_keys(store: &impl Store) {
    let put =
        |at: u64| (item("many", &format!("{at:04}"), at, &format!(r#"{{"at":{at}}}"#)), Condition::None);
    done(store.put_all(Table::OptIns, (0..260).map(put).collect()).await);
    let asked: Vec<u64> = (0..300).rev().chain([7, 7, 299]).collect();
    let wanted = asked.iter().map(|at| ("many".to_owned(), format!("{at:04}"))).collect();
    let got = done(store.get_all(Table::OptIns, wanted).await);
    assert_eq!(got.len(), asked.len());
    for (at, got) in asked.into_iter().zip(&got) {
        check(got.as_ref(), (at < 260).then(|| put(at).0).as_ref());
    }
}

async fn each_put_has_its_condition(store: &impl Store) {
    let known = item("each", "known", 3, r#"{"old":true}"#);
    done(store.put(Table::OptIns, known.clone(), Condition::None).await);
    let new = |sort: &str| item("each", sort, 4, "{}");
    let puts = vec![
        (new("a"), Condition::Absent),
        (new("known"), Condition::Absent),
        (new("b"), Condition::Version(1)),
        (new("c"), Condition::None),
        (new("known"), Condition::Version(3)),
    ];
    let mut written = done(store.put_all(Table::OptIns, puts).await).into_iter();
    let mut next = || written.next().unwrap_or(Written::Conflict(None));
    assert_eq!(next(), Written::Done);
    conflict(next(), &known);
    assert_eq!(next(), Written::Conflict(None));
    assert_eq!(next(), Written::Done);
    assert_eq!(next(), Written::Done);
    check(done(store.get(Table::OptIns, "each", "known").await).as_ref(), Some(&new("known")));
}

async fn puts_of_one_key_happen_in_order(store: &impl Store) {
    let put = |version| item("order", "one", version, "{}");
    let puts = vec![
        (put(1), Condition::None),
        (put(2), Condition::Version(1)),
        (put(3), Condition::Absent),
        (put(4), Condition::None),
    ];
    let written = done(store.put_all(Table::OptIns, puts).await);
    assert_eq!(written[..2], [Written::Done, Written::Done]);
    conflict(written[2].clone(), &put(2));
    check(done(store.get(Table::OptIns, "order", "one").await).as_ref(), Some(&put(4)));
}

/// More than any call of DynamoDB accepts or returns at once.
async fn thousands_are_put_at_once(store: &impl Store) {
    const COUNT: u64 = 3_000;
    let text = "x".repeat(600);
    let put = |at: u64, condition| {
        let body = format!(r#"{{"text":"{text}","at":{at}}}"#);
        (item("bulk", &format!("{at:06}"), 1, &body), condition)
    };
    for condition in [Condition::None, Condition::Version(1)] {
        let puts = (0..COUNT).map(|at| put(at, condition)).collect();
        let written = done(store.put_all(Table::Consents, puts).await);
        assert_eq!(written, vec![Written::Done; 3_000]);
    }
    let wanted = (0..COUNT).map(|at| ("bulk".to_owned(), format!("{at:06}"))).collect();
    let got = done(store.get_all(Table::Consents, wanted).await);
    assert_eq!(got.iter().flatten().count(), 3_000);
    check(got[2_999].as_ref(), Some(&put(2_999, Condition::None).0));
    let all = keys(store, "bulk", &Query { limit: 10_000, ..range("") }).await;
    assert_eq!((all.len(), all.is_sorted()), (3_000, true));
}

async fn one_of_64_wins(store: &impl Store) {
    let put = |at: u64| store.put(Table::Claims, item("race", "one", at, "{}"), Condition::Absent);
    let written: Vec<Written> = join_all((1..=64).map(put)).await.into_iter().map(done).collect();
    let stored = done(store.get(Table::Claims, "race", "one").await);
    let won = |written: &&Written| **written == Written::Done;
    assert_eq!(written.iter().filter(won).count(), 1);
    for lost in written.iter().filter(|written| !won(written)) {
        assert_eq!(*lost, Written::Conflict(stored.clone()));
    }
}

async fn twice_is_once(store: &impl Store) {
    let put = item("twice", "one", 1, r#"{"a":1}"#);
    for _ in 0..2 {
        done(store.put(Table::Claims, put.clone(), Condition::None).await);
        let query = Query { partition: "twice".into(), ..range("") };
        assert_eq!(done(store.query(Table::Claims, query).await).len(), 1);
    }
    for _ in 0..2 {
        done(store.delete(Table::Claims, "twice", "one").await);
        check(done(store.get(Table::Claims, "twice", "one").await).as_ref(), None);
    }
}
