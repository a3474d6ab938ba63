//! `dynamodb:putItem`, `getItem` and `deleteItem` on the tables of the template. An item here is what the
//! same call makes on AWS: the keys `partition` and `sort`, a `version`, and the body's fields.

mod attributes;
mod condition;
mod number;

use kernel::store::{Item, Store, StoreError, Table, Written};
use states::{Failure, Object, Value};
use template::Template;

use self::attributes::Names;
use super::{
    arguments::{Arguments, Takes},
    service::{DYNAMODB, Refusal},
};
use crate::resource::Flavor;

const PUT_ITEM: Takes = Takes {
    call: "dynamodb:putItem",
    required: &["Item", "TableName"],
    optional: &[
        "ConditionExpression",
        "ExpressionAttributeNames",
        "ExpressionAttributeValues",
        "ReturnConsumedCapacity",
        "ReturnItemCollectionMetrics",
        "ReturnValues",
    ],
    not_here: &["ConditionalOperator", "Expected", "ReturnValuesOnConditionCheckFailure"],
};
const GET_ITEM: Takes = Takes {
    call: "dynamodb:getItem",
    required: &["Key", "TableName"],
    optional: &["ConsistentRead", "ReturnConsumedCapacity"],
    not_here: &["AttributesToGet", "ExpressionAttributeNames", "ProjectionExpression"],
};
const DELETE_ITEM: Takes = Takes {
    call: "dynamodb:deleteItem",
    required: &["Key", "TableName"],
    optional: &["ReturnConsumedCapacity", "ReturnItemCollectionMetrics", "ReturnValues"],
    not_here: &[
        "ConditionExpression",
        "ConditionalOperator",
        "Expected",
        "ExpressionAttributeNames",
        "ExpressionAttributeValues",
        "ReturnValuesOnConditionCheckFailure",
    ],
};

/// The attribute of [`Item::partition`].
const PARTITION: &str = "partition";
/// The attribute of [`Item::sort`].
const SORT: &str = "sort";
/// The attribute of [`Item::version`].
const VERSION: &str = "version";

/// A call on a table of the template.
struct Call<'a> {
    arguments: Arguments<'a>,
    flavor: Flavor,
    table: Table,
}

/// Puts an item, if its condition holds.
pub(super) async fn put_item(
    arguments: &Value,
    flavor: Flavor,
    template: &Template,
    store: &impl Store,
) -> Result<Value, Failure> {
    let call = Call::new(arguments, flavor, &PUT_ITEM, template)?;
    let item = call.item()?;
    let condition = condition::read(&call)?;
    match store.put(call.table, item, condition).await {
        Ok(Written::Done) => Ok(Value::from([])),
        Ok(Written::Conflict(_)) => {
            const NAME: &str = "ConditionalCheckFailedException";
            Err(refused(flavor, NAME, Some(NAME), "The conditional request failed"))
        }
        Err(error) => Err(call.unavailable(&error)),
    }
}

/// Gives an item, where there is one.
pub(super) async fn get_item(
    arguments: &Value,
    flavor: Flavor,
    template: &Template,
    store: &impl Store,
) -> Result<Value, Failure> {
    let call = Call::new(arguments, flavor, &GET_ITEM, template)?;
    let (partition, sort) = call.key()?;
    let found = store.get(call.table, &partition, &sort).await.map_err(|error| call.unavailable(&error))?;
    let item = found.map(|item| attributes::from_item(&item, call.names())).transpose();
    let item = item.map_err(|error| call.unavailable(&error))?;
    Ok(item.map_or_else(|| Value::from([]), |item| Value::from([("Item", item)])))
}

/// Deletes an item, where there is one.
pub(super) async fn delete_item(
    arguments: &Value,
    flavor: Flavor,
    template: &Template,
    store: &impl Store,
) -> Result<Value, Failure> {
    let call = Call::new(arguments, flavor, &DELETE_ITEM, template)?;
    let (partition, sort) = call.key()?;
    let deleted = store.delete(call.table, &partition, &sort).await;
    deleted.map(|()| Value::from([])).map_err(|error| call.unavailable(&error))
}

impl<'a> Call<'a> {
    fn new(given: &'a Value, flavor: Flavor, takes: &Takes, template: &Template) -> Result<Self, Failure> {
        let arguments = Arguments::check(given, takes)?;
        for name in ["ReturnConsumedCapacity", "ReturnItemCollectionMetrics", "ReturnValues"] {
            arguments.only(name, "NONE")?;
        }
        let table = template.table(&arguments.required("TableName")?).ok_or_else(|| {
            const NAME: &str = "ResourceNotFoundException";
            refused(flavor, NAME, Some(NAME), "Requested resource not found")
        })?;
        Ok(Self { arguments, flavor, table })
    }

    fn names(&self) -> &'static Names {
        match self.flavor {
            Flavor::Optimized => &attributes::OPTIMIZED,
            Flavor::Sdk => &attributes::SDK,
        }
    }

    /// The item to put.
    fn item(&self) -> Result<Item, Failure> {
        let given = self.arguments.object("Item")?.ok_or_else(|| self.arguments.malformed("Item"))?;
        let (partition, sort) = (self.key_text(given, PARTITION)?, self.key_text(given, SORT)?);
        let version = given.get(VERSION).and_then(|value| value.get("N")).and_then(Value::as_str);
        let version = version.and_then(|text| text.parse().ok());
        let version = version
            .ok_or_else(|| self.arguments.not_here("an item whose 'version' is no whole number (N)"))?;
        let mut body = String::new();
        attributes::write_body(given, self, &mut body)?;
        Ok(Item { partition, sort, version, body })
    }

    /// The key of the item to get or delete.
    fn key(&self) -> Result<(String, String), Failure> {
        let given = self.arguments.object("Key")?.ok_or_else(|| self.arguments.malformed("Key"))?;
        let text = |name| given.get(name).and_then(|value| value.get("S")).and_then(Value::as_str);
        match (text(PARTITION), text(SORT)) {
            (Some(partition), Some(sort)) if given.len() == 2 => Ok((partition.to_owned(), sort.to_owned())),
            _ => Err(self.invalid("The provided key element does not match the schema")),
        }
    }

    /// A part of an item's key.
    fn key_text(&self, item: &Object, name: &str) -> Result<String, Failure> {
        const INVALID: &str = "One or more parameter values were invalid:";
        let Some(value) = item.get(name) else {
            return Err(self.invalid(format!("{INVALID} Missing the key {name} in the item")));
        };
        match value.get("S").and_then(Value::as_str) {
            Some("") => Err(self.invalid(format!(
                "One or more parameter values are not valid. The AttributeValue for a key attribute cannot \
                 contain an empty string value. Key: {name}"
            ))),
            Some(text) => Ok(text.to_owned()),
            None => {
                let actual = value.as_object().and_then(|value| value.iter().next());
                let actual = actual.map_or("", |(kind, _)| kind);
                Err(self
                    .invalid(format!("{INVALID} Type mismatch for key {name} expected: S actual: {actual}")))
            }
        }
    }

    /// A ValidationException of DynamoDB, for which the SDKs have no exception of its own.
    fn invalid(&self, message: impl Into<String>) -> Failure {
        refused(self.flavor, "ValidationException", None, message)
    }

    fn unavailable(&self, error: &StoreError) -> Failure {
        DYNAMODB.unavailable(self.flavor, error)
    }
}

fn refused(
    flavor: Flavor,
    code: &'static str,
    exception: Option<&'static str>,
    message: impl Into<String>,
) -> Failure {
    DYNAMODB.failure(flavor, &Refusal { status: 400, code, exception, message: message.into() })
}
