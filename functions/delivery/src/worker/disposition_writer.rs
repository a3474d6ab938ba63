//! Stores the dispositions of many deliveries at once. One call to storage may apply its writes in any order,
//! so each step is a call of its own:
//!
//! 1. queue rows of retries and of deferred or blocked deliveries
//! 2. the records of the deliveries
//! 3. the event responses
//! 4. the deletion of obsolete records, then of the processed queue rows
//!
//! Deliveries that failed for good follow after all others, and their quarantine objects are written first. A
//! crash between any two writes leaves a row that leads to the same result.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::{
    context::WorkerContext,
    response_updates::ResponseUpdates,
    settlement::{Disposition, Settlement},
    task::{Blocker, QueueRow},
};
use crate::model::{self, Delivery, MAX_STORED_ATTEMPTS, Queued, Status, TABLE, Wakeup};
use destinations::destination::Destination;
use kernel::{
    batch::{Batch, BatchId, Kind},
    error::Error,
    fault::{ErrorType, Fault, rule},
    objects::Objects,
    provenance::Source,
    quarantine::{Entry, Writer},
    store::{Condition, Item, Query, Store},
};

/// The partition and the sort key of an item.
type Key = (String, String);

/// How many records are read at once.
const MAX_PAGE_ROWS: usize = 1_000;

/// The writer of dispositions for one lane.
#[derive(Clone, Debug)]
pub(super) struct DispositionWriter<S> {
    pub(super) store: S,
    pub(super) objects: Objects,
    pub(super) wakeup: Wakeup,
    pub(super) random: fn() -> u128,
    pub(super) response_updates: ResponseUpdates,
}

impl<S: Store> DispositionWriter<S> {
    /// The writer for the lane of a wake-up.
    pub(super) fn new<Q>(
        context: &WorkerContext<S, Q>,
        wakeup: Wakeup,
        response_updates: ResponseUpdates,
    ) -> Self {
        let WorkerContext { store, objects, random, .. } = context;
        Self { store: store.clone(), objects: objects.clone(), wakeup, random: *random, response_updates }
    }

    /// Stores the dispositions; a repetition has the same result. `id` is new: it names the quarantine
    /// objects. A failure to store a failed delivery does not affect the others. Returns the sequences whose
    /// rows remain, because other workers changed their event responses in each round; such a row leads to
    /// the same result later.
    pub(super) async fn store_all(
        &self,
        settlements: &mut [Settlement],
        id: BatchId,
    ) -> Result<HashSet<String>, Error> {
        self.adopt_delivered(settlements).await?;
        let has_failed =
            |settlement: &Settlement| matches!(settlement.disposition, Disposition::Failed { .. });
        settlements.sort_by_key(has_failed);
        let (others, failed) =
            settlements.split_at_mut(settlements.partition_point(|settlement| !has_failed(settlement)));
        let unfinished = self.store_group(others).await?;
        if !failed.is_empty() {
            self.quarantine(failed, id).await?;
            self.store_group(failed).await?;
        }
        Ok(unfinished)
    }

    /// `put_all` is unordered, so queue rows are written first (a pending record must point to an existing
    /// row), and the processed row is deleted last.
    async fn store_group(&self, settlements: &mut [Settlement]) -> Result<HashSet<String>, Error> {
        let [queue_rows, records] = self.rows_to_put(settlements)?;
        for puts in [queue_rows, records] {
            if !puts.is_empty() {
                let puts = puts.into_iter().map(|item| (item, Condition::None)).collect();
                self.store.put_all(TABLE, puts).await?;
            }
        }
        let unfinished =
            self.response_updates.apply(settlements, &self.wakeup, &self.store, self.random).await?;
        let finished = settlements.iter().filter(|settlement| !unfinished.contains(&settlement.row.sequence));
        let (obsolete, processed): (Vec<_>, Vec<_>) =
            finished.map(|settlement| self.rows_to_delete(settlement)).unzip();
        for keys in [obsolete.concat(), processed.into_iter().flatten().collect()] {
            if !keys.is_empty() {
                self.store.delete_all(TABLE, keys).await?;
            }
        }
        Ok(unfinished)
    }

