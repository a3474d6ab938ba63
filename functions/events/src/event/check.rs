//! The check that makes an event of a record, for every ingest endpoint.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use xxhash_rust::xxh3::xxh3_128;

use super::{
    Call, Event, MAX_EVENT_BYTES,
    fields::{self, Field, Fields},
    reading::{self, Reading},
};
use kernel::{
    fault::{Fault, rule},
    json, json_text,
    provenance::{Provenance, Source},
};

/// Checks one record: the event, or all of its faults.
///
/// At `POST /track` and `POST /events` an event has a user, a name and a time (S0-003 to S0-006, S3-002). In Segment's
/// format it has a type and a user, known or anonymous; its time is by a client's clock that is corrected.
pub fn check<'a>(record: &'a str, provenance: &'a Provenance) -> Result<Event<'a>, Vec<Fault>> {
    if let Some(fault) = shape_fault(record) {
        return Err(vec![fault]);
    }
    let mut reading = Reading::new(Fields::read(record, provenance.via).map_err(|fault| vec![fault])?);
    let call = call(&mut reading, provenance.via);
    let event = name(&mut reading, provenance.via, call);
    let (user_id, anonymous_id) = ids(&mut reading, provenance.via);
    let timestamp = event_time(&mut reading, provenance);
    let metadata = reading.object(Field::Metadata);
    let traits = reading.object(Field::Traits);
    let context = reading.object(Field::Context);
    reading.message_id();
    match (call, event, timestamp) {
        (Some(call), Some(event), Some(timestamp)) if reading.faults.is_empty() => Ok(Event {
            message_id: Cow::Borrowed(&provenance.message_id),
            call,
            event,
            user_id,
            anonymous_id,
            timestamp,
            received_at: provenance.received_at,
            metadata,
            traits,
            context,
            extra: extra(reading.fields.extra).map_err(|fault| vec![fault])?,
        }),
        _ => Err(reading.faults),
    }
}

/// The hash of a record's content: 32 hexadecimal digits. It is equal for two records that differ only in order, white
/// space, escapes, the id, or the marks of a resend. Stored events contain it: if it changes, [`crate::dedup`] compares
/// the received texts.
pub fn content_hash(record: &str) -> String {
    let content = json_text::canonical(record, |parent, name| match parent {
        None => fields::is_of_id(name) || is_of_resend(name),
        Some(parent) => parent == "context" && is_of_resend(name),
    });
    format!("{:032x}", xxh3_128(&content))
}

/// Whether a member belongs to the sending and not to the event: SDKs write it anew each time they send the same event.
fn is_of_resend(name: &str) -> bool {
    matches!(
        name,
        "_metadata"
            | "sentAt"
            | "sent_at"
            | "receivedAt"
            | "received_at"
            | "originalTimestamp"
            | "original_timestamp"
            | "retryCount"
            | "retry_count"
    )
}

/// The id that a client assigned to its event, if it assigned a usable one.
pub fn id_of(record: &str, via: Source) -> Option<Cow<'_, str>> {
    let fields = Fields::read(record, via).ok()?;
    if fields.faults.iter().any(|fault| fields::is_of_id(fault.pointer.trim_start_matches('/'))) {
        return None;
    }
    reading::message_id_of(fields.get(Field::MessageId)?).ok()
}

/// The fault of a record that is not fit to be parsed.
fn shape_fault(record: &str) -> Option<Fault> {
    if record.len() > MAX_EVENT_BYTES {
        let message = format!("the event is larger than {} KiB", MAX_EVENT_BYTES / 1024);
        return Some(Fault::new("", rule::SIZE, message));
    }
    if json_text::nests_deeper(record.as_bytes(), json_text::MAX_DEPTH) {
        return Some(Fault::new(
            "",
            rule::DEPTH,
            format!("the event nests deeper than {}", json_text::MAX_DEPTH),
        ));
    }
    if json_text::may_hold_half_a_character(record.as_bytes())
        && let Err(error) = serde_json::from_str::<serde_json::Value>(record)
    {
        return Some(Fault::new("", rule::JSON, json::describe(&error)));
    }
    None
}

fn call(reading: &mut Reading<'_>, via: Source) -> Option<Call> {
    if via != Source::Segment {
        return Some(Call::Track);
    }
    let text = reading.required_text(Field::Type, "type")?;
    let call = Call::ALL.into_iter().find(|call| call.name() == text);
    if call.is_none() {
        let names = Call::ALL.map(Call::name).join(", ");
        reading.faults.push(Fault::new("/type", "enum", format!("must be one of {names}")));
    }
    call
}

/// The event's name. The name of Segment's other calls is that of their page or screen, if they have one.
fn name<'a>(reading: &mut Reading<'a>, via: Source, call: Option<Call>) -> Option<Cow<'a, str>> {
    let call = call?;
    if call != Call::Track {
        reading.fields.set_aside(Field::Event);
    }
    let is_page = matches!(call, Call::Page | Call::Screen);
    if via == Source::Segment && !is_page {
        reading.fields.set_aside(Field::Name);
    }
    match call {
        Call::Track => reading.required_text(Field::Event, "event"),
        Call::Page | Call::Screen => {
            Some(reading.loose_text(Field::Name).unwrap_or(Cow::Borrowed(call.name())))
        }
        Call::Identify | Call::Group | Call::Alias => Some(Cow::Borrowed(call.name())),
    }
}

