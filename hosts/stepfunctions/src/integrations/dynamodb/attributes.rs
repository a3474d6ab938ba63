//! DynamoDB's attribute values to the JSON of an item's body, and back.

use std::{borrow::Cow, collections::BTreeMap};

use kernel::store::{Item, StoreError};
use serde_json::value::RawValue;
use states::{Failure, Object, Value};

use super::{Call, PARTITION, SORT, VERSION, number};

/// The names of types that differ between the flavors.
#[derive(Debug)]
pub(super) struct Names {
    boolean: &'static str,
    null: &'static str,
    /// Types that a body has no JSON for.
    foreign: [&'static str; 4],
}

pub(super) const OPTIMIZED: Names = Names { boolean: "BOOL", null: "NULL", foreign: ["B", "BS", "NS", "SS"] };
pub(super) const SDK: Names = Names { boolean: "Bool", null: "Nul", foreign: ["B", "Bs", "Ns", "Ss"] };

/// Writes the fields of an item that are no key.
pub(super) fn write_body(item: &Object, call: &Call<'_>, to: &mut String) -> Result<(), Failure> {
    let fields = item.iter().filter(|(name, _)| ![PARTITION, SORT, VERSION].contains(&&***name));
    write_map(fields, call, to)
}

fn write_map<'a>(
    fields: impl Iterator<Item = (&'a std::sync::Arc<str>, &'a Value)>,
    call: &Call<'_>,
    to: &mut String,
) -> Result<(), Failure> {
    to.push('{');
    for (at, (name, value)) in fields.enumerate() {
        to.push_str(if at == 0 { "" } else { "," });
        to.push_str(&Value::String(std::sync::Arc::clone(name)).to_string());
        to.push(':');
        write(name, value, call, to)?;
    }
    to.push('}');
    Ok(())
}

/// Writes one attribute value as JSON.
fn write(name: &str, value: &Value, call: &Call<'_>, to: &mut String) -> Result<(), Failure> {
    let names = call.names();
    let mut members = value.as_object().into_iter().flat_map(Object::iter);
    match (members.next(), members.next()) {
        (Some((kind, value)), None) => match (&**kind, value) {
            ("S", Value::String(_)) => to.push_str(&value.to_string()),
            ("N", Value::String(text)) => {
                to.push_str(&number::canonical(text).map_err(|why| call.invalid(why))?);
            }
            ("M", Value::Object(fields)) => write_map(fields.iter(), call, to)?,
            ("L", Value::Array(items)) => {
                to.push('[');
                for (at, item) in items.iter().enumerate() {
                    to.push_str(if at == 0 { "" } else { "," });
                    write(name, item, call, to)?;
                }
                to.push(']');
            }
            (kind, Value::Bool(truth)) if kind == names.boolean => {
                to.push_str(if *truth { "true" } else { "false" });
            }
            (kind, Value::Bool(true)) if kind == names.null => to.push_str("null"),
            (kind, _) if names.foreign.contains(&kind) => {
                return Err(call.arguments.not_here(format_args!("an attribute of type {kind}")));
            }
            _ => return Err(call.arguments.malformed(name)),
        },
        _ => return Err(call.arguments.malformed(name)),
    }
    Ok(())
}

/// An item's attributes.
pub(super) fn from_item(item: &Item, names: &Names) -> Result<Value, StoreError> {
    let text = |text: &str| Value::from([("S", text.into())]);
    let mut attributes = map(&item.body, names)?;
    attributes.extend([
        (PARTITION.into(), text(&item.partition)),
        (SORT.into(), text(&item.sort)),
        (VERSION.into(), Value::from([("N", item.version.to_string().as_str().into())])),
    ]);
    Ok(attributes.into_iter().map(|(name, value)| (name.as_ref().into(), value)).collect())
}

fn map<'a>(json: &'a str, names: &Names) -> Result<BTreeMap<Cow<'a, str>, Value>, StoreError> {
    let fields: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(json).map_err(broken)?;
    fields.into_iter().map(|(name, value)| Ok((name, attribute(value.get(), names)?))).collect()
}

/// A number is read from its text, so it loses no digit.
fn attribute(json: &str, names: &Names) -> Result<Value, StoreError> {
    let (kind, value) = match json.as_bytes().first() {
        Some(b'{') => {
            let fields = map(json, names)?.into_iter();
            ("M", fields.map(|(name, value)| (name.as_ref().into(), value)).collect())
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(json).map_err(broken)?;
            let items = items.into_iter().map(|item| attribute(item.get(), names));
            ("L", Value::from(items.collect::<Result<Vec<_>, _>>()?))
        }
        Some(b'"') => ("S", Value::parse(json).map_err(broken)?),
        Some(b't' | b'f') => (names.boolean, (json == "true").into()),
        Some(b'n') | None => (names.null, true.into()),
        Some(_) => ("N", number::canonical(json).map_err(StoreError::Refused)?.as_str().into()),
    };
    Ok(Value::from([(kind, value)]))
}

fn broken(_: serde_json::Error) -> StoreError {
    StoreError::Refused("the body of an item is not a JSON object".to_owned())
}
