//! Storable objects: whether every table can store a JSON object as an object, with everything in it. DynamoDB accepts
//! fewer objects than SQLite does, and both must store the same.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// Maximum depth of the object. DynamoDB accepts 32 levels in an item, and the object is not the first of them.
const MAX_DEPTH: usize = 30;
/// Maximum number of digits in a number.
const MAX_DIGITS: i64 = 38;
/// The powers of ten that a number's first digit may have.
const POWERS: std::ops::RangeInclusive<i64> = -130..=125;

/// Whether a JSON text is an object whose names are neither empty nor repeated, and whose numbers fit.
pub fn is_storable(json: &str) -> bool {
    let mut text = serde_json::Deserializer::from_str(json);
    json.starts_with('{') && Level(MAX_DEPTH).deserialize(&mut text).is_ok() && numbers_fit(json.as_bytes())
}

/// A value that may nest this deep.
struct Level(usize);

impl Level {
    fn next<E: serde::de::Error>(&self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom("too deep"))
    }
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names: HashSet<Cow<'de, str>> = HashSet::new();
        while let Some(Name(name)) = map.next_key()? {
            if name.is_empty() || !names.insert(name) {
                return Err(A::Error::custom("a name is empty or repeated"));
            }
            map.next_value_seed(self.next()?)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self.next()?)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// A name, borrowed if it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Whether all numbers fit. The text is JSON.
fn numbers_fit(json: &[u8]) -> bool {
    let mut at = 0;
    while let Some(&byte) = json.get(at) {
        match byte {
            b'"' => at += string_len(&json[at..]),
            b'-' | b'0'..=b'9' => {
                let end = json[at..]
                    .iter()
                    .position(|b| !matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
                let number = &json[at..end.map_or(json.len(), |end| at + end)];
                if !fits(number) {
                    return false;
                }
                at += number.len();
            }
            _ => at += 1,
        }
    }
    true
}

/// How long the string is that begins here, with its quotes.
fn string_len(json: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = json.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if json[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    json.len()
}

fn fits(number: &[u8]) -> bool {
    let end = number.iter().position(|b| matches!(b, b'e' | b'E')).unwrap_or(number.len());
    let (mantissa, exponent) = number.split_at(end);
    let point = mantissa.iter().position(|&b| b == b'.').unwrap_or(mantissa.len());
    let mut nonzero = mantissa.iter().enumerate().filter(|(_, b)| matches!(b, b'1'..=b'9')).map(|(at, _)| at);
    let Some(first) = nonzero.next() else { return true };
    let last = nonzero.next_back().unwrap_or(first);
    let exponent = match std::str::from_utf8(exponent.get(1..).unwrap_or_default()) {
        Ok("") => 0,
        Ok(text) => match text.parse::<i64>() {
            Ok(exponent) => exponent,
            Err(_) => return false,
        },
        Err(_) => return false,
    };
    // Digits right of the point have negative places; the point itself has none.
    let place = |at: usize| if at < point { point as i64 - at as i64 - 1 } else { point as i64 - at as i64 };
    place(first) - place(last) < MAX_DIGITS && POWERS.contains(&place(first).saturating_add(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, keepable: bool) {
        assert_eq!(is_storable(json), keepable, "{json}");
    }

    #[test]
    fn names() {
        check("{}", true);
        check(r#"{"a":{"a":[{"a":""},{"a":null}]},"b":true}"#, true);
        check(r#"{"":1}"#, false);
        check(r#"{"a":[{"b":{"":1}}]}"#, false);
        check(r#"{"a":1,"b":2,"a":1}"#, false);
        check(r#"{"a":1,"\u0061":2}"#, false);
        check("[]", false);
        check("{", false);
    }

    #[test]
    fn depth() {
        let nested = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
        check(&nested(30), true);
        check(&nested(31), false);
        check(&format!(r#"{{"a":{}1{}}}"#, "[".repeat(29), "]".repeat(29)), true);
        check(&format!(r#"{{"a":{}1{}}}"#, "[".repeat(30), "]".repeat(30)), false);
    }

    #[test]
    fn numbers() {
        let with = |number: &str| format!(r#"{{"text":"1e999 \" 1e999","n":[{number}]}}"#);
        for number in
            ["0", "-0.0e-999", "12345678901234567890123456789012345678", "1e125", "-1E+125", "1e-130", "0.1"]
        {
            check(&with(number), true);
        }
        check(&with(&format!("1{}", "0".repeat(125))), true);
        check(&with("0.00012345678901234567890123456789012345678"), true);
        for number in
            ["123456789012345678901234567890123456789", "1e126", "1e-131", "10e125", "0.1e-130", "1e400"]
        {
            check(&with(number), false);
        }
        check(&with("1.23456789012345678901234567890123456789"), false);
    }
}
