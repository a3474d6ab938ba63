//! What is due in a lane.

use std::collections::HashSet;

use jiff::Timestamp;

use crate::{
    delivery::{self, QUEUED, Queued, TABLE},
    error::Error,
    store::{Query, Store},
};

/// A row that says what is to be sent, and when.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) sort: String,
    pub(super) due: Timestamp,
    pub(super) sequence: String,
    pub(super) version: u64,
    pub(super) queued: Queued,
}

/// Rows of a lane, the first due first.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) rows: Vec<Row>,
    /// Whether there may be more behind them.
    pub(super) is_full: bool,
    /// When the first one is due that is not due yet.
    pub(super) next_due: Option<Timestamp>,
}

/// Reads at most `limit` rows that are due at `until`, but for those whose sequence is in `skip`.
pub(super) async fn read(
    store: &impl Store,
    partition: &str,
    until: Timestamp,
    limit: usize,
    skip: &HashSet<String>,
) -> Result<Page, Error> {
    let limit = limit + skip.len();
    let query = Query {
        partition: partition.to_owned(),
        prefix: QUEUED.to_owned(),
        after: None,
        descending: false,
        limit,
    };
    let items = store.query(TABLE, query).await?;
    let mut page = Page { rows: Vec::new(), is_full: items.len() == limit, next_due: None };
    for item in items {
        let Some((due, sequence)) = delivery::queued_parts(&item.sort) else {
            return Err(Error::BadInput("a row of the lane has a sort that is none".into()));
        };
        if due > until {
            page.next_due = Some(due);
            page.is_full = false;
            break;
        }
        if !skip.contains(sequence) {
            let queued = delivery::body(&item)?;
            let sequence = sequence.to_owned();
            page.rows.push(Row { due, sequence, version: item.version, queued, sort: item.sort });
        }
    }
    Ok(page)
}
