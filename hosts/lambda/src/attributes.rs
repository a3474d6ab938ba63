//! Items as DynamoDB stores them: each field of the body is an attribute of its type, so that people can read a table in
//! the console, and other tools can query it.

use std::{borrow::Cow, collections::HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use kernel::store::{Item, StoreError};
use serde_json::value::RawValue;

/// The attribute of [`Item::partition`].
pub const PARTITION: &str = "partition";
/// The attribute of [`Item::sort`].
pub const SORT: &str = "sort";
/// The attribute of [`Item::version`].
pub const VERSION: &str = "version";

/// The attributes of an item, or of a part of one.
pub type Attributes = HashMap<String, AttributeValue>;

/// The attributes that are the key of an item.
pub fn key(partition: &str, sort: &str) -> Attributes {
    HashMap::from([
        (PARTITION.to_owned(), AttributeValue::S(partition.to_owned())),
        (SORT.to_owned(), AttributeValue::S(sort.to_owned())),
    ])
}

/// The key among the attributes of an item.
pub fn key_of(item: &Attributes) -> Attributes {
    let is_key = |name: &str| name == PARTITION || name == SORT;
    item.iter().filter(|(name, _)| is_key(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Partition and sort of an item, if it has both.
pub fn names(item: &Attributes) -> Option<(String, String)> {
    let text = |name| item.get(name)?.as_s().ok().cloned();
    Some((text(PARTITION)?, text(SORT)?))
}

/// The attributes of an item. The body must not have fields with the names of key attributes.
pub fn from_item(item: &Item) -> Result<Attributes, StoreError> {
    let mut attributes = map(&item.body)?;
    for (name, value) in key(&item.partition, &item.sort)
        .into_iter()
        .chain([(VERSION.to_owned(), AttributeValue::N(item.version.to_string()))])
    {
        if attributes.insert(name, value).is_some() {
            return Err(refused("a body has a field named partition, sort or version"));
        }
    }
    Ok(attributes)
}

/// The item of stored attributes. The fields of its body are sorted by name.
pub fn to_item(mut attributes: Attributes) -> Result<Item, StoreError> {
    let mut text = |name| match attributes.remove(name) {
        Some(AttributeValue::S(text) | AttributeValue::N(text)) => Ok(text),
        _ => Err(refused("an item lacks its partition, sort or version")),
    };
    let (partition, sort, version) = (text(PARTITION)?, text(SORT)?, text(VERSION)?);
    let version = version.parse().map_err(|_| refused("the version of an item is no number"))?;
    let mut body = String::new();
    write_map(&attributes, &mut body)?;
    Ok(Item { partition, sort, version, body })
}

fn map(json: &str) -> Result<Attributes, StoreError> {
    let fields: HashMap<Cow<'_, str>, &RawValue> =
        serde_json::from_str(json).map_err(|_| refused("a body is not a JSON object"))?;
    fields.into_iter().map(|(name, value)| Ok((name.into_owned(), attribute(value.get())?))).collect()
}

/// A number is passed as text, so it loses no digit.
fn attribute(json: &str) -> Result<AttributeValue, StoreError> {
    let broken = |_| refused("a body is not JSON");
    Ok(match json.as_bytes().first() {
        Some(b'{') => AttributeValue::M(map(json)?),
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(json).map_err(broken)?;
            let items = items.into_iter().map(|item| attribute(item.get()));
            AttributeValue::L(items.collect::<Result<_, _>>()?)
        }
        Some(b'"') => AttributeValue::S(serde_json::from_str(json).map_err(broken)?),
        Some(b't' | b'f') => AttributeValue::Bool(json == "true"),
        Some(b'n') | None => AttributeValue::Null(true),
        Some(_) => AttributeValue::N(json.to_owned()),
    })
}

fn write(value: &AttributeValue, to: &mut String) -> Result<(), StoreError> {
    match value {
        AttributeValue::S(text) => write_text(text, to),
        AttributeValue::N(number) => to.push_str(number),
        AttributeValue::Bool(yes) => to.push_str(if *yes { "true" } else { "false" }),
        AttributeValue::Null(_) => to.push_str("null"),
        AttributeValue::M(fields) => write_map(fields, to)?,
        AttributeValue::L(items) => {
            to.push('[');
            for (at, item) in items.iter().enumerate() {
                to.push_str(if at == 0 { "" } else { "," });
                write(item, to)?;
            }
            to.push(']');
        }
        _ => {
            return Err(refused("an item has an attribute of a type that crmflow never writes"));
        }
    }
    Ok(())
}

fn write_map(fields: &Attributes, to: &mut String) -> Result<(), StoreError> {
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    to.push('{');
    for (at, (name, value)) in fields.into_iter().enumerate() {
        to.push_str(if at == 0 { "" } else { "," });
        write_text(name, to);
        to.push(':');
        write(value, to)?;
    }
    to.push('}');
    Ok(())
}

fn write_text(text: &str, to: &mut String) {
    to.push_str(&serde_json::Value::from(text).to_string());
}

fn refused(why: &str) -> StoreError {
    StoreError::Refused(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, back: &str) {
        let item = Item { partition: "p".into(), sort: "s".into(), version: 7, body: body.into() };
        let got = from_item(&item).and_then(to_item).expect("attributes");
        assert_eq!(got, Item { body: back.into(), ..item });
    }

    #[test]
    fn a_body_comes_back_as_it_was() {
        check("{}", "{}");
        check(r#"{"b":1,"a":"x"}"#, r#"{"a":"x","b":1}"#);
        check(
            r#"{"n":123456789012345678901234567890.125,"m":-0}"#,
            r#"{"m":-0,"n":123456789012345678901234567890.125}"#,
        );
        check(
            r#"{"a":[true,false,null,"",[],{}],"o":{"z":1,"y":{"x":""}}}"#,
            r#"{"a":[true,false,null,"",[],{}],"o":{"y":{"x":""},"z":1}}"#,
        );
        check(" { \"a\\\"\\u00e9\" : \"\\ud83d\\ude00\\u0000\\n\" } ", "{\"a\\\"é\":\"😀\\u0000\\n\"}");
    }

    #[test]
    fn what_cannot_come_back_is_refused() {
        for body in ["[]", "", "{", r#"{"sort":1}"#, r#"{"a":"\ud800"}"#] {
            let item = Item { partition: "p".into(), sort: "s".into(), version: 7, body: body.into() };
            assert!(from_item(&item).is_err(), "{body}");
        }
    }

    #[test]
    fn fields_have_the_types_of_dynamodb() {
        let body = r#"{"email":"a@example.com","optIn":true,"index":3,"interests":["x"]}"#;
        let attributes = map(body).expect("attributes");
        assert_eq!(attributes["optIn"], AttributeValue::Bool(true));
        assert_eq!(attributes["index"], AttributeValue::N("3".into()));
        assert_eq!(attributes["interests"], AttributeValue::L(vec![AttributeValue::S("x".into())]));
    }
}