fn ids<'a>(reading: &mut Reading<'a>, via: Source) -> (Option<Cow<'a, str>>, Option<Cow<'a, str>>) {
    match via {
        Source::Track | Source::Events => {
            (reading.required_text(Field::UserId, "userId"), reading.text(Field::AnonymousId))
        }
        Source::Crmflow => (reading.text(Field::UserId), reading.text(Field::AnonymousId)),
        Source::Segment => {
            let known = reading.faults.len();
            let user = reading.loose_id(Field::UserId);
            let anonymous = reading.loose_id(Field::AnonymousId);
            if user.is_none() && anonymous.is_none() && reading.faults.len() == known {
                reading.missing("userId");
            }
            (user, anonymous)
        }
    }
}

/// When it happened.
fn event_time(reading: &mut Reading<'_>, provenance: &Provenance) -> Option<Timestamp> {
    match provenance.via {
        Source::Track | Source::Events => {
            if reading.fields.get(Field::Timestamp).is_none() {
                reading.missing("timestamp");
            }
            reading.time(Field::Timestamp)
        }
        Source::Crmflow => Some(reading.time(Field::Timestamp).unwrap_or(provenance.received_at)),
        Source::Segment => Some(segment_time(reading, provenance)),
    }
}

/// When it happened by Segment's rule. RudderStack's SDKs send both times if a caller chose one, and then `timestamp`
/// is the caller's. Another server that received the event before has corrected its time already.
fn segment_time(reading: &mut Reading<'_>, provenance: &Provenance) -> Timestamp {
    let timestamp = reading.time(Field::Timestamp);
    let original = reading.time(Field::OriginalTimestamp);
    let sent_at = reading.time(Field::SentAt).or(provenance.sent_at);
    let is_corrected = timestamp.is_some() && reading.fields.get(Field::ReceivedAt).is_some();
    for field in [Field::OriginalTimestamp, Field::SentAt, Field::ReceivedAt] {
        reading.fields.set_aside(field);
    }
    match (timestamp.or(original), sent_at) {
        (Some(said), Some(sent_at)) if !is_corrected => corrected(said, sent_at, provenance.received_at),
        (Some(said), _) => said,
        (None, _) => provenance.received_at,
    }
}

/// A client's time by the server's clock: the event happened as long before it arrived as it did, by the client's
/// clock, before it was sent.
fn corrected(said: Timestamp, sent_at: Timestamp, received_at: Timestamp) -> Timestamp {
    received_at.checked_sub(sent_at.duration_since(said)).unwrap_or(said)
}

