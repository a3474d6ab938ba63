//! Reads due rows of a lane.

use jiff::Timestamp;

use super::task::{QueueRow, row_parts};
use crate::model::{QUEUED_PREFIX, TABLE};
use kernel::{
    error::Error,
    store::{Query, Store},
};

/// The rows to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowRange<'a> {
    /// Rows after this sort key,
    pub(super) after: Option<&'a str>,
    /// due by this time,
    pub(super) until: Timestamp,
    /// at most this many,
    pub(super) limit: usize,
    /// beside which this many may be skipped.
    pub(super) max_skipped: usize,
}

/// Rows of a lane, the first due first.
#[derive(Debug)]
pub(super) struct RowPage {
    pub(super) rows: Vec<QueueRow>,
    /// The sort key of the last row that was read, skipped or not.
    pub(super) last_read: Option<String>,
    /// Whether more rows may follow.
    pub(super) has_more: bool,
    /// When the first row is due that is not due yet.
    pub(super) next_due: Option<Timestamp>,
}

/// Reads due rows, except those whose sequence is skipped.
pub(super) async fn read_page(
    store: &impl Store,
    partition: &str,
    range: RowRange<'_>,
    is_skipped: impl Fn(&str) -> bool,
) -> Result<RowPage, Error> {
    let limit = range.limit + range.max_skipped;
    let query = Query {
        partition: partition.to_owned(),
        prefix: QUEUED_PREFIX.to_owned(),
        after: range.after.map(ToOwned::to_owned),
        descending: false,
        limit,
    };
    let items = store.query(TABLE, query).await?;
    let mut page =
        RowPage { rows: Vec::new(), last_read: None, has_more: items.len() == limit, next_due: None };
    for item in items {
        let (due, sequence) = row_parts(&item)?;
        if due > range.until {
            (page.next_due, page.has_more) = (Some(due), false);
            break;
        }
        if page.rows.len() == range.limit {
            page.has_more = true;
            break;
        }
        page.last_read = Some(item.sort.clone());
        if !is_skipped(sequence) {
            page.rows.push(QueueRow::read(item)?);
        }
    }
    Ok(page)
}
