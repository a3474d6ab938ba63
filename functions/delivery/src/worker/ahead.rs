//! What is read of a lane ahead of its calls: enough that no call waits for storage, and no more than memory has room
//! for, however large events are and however many lie in the lane.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    attempt::Target,
    drain::DELETED,
    due::{self, QueueRow, RowPage, RowRange},
    load::{self, Loaded},
    order::OrderedQueue,
    record::{Disposition, DispositionWriter, Settlement},
};
use crate::model::{self, TABLE};
use kernel::{error::Error, store::Store};

/// How many deliveries are read ahead for each call that may be on its way, and how many at least and at most.
const AHEAD: usize = 8;
const WINDOW: std::ops::RangeInclusive<usize> = 64..=512;
/// So many bytes of events are at hand when no more are read,
const FULL: usize = 4 << 20;
/// but so many of those that were read at a time.
const LEAST: usize = 8;
/// How large events are thought to be before some were seen, in bytes.
const LARGE: usize = 100 << 10;
/// So many deliveries are known that wait for others of their user; no more are read then.
const BEHIND: usize = 20_000;
/// How many pages of what is not due yet are read at once.
const PAGES: usize = 32;
/// How often the lane is looked at while calls are on their way; and from its front, and how much less often for each
/// that is at hand.
const LOOK: Duration = Duration::from_millis(200);
const LOOK_FOR_EACH: Duration = Duration::from_micros(100);

/// What was read of a lane.
pub(super) struct Prefetch {
    pub(super) line: OrderedQueue,
    /// The sequences of all that was read and whose end is not written down, and how many bytes each takes up.
    at_hand: HashMap<String, usize>,
    bytes: usize,
    /// How many the largest of those takes up that were loaded last.
    largest: usize,
    /// The sort of the row that was read last; and of the one before which all were, when reading began anew.
    after: Option<String>,
    until: Option<String>,
    /// Whether there may be more behind it,
    more: bool,
    /// and before it: what came late, or another row of the same delivery.
    again: bool,
    looked: Instant,
    looked_at_front: Instant,
    next_due: Option<Timestamp>,
    /// What was due by then may be half written down.
    recovers: Option<Timestamp>,
    /// What is read before it is due, and when the outage ended that it waited for.
    forward: Option<EarlyRetries>,
    recovered_at: Option<Timestamp>,
    target: Arc<Target>,
}

/// A way through what waits for another try: an outage has ended, and what failed before is not to wait for its
/// schedule. Rows stay where they are until they are sent.
#[derive(Clone, Debug)]
struct EarlyRetries {
    /// When the outage ended: what failed since waits.
    ended_at: Timestamp,
    /// The sort of the row that was read last.
    after: String,
    /// Whether there may be something new before it.
    again: bool,
}

impl EarlyRetries {
    /// One that begins with what is due next.
    fn new(ended_at: Timestamp, now: Timestamp) -> Self {
        Self { ended_at, after: model::queued_sort(now, "~"), again: false }
    }

    /// Whether a row that is not due yet waits because of the outage. One whose filter was too slow does not.
    fn holds(&self, row: &QueueRow) -> bool {
        let waits_for_filter = row.queued.filter_pending && row.queued.tries > 0;
        row.waits
            && !waits_for_filter
            && row.queued.failed_at.is_none_or(|failed_at| failed_at < self.ended_at)
    }
}

impl Prefetch {
    /// Nothing is read yet.
    pub(super) fn new(line: OrderedQueue, recovers: Option<Timestamp>, target: Arc<Target>) -> Self {
        let now = Instant::now();
        Self {
            line,
            at_hand: HashMap::new(),
            bytes: 0,
            largest: LARGE,
            after: None,
            until: None,
            more: true,
            again: false,
            looked: now,
            looked_at_front: now,
            next_due: None,
            recovers,
            forward: None,
            recovered_at: None,
            target,
        }
    }

    /// Reads what failed before `ended_at` before it is due, beginning with what is due next.
    pub(super) fn bring_forward(&mut self, ended_at: Timestamp, now: Timestamp) {
        (self.forward, self.recovered_at) = (Some(EarlyRetries::new(ended_at, now)), Some(ended_at));
    }

    /// When the outage ended, while something may be left to read before it is due.
    pub(super) fn brings_forward(&self) -> Option<Timestamp> {
        self.forward.as_ref().map(|forward| forward.ended_at)
    }