    /// A delivery that another worker has delivered meanwhile counts as delivered, with any result of this
    /// worker.
    async fn adopt_delivered(&self, settlements: &mut [Settlement]) -> Result<(), Error> {
        let writes = |disposition: &Disposition| {
            !matches!(
                disposition,
                Disposition::Delivered
                    | Disposition::Deferred { .. }
                    | Disposition::AlreadyDone { .. }
                    | Disposition::Superseded
            )
        };
        let unconfirmed: Vec<&mut Settlement> =
            settlements.iter_mut().filter(|settlement| writes(&settlement.disposition)).collect();
        if unconfirmed.is_empty() {
            return Ok(());
        }
        let keys = unconfirmed
            .iter()
            .map(|settlement| (self.partition(), Status::Delivered.sort(&settlement.row.sequence)));
        let found = self.store.get_all(TABLE, keys.collect()).await?;
        for (settlement, found) in unconfirmed.into_iter().zip(found) {
            let Some(item) = found else { continue };
            settlement.attempts = model::body::<Delivery>(&item)?.attempts;
            (settlement.disposition, settlement.payload) = (Disposition::Delivered, None);
        }
        Ok(())
    }

    /// Writes events and reasons of failed deliveries to quarantine, one object for each endpoint that the
    /// events came from.
    async fn quarantine(&self, settlements: &[Settlement], id: BatchId) -> Result<(), Error> {
        let mut writers = BTreeMap::<&str, (Batch, Writer)>::new();
        for settlement in settlements {
            let Disposition::Failed { reason } = &settlement.disposition else { continue };
            let via = settlement.payload.as_ref().map_or(Source::Events, |payload| payload.via);
            if !writers.contains_key(via.provider()) {
                let batch = Batch {
                    batch_id: id,
                    tenant: self.wakeup.tenant.clone(),
                    provider: via.provider().parse()?,
                    kind: Kind::Event,
                    received_at: id.made_at(),
                    order: 0,
                    replay: 0,
                    chunk: None,
                    rules: kernel::Rules::default(),
                };
                writers.insert(via.provider(), (batch, Writer::default()));
            }
            if let Some((batch, writer)) = writers.get_mut(via.provider()) {
                writer.push(batch, &self.quarantine_entry(settlement, via, reason)?)?;
            }
        }
        for (batch, writer) in writers.into_values() {
            writer.finish(&batch, &self.objects).await?;
        }
        Ok(())
    }

    fn quarantine_entry(&self, settlement: &Settlement, via: Source, reason: &str) -> Result<Entry, Error> {
        let QueueRow { sequence, queued, .. } = &settlement.row;
        let broken = || Error::BadInput("a queue row has an invalid sequence".into());
        let (id, index) = sequence.rsplit_once('-').ok_or_else(broken)?;
        let record =
            settlement.payload.as_ref().map(|payload| RawValue::from_string(payload.original.clone()));
        let last = settlement.attempts.last().filter(|last| last.error.as_deref() == Some(reason));
        let why = last.and_then(|last| last.message.as_ref()).map(|why| format!(": {why}"));
        let (destination, why) = (&self.wakeup.destination, why.unwrap_or_default());
        let message = format!("was not taken by destination {destination}: {reason}{why}");
        Ok(Entry {
            batch_id: id.parse()?,
            index: index.parse().map_err(|_| broken())?,
            kind: Kind::Event,
            message_id: Some(queued.message_id.clone()),
            via: Some(via),
            sent_at: None,
            destination: Some(self.wakeup.destination.clone()),
            line: 0,
            received_at: queued.received_at,
            order: 0,
            rules: kernel::Rules::default(),
            retry_count: queued.replays.into(),
            error_type: ErrorType::Delivery,
            faults: vec![Fault::new("", rule::DELIVERY, message)],
            record: record.transpose().map_err(|_| Error::BadInput("a stored event is not JSON".into()))?,
            text: None,
            base64: None,
        })
    }

    /// The queue rows and the records to write.
    fn rows_to_put(&self, settlements: &[Settlement]) -> Result<[Vec<Item>; 2], Error> {
        let (mut queue_rows, mut records) = (Vec::new(), Vec::new());
        for settlement in settlements {
            let Settlement { row, disposition, .. } = settlement;
            let QueueRow { sequence, queued: before, .. } = row;
            match disposition {
                Disposition::Delivered => {
                    records.push(self.delivery_item(row, &self.record(settlement, Status::Delivered))?)
                }
                Disposition::Failed { reason } => {
                    let record = self.record(settlement, Status::Failed);
                    records
                        .push(self.delivery_item(row, &Delivery { reason: Some(reason.clone()), ..record })?);
                }
                Disposition::Retry { due, queued } => {
                    queue_rows.push(self.queue_item(sequence, *due, 1, queued)?);
                    records.push(self.pending_item(settlement, *due, queued.blocking_since)?);
                }
                Disposition::Requeued { queued } => {
                    queue_rows.push(self.queue_item(sequence, row.due, row.version + 1, queued)?);
                    records.push(self.pending_item(settlement, row.due, queued.blocking_since)?);
                }
                Disposition::Blocked { due } => {
                    let queued =
                        Queued { blocking_since: before.blocking_since.or(Some(*due)), ..before.clone() };
                    queue_rows.push(self.queue_item(sequence, *due, 1, &queued)?);
                    records.push(self.pending_item(settlement, *due, None)?);
                }
                Disposition::Deferred { due } => queue_rows.push(self.queue_item(sequence, *due, 1, before)?),
                Disposition::AlreadyDone { .. } | Disposition::Superseded | Disposition::Filtered => {}
            }
        }
        Ok([queue_rows, records])
    }

