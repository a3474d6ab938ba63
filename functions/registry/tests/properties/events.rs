//! The check of events has a result for every input. That result is the event: written and parsed again, it is the
//! same.

use events::event::{self, Event};
use jiff::Timestamp;
use kernel::{
    BatchId,
    provenance::{Provenance, Source},
};
use proptest::prelude::*;

use crate::quoted;

fn vias() -> impl Strategy<Value = Source> {
    prop::sample::select(vec![Source::Track, Source::Events, Source::Segment, Source::Crmflow])
}

fn names() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "userId",
        "user_id",
        "event",
        "event_type",
        "type",
        "timestamp",
        "occurredAt",
        "metadata",
        "properties",
        "traits",
        "context",
        "messageId",
        "event_id",
        "anonymousId",
        "name",
        "originalTimestamp",
        "sentAt",
        "x",
        "",
    ]);
    prop_oneof![9 => known.prop_map(ToOwned::to_owned), 1 => "\\PC{0,6}"]
}

fn values() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        "null",
        "true",
        "0",
        "-1.50",
        "1e400",
        "123456789012345678901234567890",
        "\"\"",
        "\"u\"",
        "\"track\"",
        "\"page\"",
        "\"\\u00e9\\n\"",
        "\"\\ud800\"",
        "\"2025-08-08T16:30:00Z\"",
        "\"-009999-01-02T01:59:59Z\"",
        "\"9999-12-30T22:00:00Z\"",
        "\"2025-08-08\"",
        "[]",
        "{}",
        "{\"a\" : 1.0, \"a\":[ 2 ]}",
    ]);
    prop_oneof![6 => odd.prop_map(ToOwned::to_owned), 1 => "\\PC{0,8}".prop_map(|text| quoted(&text))]
}

/// An object, mostly with all members that an event needs.
pub(crate) fn events() -> impl Strategy<Value = String> {
    let whole = r#""userId":"u","event":"e","type":"track","timestamp":"2025-08-08T16:30:00Z""#;
    let needed = prop::option::weighted(0.7, Just(whole.to_owned()));
    (needed, prop::collection::vec((names(), values()), 0..6)).prop_map(|(needed, more)| {
        let more = more.into_iter().map(|(name, value)| format!("{} : {value}", quoted(&name)));
        let members: Vec<String> = needed.into_iter().chain(more).collect();
        format!("{{ {} }}", members.join(" ,\n"))
    })
}

pub(crate) fn provenance(via: Source) -> Provenance {
    Provenance {
        id: BatchId::new(Timestamp::UNIX_EPOCH, 7),
        index: 3,
        message_id: "m".to_owned(),
        via,
        received_at: Timestamp::UNIX_EPOCH,
        sent_at: Some(Timestamp::MAX),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn an_event_is_written_and_read_again(record in events(), via in vias()) {
        let provenance = provenance(via);
        match event::check(&record, &provenance) {
            Ok(event) => {
                let text = serde_json::to_string(&event).unwrap();
                let again: Event<'_> = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(serde_json::to_string(&again).unwrap(), text);
                // Every parser of JSON can read an accepted event, except for numbers beyond a double.
                serde_json::from_str::<serde_json::Value>(&record.replace("1e400", "1e40")).unwrap();
            }
            Err(faults) => prop_assert!(!faults.is_empty()),
        }
    }

    #[test]
    fn no_text_panics(text in "[\\[\\]{}\",:\\\\tue0-9\n userIdn\u{e9}\u{1F600}]{0,60}", via in vias()) {
        let provenance = provenance(via);
        let _ = event::check(&text, &provenance);
        let _ = event::id_of(&text, via);
        let _ = event::content_hash(&text);
    }

    #[test]
    fn content_is_the_same_in_any_order(members in prop::collection::btree_map(names(), values(), 0..6)) {
        let written: Vec<String> =
            members.iter().map(|(name, value)| format!("{}:{value}", quoted(name))).collect();
        let there = format!("{{{}}}", written.join(","));
        let back: Vec<String> = written.into_iter().rev().collect();
        let back = format!(" {{\t{} }}\n", back.join(" , "));
        prop_assert_eq!(event::content_hash(&there), event::content_hash(&back));
    }
}