    /// What was read before it was due has ended, and may have held up what came after it was read.
    pub(super) fn ended_early(&mut self, now: Timestamp) {
        let recovered_at = self.recovered_at.filter(|_| self.line.is_ordered());
        match &mut self.forward {
            Some(forward) => forward.again = true,
            None => self.forward = recovered_at.map(|ended_at| EarlyRetries::new(ended_at, now)),
        }
    }

    /// When something is due that is not due yet.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.next_due
    }

    /// Whether all that was due has been read.
    pub(super) fn is_read(&self) -> bool {
        !self.more && !self.line.is_hungry() && self.forward.is_none()
    }

    /// There may be something new.
    pub(super) fn ring(&mut self) {
        (self.more, self.again) = (true, true);
    }

    /// Something that was read before is due by now.
    pub(super) fn look(&mut self) {
        self.more = true;
    }

    /// Begins anew with what is due, if there may be something that was not seen.
    pub(super) fn start_again(&mut self) -> bool {
        let again = std::mem::take(&mut self.again);
        if again {
            self.until = self.until.take().max(self.after.take());
            self.more = true;
            self.looked_at_front = Instant::now();
        }
        again
    }

    /// What is due now may be half written down.
    pub(super) fn recover(&mut self, now: Timestamp) {
        self.recovers = Some(now);
    }

    /// Reads what is due, when little is left in line; gives what turned out to have ended.
    pub(super) async fn read<S: Store>(
        &mut self,
        book: &DispositionWriter<S>,
        concurrency: usize,
        flying: usize,
        now: Timestamp,
    ) -> Result<Vec<Settlement>, Error> {
        let many = u32::try_from(self.at_hand.len()).unwrap_or(u32::MAX);
        let from_front = LOOK + LOOK_FOR_EACH * many;
        let pause = if self.line.is_ordered() { from_front } else { LOOK };
        if flying > 0 && self.looked.elapsed() >= pause {
            self.more = true;
        }
        if self.again && self.looked_at_front.elapsed() >= from_front {
            self.start_again();
        }
        let window = concurrency.saturating_mul(AHEAD).clamp(*WINDOW.start(), *WINDOW.end());
        let mut ended = Vec::new();
        let mut pages = 0;
        loop {
            let is_heavy = self.bytes >= FULL && self.line.len() + flying >= concurrency;
            let is_full = self.line.ready() * 2 > window
                || self.at_hand.len() - self.line.behind() > window * 4
                || self.line.behind() > BEHIND;
            let rows = if is_heavy {
                return Ok(ended);
            } else if self.line.is_hungry() {
                Vec::new()
            } else if self.more && !is_full {
                self.page(book, window, now).await?
            } else if let Some(forward) = self.forward.clone().filter(|_| !is_full && pages < PAGES) {
                pages += 1;
                self.forward_page(forward, book, window, now).await?
            } else {
                return Ok(ended);
            };
            self.take(rows, book, now, &mut ended).await?;
        }
    }

    /// The next rows that are not due yet, and are not to wait until they are. In a lane that keeps order they are read
    /// before its front, so that what came late is seen before they are in line.
    async fn forward_page<S: Store>(
        &mut self,
        forward: EarlyRetries,
        book: &DispositionWriter<S>,
        window: usize,
        now: Timestamp,
    ) -> Result<Vec<QueueRow>, Error> {
        let range = RowRange { after: Some(&forward.after), until: Timestamp::MAX, limit: window, slack: 0 };
        let page = self.query(book, range).await?;
        let mut rows = if self.line.is_ordered() { self.page(book, window, now).await? } else { Vec::new() };
        if self.more {
            // What is due goes first.
            return Ok(rows);
        }
        let ahead = page.rows.into_iter().filter(|row| forward.holds(row));
        rows.extend(ahead.filter(|row| self.at_hand.insert(row.sequence.clone(), 0).is_none()));
        self.forward = match page.last.filter(|_| page.is_full) {
            Some(after) => Some(EarlyRetries { after, ..forward }),
            None => forward.again.then(|| EarlyRetries::new(forward.ended_at, now)),
        };
        Ok(rows)
    }

    /// The next rows.
    async fn page<S: Store>(
        &mut self,
        book: &DispositionWriter<S>,
        window: usize,
        now: Timestamp,
    ) -> Result<Vec<QueueRow>, Error> {
        let room = FULL.saturating_sub(self.bytes) / self.largest.max(1);
        let limit = window.min(room.max(LEAST));
        self.looked = Instant::now();
        let page = if self.line.is_ordered() {
            self.page_from_front(book, limit, now).await?
        } else {
            // What was read before is left out.
            let slack = if self.after < self.until { self.at_hand.len().min(1_000) } else { 0 };
            self.query(book, RowRange { after: self.after.as_deref(), until: now, limit, slack }).await?
        };
        (self.more, self.next_due) = (page.is_full, page.next_due);
        self.after = page.last.or(self.after.take());
        if self.is_read() && !self.again && page.rows.is_empty() && self.at_hand.is_empty() {
            self.recovers = None;
        }
        let mut rows = page.rows;
        // A second row of the same delivery is looked at when the first one has ended.
        rows.retain(|row| self.at_hand.insert(row.sequence.clone(), 0).is_none());
        Ok(rows)
    }

    /// The first rows of the lane that are not known, all found by one query. A row may come late that is due before
    /// what was read, and a later one of its user must not be seen without it.
    async fn page_from_front<S: Store>(
        &self,
        book: &DispositionWriter<S>,
        limit: usize,
        now: Timestamp,
    ) -> Result<RowPage, Error> {
        let mut slack = self.at_hand.len();
        loop {
            let page = self.query(book, RowRange { after: None, until: now, limit, slack }).await?;
            if !page.rows.is_empty() || !page.is_full {
                return Ok(page);
            }
            // More rows of what is known than one each.
            slack = 2 * (slack + limit);
        }
    }

    async fn query<S: Store>(
        &self,
        book: &DispositionWriter<S>,
        range: RowRange<'_>,
    ) -> Result<RowPage, Error> {
        let is_known = |sequence: &str| self.at_hand.contains_key(sequence);
        due::read(&book.store, &book.partition(), range, is_known).await
    }

    /// Loads what is to be in line now.
    async fn take<S: Store>(
        &mut self,
        rows: Vec<QueueRow>,
        book: &DispositionWriter<S>,
        now: Timestamp,
        ended: &mut Vec<Settlement>,
    ) -> Result<(), Error> {
        let mut taken = self.line.take(rows);
        if !taken.behind.is_empty() {
            let partition = book.partition();
            let keys = taken.behind.iter().map(|(_, sort)| (partition.clone(), sort.clone())).collect();
            let found = book.store.get_all(TABLE, keys).await?;
            for ((sequence, _), item) in taken.behind.into_iter().zip(found) {
                match item {
                    Some(item) => taken.rows.push(QueueRow::read(item)?),
                    None => self.end(&sequence),
                }
            }
        }
        if taken.rows.is_empty() {
            return Ok(());
        }
        self.largest = 1;
        for loaded in load::load(&book.wake, taken.rows, self.recovers, now, &book.store).await? {
            match loaded {
                Loaded::Ready(parcel) if !parcel.row.queued.is_for(self.target.destination()) => {
                    let fate = Disposition::Failed { reason: DELETED.to_owned() };
                    let other = Settlement::new(*parcel, fate);
                    self.weigh(&other.row.sequence, other.bytes());
                    ended.push(other);
                }
                Loaded::Ready(parcel) => {
                    self.weigh(&parcel.row.sequence, parcel.bytes());
                    self.line.push(parcel);
                }
                Loaded::Resolved(other) => {
                    self.weigh(&other.row.sequence, other.bytes());
                    ended.push(*other);
                }
            }
        }
        Ok(())
    }

    fn weigh(&mut self, sequence: &str, bytes: usize) {
        self.largest = self.largest.max(bytes);
        if let Some(known) = self.at_hand.get_mut(sequence) {
            self.bytes = self.bytes + bytes - std::mem::replace(known, bytes);
        }
    }

    /// A call ended: so much is kept of its event.
    pub(super) fn land(&mut self, ended: &Settlement) {
        let largest = self.largest;
        self.weigh(&ended.row.sequence, ended.bytes());
        self.largest = largest;
    }

    /// The end of one is written down; it may have another row, or come back at `due`.
    pub(super) fn settle(&mut self, sequence: &str, due: Option<Timestamp>) {
        self.again = true;
        self.end(sequence);
        self.next_due = self.next_due.into_iter().chain(due).min();
    }

    fn end(&mut self, sequence: &str) {
        self.bytes -= self.at_hand.remove(sequence).unwrap_or_default();
    }

    /// Forgets what is not on its way.
    pub(super) fn clear(&mut self) {
        for sequence in self.line.clear() {
            self.end(&sequence);
        }
    }
}
