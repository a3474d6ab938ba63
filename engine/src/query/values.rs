//! Conversion between a run's values and those of the JSONata library.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use jsonata_core::value::{JValue, with_stack};

use crate::value::{MAX_DEPTH, Number, Value};

fn object(members: impl Iterator<Item = (String, JValue)>) -> JValue {
    JValue::Object(Rc::new(members.collect()))
}

/// Imports only the members on the way to these places.
pub(super) fn import_places(value: &Value, places: &[&[String]]) -> JValue {
    let Value::Object(members) = value else {
        return import(value);
    };
    let mut below: BTreeMap<&str, Vec<&[String]>> = BTreeMap::new();
    for place in places {
        let Some((first, rest)) = place.split_first() else {
            return import(value);
        };
        below.entry(first).or_default().push(rest);
    }
    // The order of members does not matter here: an expression that reads all members (`*`, `$keys`) names
    // the place above them.
    object(
        below
            .into_iter()
            .filter_map(|(name, places)| Some((name.to_owned(), import_places(members.get(name)?, &places)))),
    )
}

pub(super) fn import(value: &Value) -> JValue {
    with_stack(|| match value {
        Value::Null => JValue::Null,
        Value::Bool(truth) => JValue::Bool(*truth),
        Value::Number(number) => JValue::Number(number.as_f64()),
        Value::String(text) => JValue::from(&**text),
        Value::Array(items) => JValue::array(items.iter().map(import).collect()),
        Value::Object(members) => {
            object(members.iter().map(|(name, value)| (name.to_string(), import(value))))
        }
    })
}

/// Exports a value; `None`: JSON cannot represent it, or its nesting is too deep.
pub(super) fn export(value: &JValue) -> Option<Value> {
    exported(value, MAX_DEPTH)
}

fn exported(value: &JValue, levels_left: usize) -> Option<Value> {
    Some(match value {
        JValue::Null => Value::Null,
        JValue::Bool(truth) => Value::Bool(*truth),
        JValue::Number(n) => Value::Number(Number::from_f64(*n)?),
        JValue::String(text) => Value::from(&**text),
        JValue::Array(items) => {
            let levels_left = levels_left.checked_sub(1)?;
            items.iter().map(|item| exported(item, levels_left)).collect::<Option<Vec<_>>>()?.into()
        }
        JValue::Object(members) => {
            let levels_left = levels_left.checked_sub(1)?;
            let members = members
                .iter()
                .map(|(name, value)| Some((Arc::from(name.as_str()), exported(value, levels_left)?)));
            Value::Object(members.collect::<Option<Vec<_>>>()?.into_iter().collect())
        }
        _ => return None,
    })
}
