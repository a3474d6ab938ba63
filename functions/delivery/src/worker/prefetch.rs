//! The prefetch buffer of a lane: rows and events that are read before they can be sent. No call waits for
//! storage, and the memory is bounded, no matter how large the events are and how many rows the lane has.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    attempt::Target,
    disposition_writer::DispositionWriter,
    drain::DESTINATION_DELETED,
    load::{self, Loaded},
    ordered_queue::OrderedQueue,
    queue_rows::{self, RowPage, RowRange},
    settlement::{Disposition, Settlement},
    task::QueueRow,
};
use crate::model::{self, TABLE};
use kernel::{error::Error, store::Store};

/// How many deliveries are prefetched for each call that may be in flight.
const PREFETCH_PER_CALL: usize = 8;
/// How many deliveries are prefetched at least and at most.
const PREFETCH_RANGE: std::ops::RangeInclusive<usize> = 64..=512;
/// No more events are loaded above this size,
const MAX_BUFFERED_BYTES: usize = 4 << 20;
/// but a page always has this many rows.
const MIN_PAGE_ROWS: usize = 8;
/// The size that an event is assumed to have before any was loaded.
const ASSUMED_EVENT_BYTES: usize = 100 << 10;
/// How many rows may wait unloaded for earlier ones of their user before no more are read.
const MAX_NOT_LOADED: usize = 20_000;
/// How many pages of rows that are not due yet are read in one call.
const MAX_EARLY_PAGES: usize = 32;
/// How often the lane is read while calls are in flight.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How much less often the front of the lane is read, for each buffered row.
const POLL_INTERVAL_PER_BUFFERED: Duration = Duration::from_micros(100);

/// The prefetch buffer.
pub(super) struct Prefetch {
    pub(super) queue: OrderedQueue,
    /// The sequences of all rows that were read and are not settled, with the bytes of each event.
    buffered: HashMap<String, usize>,
    buffered_bytes: usize,
    /// The size of the largest event of the last load.
    max_loaded_bytes: usize,
    /// The sort key of the last row that was read; and the one up to which rows were read before the last
    /// restart.
    read_to: Option<String>,
    reread_to: Option<String>,
    /// Whether the lane may have more due rows after `read_to`.
    has_more: bool,
    /// Whether it may have new rows before `read_to`: late ones, or a second row of the same delivery.
    must_reread: bool,
    page_read_at: Instant,
    front_read_at: Instant,
    next_due: Option<Timestamp>,
    /// Rows that were due by then may belong to settled deliveries, because a worker crashed.
    recover_until: Option<Timestamp>,
    /// The scan for rows that are sent before they are due, and the end of the outage that delayed them.
    early: Option<EarlyRetries>,
    outage_ended_at: Option<Timestamp>,
    target: Arc<Target>,
}

/// A scan of retries that an outage delayed. The outage has ended, so they do not wait for their schedule.
/// Their rows remain until they are sent.
#[derive(Clone, Debug)]
struct EarlyRetries {
    /// The end of the outage: later failures wait for their schedule.
    failed_before: Timestamp,
    /// The sort key of the last row that was read.
    read_to: String,
    /// Whether the lane may have new rows before `read_to`.
    must_reread: bool,
}

impl EarlyRetries {
    /// A scan that starts after the rows that are due.
    fn new(failed_before: Timestamp, now: Timestamp) -> Self {
        Self { failed_before, read_to: model::queued_sort(now, "~"), must_reread: false }
    }

    /// Whether the outage delayed this row, which is not due yet. A row whose filter was too slow waits for
    /// its schedule.
    fn matches(&self, row: &QueueRow) -> bool {
        let waits_for_filter = row.queued.filter_pending && row.queued.tries > 0;
        row.has_record
            && !waits_for_filter
            && row.queued.failed_at.is_none_or(|failed_at| failed_at < self.failed_before)
    }
}

impl Prefetch {
    /// An empty buffer.
    pub(super) fn new(queue: OrderedQueue, recover_until: Option<Timestamp>, target: Arc<Target>) -> Self {
        let now = Instant::now();
        Self {
            queue,
            buffered: HashMap::new(),
            buffered_bytes: 0,
            max_loaded_bytes: ASSUMED_EVENT_BYTES,
            read_to: None,
            reread_to: None,
            has_more: true,
            must_reread: false,
            page_read_at: now,
            front_read_at: now,
            next_due: None,
            recover_until,
            early: None,
            outage_ended_at: None,
            target,
        }
    }

    /// Sends what failed before `failed_before` before it is due, the next due row first.
    pub(super) fn retry_early(&mut self, failed_before: Timestamp, now: Timestamp) {
        (self.early, self.outage_ended_at) =
            (Some(EarlyRetries::new(failed_before, now)), Some(failed_before));
    }

    /// When the outage ended, while delayed rows remain.
    pub(super) fn outage_ended_at(&self) -> Option<Timestamp> {
        self.early.as_ref().map(|early| early.failed_before)
    }