/// The object of the unknown fields, with sorted names and unchanged values.
fn extra(mut fields: Vec<(Cow<'_, str>, &RawValue)>) -> Result<Option<Box<RawValue>>, Fault> {
    if fields.is_empty() {
        return Ok(None);
    }
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    let object = to_raw_value(&Extra(fields));
    object.map(Some).map_err(|error| Fault::new("", rule::JSON, json::describe(&error)))
}

struct Extra<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl Serialize for Extra<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// A provenance at 12:00:00Z.
    fn provenance(via: Source, sent_at: Option<&str>) -> Provenance {
        let received_at: Timestamp = "2025-08-08T12:00:00Z".parse().unwrap();
        Provenance {
            id: kernel::BatchId::new(received_at, 7),
            index: 0,
            message_id: "m1".to_owned(),
            via,
            received_at,
            sent_at: sent_at.map(|text| text.parse().unwrap()),
        }
    }

    fn faults(faults: &[Fault]) -> Vec<String> {
        faults.iter().map(|fault| format!("{} {}", fault.pointer, fault.rule)).collect()
    }

    /// One case of `cases.json`: the event has the members of `is` and no others except those that every event has; or
    /// it has `faults`, each as pointer and rule.
    #[track_caller]
    fn check(case: &Value) {
        let via = serde_json::from_value(case["via"].clone()).unwrap();
        let record = match &case["text"] {
            Value::String(text) => text.clone(),
            _ => case["record"].to_string(),
        };
        let provenance = provenance(via, case["sentAt"].as_str());
        let found = super::check(&record, &provenance);
        match case["faults"].as_array() {
            Some(expected) => {
                let expected: Vec<&str> = expected.iter().filter_map(Value::as_str).collect();
                assert_eq!(faults(&found.expect_err(&record)), expected, "{record}");
            }
            None => {
                let event = serde_json::to_value(found.expect(&record)).unwrap();
                let mut expected = case["is"].clone();
                expected["messageId"] = "m1".into();
                expected["receivedAt"] = "2025-08-08T12:00:00Z".into();
                assert_eq!(event, expected, "{record}");
            }
        }
    }

    #[test]
    fn cases_have_their_results() {
        let cases: Vec<Value> = serde_json::from_str(include_str!("cases.json")).unwrap();
        cases.iter().for_each(check);
    }

    #[test]
    fn limits_are_checked() {
        let own = provenance(Source::Events, None);
        let check = |metadata: &str, rule: Option<&str>| {
            let record = format!(
                r#"{{"userId":"u","event":"e","timestamp":"2025-01-01T00:00:00Z","metadata":{metadata}}}"#
            );
            let found = super::check(&record, &own).err().map(|found| faults(&found).join(","));
            assert_eq!(found, rule.map(|rule| format!(" {rule}")), "{} bytes", record.len());
        };
        let text = |length: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(length));
        check(&text(32_000), None);
        check(&text(33_000), Some("size"));
        let nested = |deep: usize| format!("{}{}", "{\"a\":".repeat(deep), "1") + &"}".repeat(deep);
        check(&nested(63), None);
        check(&nested(64), Some("depth"));
        check(&text(10).replace('x', "["), None);
        check(r#"{"half":"\ud83d"}"#, Some("json"));
        check(r#"{"whole":"\ud83d\ude00"}"#, None);
    }

    #[track_caller]
    fn check_id(via: Source, record: &str, id: Option<&str>) {
        assert_eq!(id_of(record, via).as_deref(), id, "{record}");
    }

    #[test]
    fn client_ids_are_read() {
        check_id(Source::Track, r#"{"messageId":"a"}"#, Some("a"));
        check_id(Source::Events, r#"{"event_id":"b","x":[1]}"#, Some("b"));
        check_id(Source::Segment, r#"{"event_id":"b"}"#, None);
        check_id(Source::Events, r#"{"eventId":"b","messageId":"b"}"#, Some("b"));
        check_id(Source::Events, r#"{"eventId":"b","messageId":"c"}"#, None);
        check_id(Source::Events, r#"{"messageId":"b","messageId":"b"}"#, None);
        check_id(Source::Segment, r#"{"messageId":null}"#, None);
        check_id(Source::Track, r#"{"messageId":1}"#, None);
        check_id(Source::Track, r#"{"messageId":" "}"#, None);
        check_id(Source::Track, r#"{"messageId":"a\nb"}"#, None);
        check_id(Source::Track, &format!(r#"{{"messageId":"{}"}}"#, "é".repeat(256)), Some(&"é".repeat(256)));
        check_id(Source::Track, &format!(r#"{{"messageId":"{}"}}"#, "a".repeat(257)), None);
        check_id(Source::Track, "[1]", None);
        check_id(Source::Track, "{", None);
    }

    #[track_caller]
    fn check_same(one: &str, other: &str, is_same: bool) {
        assert_eq!(content_hash(one) == content_hash(other), is_same, "{one} {other}");
    }

    #[test]
    fn content_ignores_order_ids_and_spelling() {
        let event = r#"{"userId":"u","metadata":{"a":1.0,"b":[1,2]},"messageId":"m","sentAt":"x"}"#;
        assert_eq!(content_hash(event), "203f348e3bf31ea06919d98bc61da0ce");
        check_same(event, r#"{ "metadata":{"b":[1, 2],"a":1.0}, "userId":"\u0075" }"#, true);
        check_same(
            event,
            r#"{"userId":"u","metadata":{"a":1.0,"b":[1,2]},"eventId":"other","sentAt":"y"}"#,
            true,
        );
        check_same(event, r#"{"userId":"u","metadata":{"a":1,"b":[1,2]}}"#, false);
        check_same(event, r#"{"userId":"u","metadata":{"a":1.0,"b":[2,1]}}"#, false);
        check_same(r#"{"a":{"sentAt":1}}"#, r#"{"a":{"sentAt":2}}"#, false);
        check_same(r#"{"metadata":{"retryCount":1}}"#, r#"{"metadata":{"retryCount":2}}"#, false);
    }

    #[test]
    fn marks_of_a_resend_are_no_content() {
        let event = r#"{"userId":"u","context":{"ip":"1"},"messageId":"m"}"#;
        for resent in [
            r#"{"userId":"u","context":{"ip":"1"},"_metadata":{"retryCount":2,"bundled":["a"]}}"#,
            r#"{"userId":"u","context":{"ip":"1","retryCount":3},"sentAt":null}"#,
            r#"{"userId":"u","context":{"retry_count":3,"ip":"1"},"sent_at":"x","received_at":"y"}"#,
            r#"{"userId":"u","context":{"ip":"1"},"receivedAt":"x","originalTimestamp":"y"}"#,
            r#"{"\u005fmetadata":1,"userId":"u","context":{"ip":"1","sentAt":"x"},"retry_count":1}"#,
        ] {
            check_same(event, resent, true);
        }
        check_same(event, r#"{"userId":"u","context":{"ip":"2"},"_metadata":{"retryCount":2}}"#, false);
    }
}
