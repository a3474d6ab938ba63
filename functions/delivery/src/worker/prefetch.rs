//! What is read of a lane ahead of its calls: enough that no call waits for storage, and no more than memory has room
//! for, however large events are and however many lie in the lane.

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

/// How many deliveries are read ahead for each call that may be on its way, and how many at least and at most.
const PREFETCH_PER_CALL: usize = 8;
const PREFETCH_RANGE: std::ops::RangeInclusive<usize> = 64..=512;
/// So many bytes of events are at hand when no more are read,
const MAX_BUFFERED_BYTES: usize = 4 << 20;
/// but so many of those that were read at a time.
const MIN_PAGE_ROWS: usize = 8;
/// How large events are thought to be before some were seen, in bytes.
const ASSUMED_EVENT_BYTES: usize = 100 << 10;
/// So many deliveries are known that wait for others of their user; no more are read then.
const MAX_NOT_LOADED: usize = 20_000;
/// How many pages of what is not due yet are read at once.
const MAX_EARLY_PAGES: usize = 32;
/// How often the lane is looked at while calls are on their way; and from its front, and how much less often for each
/// that is at hand.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
const POLL_INTERVAL_PER_BUFFERED: Duration = Duration::from_micros(100);

/// What was read of a lane.
pub(super) struct Prefetch {
    pub(super) queue: OrderedQueue,
    /// The sequences of all that was read and whose end is not written down, and how many bytes each takes up.
    buffered: HashMap<String, usize>,
    buffered_bytes: usize,
    /// How many the largest of those takes up that were loaded last.
    max_loaded_bytes: usize,
    /// The sort of the row that was read last; and of the one before which all were, when reading began anew.
    read_to: Option<String>,
    reread_to: Option<String>,
    /// Whether there may be more behind it,
    has_more: bool,
    /// and before it: what came late, or another row of the same delivery.
    must_reread: bool,
    page_read_at: Instant,
    front_read_at: Instant,
    next_due: Option<Timestamp>,
    /// What was due by then may be half written down.
    recover_until: Option<Timestamp>,
    /// What is read before it is due, and when the outage ended that it waited for.
    early: Option<EarlyRetries>,
    outage_ended_at: Option<Timestamp>,
    target: Arc<Target>,
}

/// A way through what waits for another try: an outage has ended, and what failed before is not to wait for its
/// schedule. Rows stay where they are until they are sent.
#[derive(Clone, Debug)]
struct EarlyRetries {
    /// When the outage ended: what failed since waits.
    failed_before: Timestamp,
    /// The sort of the row that was read last.
    read_to: String,
    /// Whether there may be something new before it.
    must_reread: bool,
}

impl EarlyRetries {
    /// One that begins with what is due next.
    fn new(failed_before: Timestamp, now: Timestamp) -> Self {
        Self { failed_before, read_to: model::queued_sort(now, "~"), must_reread: false }
    }

    /// Whether a row that is not due yet waits because of the outage. One whose filter was too slow does not.
    fn matches(&self, row: &QueueRow) -> bool {
        let waits_for_filter = row.queued.filter_pending && row.queued.tries > 0;
        row.has_record
            && !waits_for_filter
            && row.queued.failed_at.is_none_or(|failed_at| failed_at < self.failed_before)
    }
}

impl Prefetch {
    /// Nothing is read yet.
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

    /// Reads what failed before `failed_before` before it is due, beginning with what is due next.
    pub(super) fn retry_early(&mut self, failed_before: Timestamp, now: Timestamp) {
        (self.early, self.outage_ended_at) =
            (Some(EarlyRetries::new(failed_before, now)), Some(failed_before));
    }

    /// When the outage ended, while something may be left to read before it is due.
    pub(super) fn outage_ended_at(&self) -> Option<Timestamp> {
        self.early.as_ref().map(|early| early.failed_before)
    }

    /// What was read before it was due has ended, and may have held up what came after it was read.
    pub(super) fn on_early_end(&mut self, now: Timestamp) {
        let outage_ended_at = self.outage_ended_at.filter(|_| self.queue.is_ordered());
        match &mut self.early {
            Some(early) => early.must_reread = true,
            None => self.early = outage_ended_at.map(|failed_before| EarlyRetries::new(failed_before, now)),
        }
    }

    /// When something is due that is not due yet.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.next_due
    }

    /// Whether all that was due has been read.
    pub(super) fn is_read(&self) -> bool {
        !self.has_more && !self.queue.needs_refill() && self.early.is_none()
    }

    /// There may be something new.
    pub(super) fn mark_stale(&mut self) {
        (self.has_more, self.must_reread) = (true, true);
    }

    /// Something that was read before is due by now.
    pub(super) fn expect_due(&mut self) {
        self.has_more = true;
    }

    /// Begins anew with what is due, if there may be something that was not seen.
    pub(super) fn restart(&mut self) -> bool {
        let must_reread = std::mem::take(&mut self.must_reread);
        if must_reread {
            self.reread_to = self.reread_to.take().max(self.read_to.take());
            self.has_more = true;
            self.front_read_at = Instant::now();
        }
        must_reread
    }

    /// What is due now may be half written down.
    pub(super) fn recover(&mut self, now: Timestamp) {
        self.recover_until = Some(now);
    }

    /// Reads what is due, when little is left in line; gives what turned out to have ended.
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

    /// The next rows that are not due yet, and are not to wait until they are. In a lane that keeps order they are read
    /// before its front, so that what came late is seen before they are in line.
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
            // What is due goes first.
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

    /// The next rows.
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
            // What was read before is left out.
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
        // A second row of the same delivery is looked at when the first one has ended.
        rows.retain(|row| self.buffered.insert(row.sequence.clone(), 0).is_none());
        Ok(rows)
    }

    /// The first rows of the lane that are not known, all found by one query. A row may come late that is due before
    /// what was read, and a later one of its user must not be seen without it.
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
            // More rows of what is known than one each.
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

    /// Loads what is to be in line now.
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

    /// A call ended: so much is kept of its event.
    pub(super) fn account_completed(&mut self, settled: &Settlement) {
        let max_loaded_bytes = self.max_loaded_bytes;
        self.account(&settled.row.sequence, settled.bytes());
        self.max_loaded_bytes = max_loaded_bytes;
    }

    /// The end of one is written down; it may have another row, or come back at `due`.
    pub(super) fn on_stored(&mut self, sequence: &str, due: Option<Timestamp>) {
        self.must_reread = true;
        self.forget(sequence);
        self.next_due = self.next_due.into_iter().chain(due).min();
    }

    fn forget(&mut self, sequence: &str) {
        self.buffered_bytes -= self.buffered.remove(sequence).unwrap_or_default();
    }

    /// Forgets what is not on its way.
    pub(super) fn clear(&mut self) {
        for sequence in self.queue.clear() {
            self.forget(&sequence);
        }
    }
}
