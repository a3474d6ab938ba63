//! A first look at a record: whether it is JSON, and its address.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::MAX_RECORD_BYTES;
use contacts::email::EmailKey;
use kernel::{
    fault::{Fault, rule},
    json::{self, Text},
    json_text,
};

/// The hash of the record's key, if it has one; or the fault of a text that is no record.
pub(super) fn key_hash(bytes: &[u8]) -> Result<Option<u64>, Fault> {
    if bytes.len() > MAX_RECORD_BYTES {
        return Err(Fault::new(
            "",
            rule::SIZE,
            format!("the record is larger than {} KiB", MAX_RECORD_BYTES / 1024),
        ));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Fault::new("", rule::UTF8, format!("byte {} is not UTF-8", error.valid_up_to() + 1))
    })?;
    if json_text::nests_deeper(bytes, json_text::MAX_DEPTH) {
        return Err(Fault::new(
            "",
            rule::DEPTH,
            format!("the record nests deeper than {}", json_text::MAX_DEPTH),
        ));
    }
    let address = if text.starts_with('{') {
        serde_json::from_str::<Address<'_>>(text).map(|address| address.0)
    } else {
        serde_json::from_str::<IgnoredAny>(text).map(|IgnoredAny| None)
    };
    let not_json = |error: serde_json::Error| Fault::new("", rule::JSON, json::describe(&error));
    let address = address.map_err(not_json)?;
    if json_text::may_hold_half_a_character(bytes) {
        serde_json::from_str::<serde_json::Value>(text).map_err(not_json)?;
    }
    Ok(address.and_then(|address| EmailKey::parse(&address)).map(|key| key.hash()))
}

/// The text under `email` of an object, if it is one.
struct Address<'a>(Option<Cow<'a, str>>);

impl<'de> Deserialize<'de> for Address<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Address<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Address<'de>, A::Error> {
                let mut address = None;
                while let Some(Text(field)) = map.next_key()? {
                    if field == "email" {
                        let value: &'de RawValue = map.next_value()?;
                        address = serde_json::from_str(value.get()).ok().map(|Text(text)| text);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Address(address))
            }
        }
        from.deserialize_map(V)
    }
}