    /// A delivery that was sent early is settled. It may have blocked rows that the scan has passed.
    pub(super) fn on_early_end(&mut self, now: Timestamp) {
        let outage_ended_at = self.outage_ended_at.filter(|_| self.queue.is_ordered());
        match &mut self.early {
            Some(early) => early.must_reread = true,
            None => self.early = outage_ended_at.map(|failed_before| EarlyRetries::new(failed_before, now)),
        }
    }

    /// When the first row is due that is not due yet.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.next_due
    }

    /// Whether all due rows were read.
    pub(super) fn is_read(&self) -> bool {
        !self.has_more && !self.queue.needs_refill() && self.early.is_none()
    }

    /// The lane may have new rows.
    pub(super) fn mark_stale(&mut self) {
        (self.has_more, self.must_reread) = (true, true);
    }

    /// A row that was read before may be due by now.
    pub(super) fn expect_due(&mut self) {
        self.has_more = true;
    }

    /// Reads from the front again, if the lane may have new rows there.
    pub(super) fn restart(&mut self) -> bool {
        let must_reread = std::mem::take(&mut self.must_reread);
        if must_reread {
            self.reread_to = self.reread_to.take().max(self.read_to.take());
            self.has_more = true;
            self.front_read_at = Instant::now();
        }
        must_reread
    }

    /// Rows that are due now may belong to settled deliveries.
    pub(super) fn recover(&mut self, now: Timestamp) {
        self.recover_until = Some(now);
    }

    /// Reads due rows if the queue runs low. Returns rows that turned out to be settled.
    pub(super) async fn read<S: Store>(
        &mut self,
        writer: &DispositionWriter<S>,
        concurrency: usize,
        in_flight: usize,
        now: Timestamp,
    ) -> Result<Vec<Settlement>, Error> {
        let many = u32::try_from(self.buffered.len()).unwrap_or(u32::MAX);
        let from_front = POLL_INTERVAL + POLL_INTERVAL_PER_BUFFERED * many;
        let pause = if self.queue.is_ordered() { from_front } else { POLL_INTERVAL };
        if in_flight > 0 && self.page_read_at.elapsed() >= pause {
            self.has_more = true;
        }
        if self.must_reread && self.front_read_at.elapsed() >= from_front {
            self.restart();
        }
        let window = concurrency
            .saturating_mul(PREFETCH_PER_CALL)
            .clamp(*PREFETCH_RANGE.start(), *PREFETCH_RANGE.end());
        let mut settled = Vec::new();
        let mut pages = 0;
        loop {
            let is_over_budget =
                self.buffered_bytes >= MAX_BUFFERED_BYTES && self.queue.len() + in_flight >= concurrency;
            let is_full = self.queue.ready() * 2 > window
                || self.buffered.len() - self.queue.not_loaded() > window * 4
                || self.queue.not_loaded() > MAX_NOT_LOADED;
            let rows = if is_over_budget {
                return Ok(settled);
            } else if self.queue.needs_refill() {
                Vec::new()
            } else if self.has_more && !is_full {
                self.page(writer, window, now).await?
            } else if let Some(early) = self.early.clone().filter(|_| !is_full && pages < MAX_EARLY_PAGES) {
                pages += 1;
                self.early_page(early, writer, window, now).await?
            } else {
                return Ok(settled);
            };
            self.load(rows, writer, now, &mut settled).await?;
        }
    }

    /// The next rows of the scan. In an ordered lane the front is read after them, so a late row enters the
    /// queue before later rows of its user.
    async fn early_page<S: Store>(
        &mut self,
        early: EarlyRetries,
        writer: &DispositionWriter<S>,
        window: usize,
        now: Timestamp,
    ) -> Result<Vec<QueueRow>, Error> {
        let range =
            RowRange { after: Some(&early.read_to), until: Timestamp::MAX, limit: window, max_skipped: 0 };
        let page = self.query(writer, range).await?;
        let mut rows =
            if self.queue.is_ordered() { self.page(writer, window, now).await? } else { Vec::new() };
        if self.has_more {
            // Due rows have priority.
            return Ok(rows);
        }
        let prefetch = page.rows.into_iter().filter(|row| early.matches(row));
        rows.extend(prefetch.filter(|row| self.buffered.insert(row.sequence.clone(), 0).is_none()));
        self.early = match page.last_read.filter(|_| page.has_more) {
            Some(read_to) => Some(EarlyRetries { read_to, ..early }),
            None => early.must_reread.then(|| EarlyRetries::new(early.failed_before, now)),
        };
        Ok(rows)
    }

    /// The next due rows.
    async fn page<S: Store>(
        &mut self,
        writer: &DispositionWriter<S>,
        window: usize,
        now: Timestamp,
    ) -> Result<Vec<QueueRow>, Error> {
        let room = MAX_BUFFERED_BYTES.saturating_sub(self.buffered_bytes) / self.max_loaded_bytes.max(1);
        let limit = window.min(room.max(MIN_PAGE_ROWS));
        self.page_read_at = Instant::now();
        let page = if self.queue.is_ordered() {
            self.page_from_front(writer, limit, now).await?
        } else {
            // Rows that were read before the restart are skipped.
            let max_skipped = if self.read_to < self.reread_to { self.buffered.len().min(1_000) } else { 0 };
            self.query(writer, RowRange { after: self.read_to.as_deref(), until: now, limit, max_skipped })
                .await?
        };
        (self.has_more, self.next_due) = (page.has_more, page.next_due);
        self.read_to = page.last_read.or(self.read_to.take());
        if self.is_read() && !self.must_reread && page.rows.is_empty() && self.buffered.is_empty() {
            self.recover_until = None;
        }
        let mut rows = page.rows;
        // A second row of the same delivery is read again after the first one is settled.
        rows.retain(|row| self.buffered.insert(row.sequence.clone(), 0).is_none());
        Ok(rows)
    }

    /// The first rows of the lane that are not buffered, from one query. A row may arrive late and be due
    /// before rows that were read; a later row of its user must not be read without it.
    async fn page_from_front<S: Store>(
        &self,
        writer: &DispositionWriter<S>,
        limit: usize,
        now: Timestamp,
    ) -> Result<RowPage, Error> {
        let mut max_skipped = self.buffered.len();
        loop {
            let page = self.query(writer, RowRange { after: None, until: now, limit, max_skipped }).await?;
            if !page.rows.is_empty() || !page.has_more {
                return Ok(page);
            }
            // Some buffered deliveries have more than one row.
            max_skipped = 2 * (max_skipped + limit);
        }
    }

    async fn query<S: Store>(
        &self,
        writer: &DispositionWriter<S>,
        range: RowRange<'_>,
    ) -> Result<RowPage, Error> {
        let is_known = |sequence: &str| self.buffered.contains_key(sequence);
        queue_rows::read_page(&writer.store, &writer.partition(), range, is_known).await
    }

    /// Loads the events that the queue needs now.
    async fn load<S: Store>(
        &mut self,
        rows: Vec<QueueRow>,
        writer: &DispositionWriter<S>,
        now: Timestamp,
        settled: &mut Vec<Settlement>,
    ) -> Result<(), Error> {
        let mut to_load = self.queue.select(rows);
        if !to_load.not_loaded.is_empty() {
            let partition = writer.partition();
            let keys = to_load.not_loaded.iter().map(|(_, sort)| (partition.clone(), sort.clone())).collect();
            let found = writer.store.get_all(TABLE, keys).await?;
            for ((sequence, _), item) in to_load.not_loaded.into_iter().zip(found) {
                match item {
                    Some(item) => to_load.rows.push(QueueRow::read(item)?),
                    None => self.forget(&sequence),
                }
            }
        }
        if to_load.rows.is_empty() {
            return Ok(());
        }
        self.max_loaded_bytes = 1;
        for loaded in load::load(&writer.wakeup, to_load.rows, self.recover_until, now, &writer.store).await?
        {
            match loaded {
                Loaded::Ready(task) if !task.row.queued.is_for(self.target.destination()) => {
                    let disposition = Disposition::Failed { reason: DESTINATION_DELETED.to_owned() };
                    let other = Settlement::not_sent(*task, disposition);
                    self.account(&other.row.sequence, other.bytes());
                    settled.push(other);
                }
                Loaded::Ready(task) => {
                    self.account(&task.row.sequence, task.bytes());
                    self.queue.push(task);
                }
                Loaded::Resolved(other) => {
                    self.account(&other.row.sequence, other.bytes());
                    settled.push(*other);
                }
            }
        }
        Ok(())
    }

    fn account(&mut self, sequence: &str, bytes: usize) {
        self.max_loaded_bytes = self.max_loaded_bytes.max(bytes);
        if let Some(known) = self.buffered.get_mut(sequence) {
            self.buffered_bytes = self.buffered_bytes + bytes - std::mem::replace(known, bytes);
        }
    }

    /// After a call only a part of the event is needed.
    pub(super) fn account_completed(&mut self, settled: &Settlement) {
        let max_loaded_bytes = self.max_loaded_bytes;
        self.account(&settled.row.sequence, settled.bytes());
        self.max_loaded_bytes = max_loaded_bytes;
    }

    /// A settlement is stored. Its delivery may have another row, or be due again at `due`.
    pub(super) fn on_stored(&mut self, sequence: &str, due: Option<Timestamp>) {
        self.must_reread = true;
        self.forget(sequence);
        self.next_due = self.next_due.into_iter().chain(due).min();
    }

    fn forget(&mut self, sequence: &str) {
        self.buffered_bytes -= self.buffered.remove(sequence).unwrap_or_default();
    }

    /// Drops all deliveries that are not in flight.
    pub(super) fn clear(&mut self) {
        for sequence in self.queue.clear() {
            self.forget(&sequence);
        }
    }
}
