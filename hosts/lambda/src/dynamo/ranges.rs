//! Ranges of a partition: their items, and the number of items.

use aws_sdk_dynamodb::{
    operation::query::builders::QueryFluentBuilder,
    types::{AttributeValue, Select},
};
use kernel::store::{Item, Query, StoreError};

use super::{DynamoStore, TableState, calls::failure};
use crate::{
    attributes::{self, Attributes},
    back_pressure::with_permit,
};

impl DynamoStore {
    /// The items of a range.
    pub(super) async fn query_range(
        &self,
        table: &TableState,
        query: Query,
    ) -> Result<Vec<Item>, StoreError> {
        let Some(mut start) = start(&query) else {
            return Ok(Vec::new());
        };
        let mut items = Vec::new();
        while items.len() < query.limit {
            let ask = self.ask(table, &query, query.limit - items.len(), start).consistent_read(true);
            let page = with_permit(&table.reads, self.retry_time, || ask.clone().send()).await;
            let page = page.map_err(|error| failure("Query", &error))?;
            for found in page.items.unwrap_or_default() {
                items.push(attributes::to_item(found)?);
            }
            start = page.last_evaluated_key;
            if start.is_none() {
                break;
            }
        }
        Ok(items)
    }

    /// The number of items in a range, up to its limit. It costs half of a read, because the count may be slightly old.
    pub(super) async fn count_range(&self, table: &TableState, query: Query) -> Result<usize, StoreError> {
        let Some(mut start) = start(&query) else {
            return Ok(0);
        };
        let mut counted = 0;
        while counted < query.limit {
            let ask = self.ask(table, &query, query.limit - counted, start).select(Select::Count);
            let page = with_permit(&table.reads, self.retry_time, || ask.clone().send()).await;
            let page = page.map_err(|error| failure("Query", &error))?;
            counted += usize::try_from(page.count).unwrap_or_default();
            start = page.last_evaluated_key;
            if start.is_none() {
                break;
            }
        }
        Ok(counted)
    }

    /// The query for the next items of a range.
    fn ask(
        &self,
        table: &TableState,
        query: &Query,
        limit: usize,
        start: Option<Attributes>,
    ) -> QueryFluentBuilder {
        let ask = self
            .client
            .query()
            .table_name(&table.name)
            .scan_index_forward(!query.descending)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .key_condition_expression("#p = :p")
            .expression_attribute_names("#p", attributes::PARTITION)
            .expression_attribute_values(":p", AttributeValue::S(query.partition.clone()))
            .set_exclusive_start_key(start);
        if query.prefix.is_empty() {
            return ask;
        }
        ask.key_condition_expression("#p = :p AND begins_with(#s, :s)")
            .expression_attribute_names("#s", attributes::SORT)
            .expression_attribute_values(":s", AttributeValue::S(query.prefix.clone()))
    }
}

/// The start of a query; `None`: no item can follow `after`. DynamoDB refuses a start outside of the prefix.
fn start(query: &Query) -> Option<Option<Attributes>> {
    let Query { partition, prefix, after, descending, .. } = query;
    match after.as_deref() {
        None => Some(None),
        Some(after) if !after.is_empty() && after.starts_with(prefix.as_str()) => {
            Some(Some(attributes::key(partition, after)))
        }
        Some(after) if (after > prefix.as_str()) == *descending => Some(None),
        Some(_) => None,
    }
}
