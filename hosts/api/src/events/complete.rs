//! Completes an event of Segment's format with members of its request: the type from the path, and defaults of the batch.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::{RawValue, to_raw_value};

/// The member that crmflow never stores.
const WRITE_KEY: &str = "writeKey";

/// An event with these members unless it has its own, and without a write key. An event that needs no change stays as it
/// is.
pub(super) fn complete<'a>(
    record: &'a RawValue,
    defaults: &[(&'static str, &RawValue)],
) -> Cow<'a, RawValue> {
    if defaults.is_empty() && !record.get().contains(WRITE_KEY) {
        return Cow::Borrowed(record);
    }
    // The check of events refuses other values than objects.
    let Ok(Members(mut members)) = serde_json::from_str(record.get()) else { return Cow::Borrowed(record) };
    let before = members.len();
    members.retain(|(name, _)| name != WRITE_KEY);
    let mut is_changed = members.len() != before;
    for &(name, value) in defaults {
        if !members.iter().any(|(other, said)| other == name && said.get() != "null") {
            members.retain(|(other, _)| other != name);
            members.push((Cow::Borrowed(name), value));
            is_changed = true;
        }
    }
    let written = if is_changed { to_raw_value(&Members(members)).ok() } else { None };
    written.map_or(Cow::Borrowed(record), Cow::Owned)
}

/// The members of an object in their order, with unchanged values.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(V)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(record: &str, defaults: &[(&'static str, &str)], expected: &str) {
        let defaults: Vec<(&'static str, &RawValue)> =
            defaults.iter().map(|&(name, value)| (name, serde_json::from_str(value).unwrap())).collect();
        let found = complete(serde_json::from_str(record).unwrap(), &defaults);
        assert_eq!(found.get(), expected, "{record}");
    }

    #[test]
    fn what_an_event_lacks() {
        let call = ("type", "\"track\"");
        let context = ("context", r#"{ "ip" : 1.0 }"#);
        check(r#"{ "a" : 1.0 }"#, &[], r#"{ "a" : 1.0 }"#);
        check(r#"{ "a" : 1.0 }"#, &[call], r#"{"a":1.0,"type":"track"}"#);
        check(r#"{ "type":"page"}"#, &[call], r#"{ "type":"page"}"#);
        check(r#"{"type":null,"a":[]}"#, &[call], r#"{"a":[],"type":"track"}"#);
        check(r#"{"context":{}}"#, &[context], r#"{"context":{}}"#);
        check(r#"{"context":null}"#, &[call, context], r#"{"type":"track","context":{ "ip" : 1.0 }}"#);
        check(
            r#"{"a":"\u0061","a":2,"b":1e400}"#,
            &[call],
            r#"{"a":"\u0061","a":2,"b":1e400,"type":"track"}"#,
        );
        check("[1 ]", &[call], "[1 ]");
        check("null", &[call], "null");
    }

    #[test]
    fn a_write_key_is_not_kept() {
        check(r#"{"writeKey":"k","a": 1}"#, &[], r#"{"a":1}"#);
        check(r#"{"write\u004bey":"k","a":1}"#, &[("type", "1")], r#"{"a":1,"type":1}"#);
        check(r#"{ "a":"writeKey"}"#, &[], r#"{ "a":"writeKey"}"#);
        check(r#"{ "a":{"writeKey":1}}"#, &[], r#"{ "a":{"writeKey":1}}"#);
    }
}