    /// The record of a delivery that waits until `due`.
    fn pending_item(
        &self,
        settlement: &Settlement,
        due: Timestamp,
        blocking_since: Option<Timestamp>,
    ) -> Result<Item, Error> {
        let record = self.record(settlement, Status::Pending);
        self.delivery_item(
            &settlement.row,
            &Delivery { next_attempt_at: Some(due), blocking_since, ..record },
        )
    }

    /// The record of a delivery.
    fn record(&self, settlement: &Settlement, status: Status) -> Delivery {
        let Queued {
            message_id, user, channel, received_at, destination_made, replays, filter_pending, ..
        } = settlement.row.queued.clone();
        let first = settlement.attempts.len().saturating_sub(MAX_STORED_ATTEMPTS);
        Delivery {
            message_id,
            destination: self.wakeup.destination.clone(),
            status,
            attempts: settlement.attempts[first..].to_vec(),
            next_attempt_at: None,
            blocking_since: None,
            reason: None,
            user,
            channel,
            received_at,
            destination_made,
            replays,
            filter_pending,
        }
    }

    fn delivery_item(&self, row: &QueueRow, delivery: &Delivery) -> Result<Item, Error> {
        // The version distinguishes this failure from the one before the redrive.
        let version = u64::from(delivery.replays) + 1;
        model::item(&self.partition(), delivery.status.sort(&row.sequence), version, delivery)
    }

    fn queue_item(
        &self,
        sequence: &str,
        due: Timestamp,
        version: u64,
        queued: &Queued,
    ) -> Result<Item, Error> {
        model::item(&self.partition(), model::queued_sort(due, sequence), version, queued)
    }

    /// The obsolete records, and the processed queue row.
    fn rows_to_delete(&self, settlement: &Settlement) -> (Vec<Key>, Option<Key>) {
        let Settlement { row, disposition, .. } = settlement;
        let obsolete = match disposition {
            Disposition::Delivered
            | Disposition::Filtered
            | Disposition::AlreadyDone { was_delivered: true }
                if row.queued.replays > 0 =>
            {
                vec![Status::Failed, Status::Pending]
            }
            Disposition::Delivered | Disposition::Filtered | Disposition::Failed { .. } if row.has_record => {
                vec![Status::Pending]
            }
            Disposition::AlreadyDone { .. } => vec![Status::Pending],
            _ => Vec::new(),
        };
        let is_kept = match disposition {
            Disposition::Requeued { .. } => true,
            // The processed row has the same key as the new one.
            Disposition::Retry { due, .. } | Disposition::Blocked { due } | Disposition::Deferred { due } => {
                model::queued_sort(*due, &row.sequence) == row.sort
            }
            _ => false,
        };
        let key = |sort| (self.partition(), sort);
        let obsolete = obsolete.into_iter().map(|status| key(status.sort(&row.sequence))).collect();
        (obsolete, (!is_kept).then(|| key(row.sort.clone())))
    }

    /// The blockers of the lane, each with its user and sequence: deliveries that wait for another attempt,
    /// or are themselves blocked. Time before the last change of the destination does not count.
    pub(super) async fn blockers(&self, of: &Destination) -> Result<Vec<(String, String, Blocker)>, Error> {
        let max_block = of.hold();
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let query = Query {
                partition: self.partition(),
                prefix: Status::Pending.prefix().to_owned(),
                after,
                descending: false,
                limit: MAX_PAGE_ROWS,
            };
            let items = self.store.query(TABLE, query).await?;
            for item in &items {
                let pending: Delivery = model::body(item)?;
                if !pending.is_for(of) {
                    continue;
                }
                if let (Some(user), Some(due)) = (pending.user, pending.next_attempt_at) {
                    let since = pending.blocking_since.unwrap_or(due).max(of.updated_at);
                    let sequence = item.sort.trim_start_matches(Status::Pending.prefix()).to_owned();
                    all.push((user, sequence, Blocker { due, blocks_until: since + max_block }));
                }
            }
            if items.len() < MAX_PAGE_ROWS {
                return Ok(all);
            }
            after = items.last().map(|item| item.sort.clone());
        }
    }

    pub(super) fn partition(&self) -> String {
        model::partition(&self.wakeup.tenant, &self.wakeup.destination)
    }
}
