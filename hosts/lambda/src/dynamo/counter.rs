//! A counter on DynamoDB: the version of an item. It only rises.

use aws_sdk_dynamodb::{
    operation::update_item::UpdateItemError,
    types::{AttributeValue, ReturnValue},
};
use kernel::store::StoreError;

use super::{DynamoStore, TableState, calls::failure};
use crate::{
    attributes::{self, Attributes},
    back_pressure::with_permit,
};

impl DynamoStore {
    /// Raises it to `least`, or by one if it is that high already. Each attempt is one atomic write.
    pub(super) async fn raise_version(
        &self,
        table: &TableState,
        key: Attributes,
        least: u64,
    ) -> Result<u64, StoreError> {
        let to_least = ("SET #v = :v", Some("attribute_not_exists(#v) OR #v < :v"));
        if let Some(raised) = self.update_version(table, key.clone(), to_least, least).await? {
            return Ok(raised);
        }
        let raised = self.update_version(table, key, ("ADD #v :v", None), 1).await?;
        raised.ok_or_else(|| StoreError::Refused("UpdateItem: a condition failed that was not set".into()))
    }

    /// Sets it by an expression under a condition; returns the new value.
    async fn update_version(
        &self,
        table: &TableState,
        key: Attributes,
        (expression, condition): (&str, Option<&str>),
        value: u64,
    ) -> Result<Option<u64>, StoreError> {
        let update = self
            .client
            .update_item()
            .table_name(&table.name)
            .set_key(Some(key))
            .update_expression(expression)
            .set_condition_expression(condition.map(ToOwned::to_owned))
            .expression_attribute_names("#v", attributes::VERSION)
            .expression_attribute_values(":v", AttributeValue::N(value.to_string()))
            .return_values(ReturnValue::UpdatedNew);
        let set = match with_permit(&table.writes, self.retry_time, || update.clone().send()).await {
            Ok(set) => set.attributes.unwrap_or_default(),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => return Ok(None),
                _ => return Err(failure("UpdateItem", &error)),
            },
        };
        let version = set.get(attributes::VERSION).and_then(|version| version.as_n().ok());
        let version = version.and_then(|version| version.parse().ok());
        let none = || StoreError::Refused("UpdateItem: the version of an item is no number".into());
        version.map(Some).ok_or_else(none)
    }
}
