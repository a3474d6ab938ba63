//! Writes down what came of deliveries, many at once: first how each stands, then the response that the event is kept
//! with, and last the rows that said what to send go. Whoever dies in between leaves a row that leads to the same end.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::{
    WorkerContext,
    attempt::CallResult,
    due::QueueRow,
    flip::ResponseUpdates,
    load::{DeliveryTask, Payload, VersionedResponse},
    order::Blocker,
};
use crate::model::{self, ATTEMPTS, Attempt, Delivery, Queued, Status, TABLE, Wakeup};
use destinations::destination::Destination;
use kernel::{
    arrival::Via,
    batch::{Batch, BatchId, Kind},
    error::Error,
    fault::{ErrorType, Fault, rule},
    objects::Objects,
    quarantine::{Entry, Writer},
    store::{Condition, Item, Query, Store},
};

/// Where a row lies: its partition and its sort.
type Key = (String, String);

/// How many rows are read at once.
const PAGE: usize = 1_000;

/// What came of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Disposition {
    /// The destination has it.
    Delivered,
    /// It is tried again, by this row.
    Retry {
        /// When.
        due: Timestamp,
        /// The row.
        queued: Queued,
    },
    /// It stays due; what was tried is kept.
    Requeued {
        /// The row, as it is now.
        queued: Queued,
    },
    /// It is not tried again.
    Failed {
        /// Why.
        reason: String,
    },
    /// It waits until then, and nothing was tried.
    Deferred {
        /// Until when.
        due: Timestamp,
    },
    /// It waits until then behind an earlier one of its user, and later ones wait behind it.
    Blocked {
        /// Until when.
        due: Timestamp,
    },
    /// It ended before; what is left of its queue goes.
    AlreadyDone {
        /// Whether it was delivered: then the failure goes that it was sent again for.
        was_delivered: bool,
    },
    /// Another row stands for it.
    Superseded,
    /// The filter of the destination does not let it through: nothing is left of it there.
    Filtered,
}

impl Disposition {
    /// Whether the response of the event is to say so.
    pub(super) fn is_in_response(&self) -> bool {
        matches!(self, Self::Delivered | Self::Filtered)
    }
}

/// A delivery, and what came of it.
#[derive(Debug)]
pub(super) struct Settlement {
    pub(super) row: QueueRow,
    pub(super) letter: Option<Payload>,
    /// As it was read, where it is at hand.
    pub(super) response: Option<VersionedResponse>,
    /// Everything that was tried, the last one included.
    pub(super) attempts: Vec<Attempt>,
    pub(super) fate: Disposition,
    /// Whether a call was made, or tried to be.
    pub(super) was_sent: bool,
}

impl Settlement {
    /// A parcel that was not sent. What is not needed any more of its event goes.
    pub(super) fn new(parcel: DeliveryTask, fate: Disposition) -> Self {
        let DeliveryTask { row, letter, response, attempts } = parcel;
        let has_failed = matches!(fate, Disposition::Failed { .. });
        let letter = has_failed.then(|| Payload { canonical: String::new(), ..letter });
        let response = response.filter(|_| fate.is_in_response());
        Self { row, letter, response, attempts, fate, was_sent: false }
    }

    /// A parcel whose call ended.
    pub(super) fn landed(called: CallResult, fate: Disposition) -> Self {
        let mut ended = Self::new(*called.parcel, fate);
        ended.attempts.push(called.attempt);
        Self { was_sent: true, ..ended }
    }
}

/// Where it is written down.
#[derive(Clone, Debug)]
pub(super) struct DispositionWriter<S> {
    pub(super) store: S,
    pub(super) objects: Objects,
    pub(super) wake: Wakeup,
    pub(super) random: fn() -> u128,
    pub(super) flips: ResponseUpdates,
}

impl<S: Store> DispositionWriter<S> {
    /// That of a lane.
    pub(super) fn new<Q>(tools: &WorkerContext<S, Q>, wake: Wakeup, flips: ResponseUpdates) -> Self {
        let WorkerContext { store, objects, random, .. } = tools;
        Self { store: store.clone(), objects: objects.clone(), wake, random: *random, flips }
    }

    /// Writes some down, which may be repeated. `id` is new: it names what goes to quarantine. What did not fail for good
    /// does not depend on what did. Gives the sequences of those whose rows were left, because their responses are being
    /// changed by others all the time: they lead to the same end.
    pub(super) async fn record(
        &self,
        ended: &mut [Settlement],
        id: BatchId,
    ) -> Result<HashSet<String>, Error> {
        self.heed(ended).await?;
        let has_failed = |ended: &Settlement| matches!(ended.fate, Disposition::Failed { .. });
        ended.sort_by_key(has_failed);
        let (others, failed) = ended.split_at_mut(ended.partition_point(|ended| !has_failed(ended)));
        let left = self.write(others).await?;
        if !failed.is_empty() {
            self.quarantine(failed, id).await?;
            self.write(failed).await?;
        }
        Ok(left)
    }

    /// What is put or deleted by one call comes in any order. So what is queued is put first: a row that says it waits
    /// for another try waits for one that is there. And the row that leads back here is deleted last.
    async fn write(&self, ended: &mut [Settlement]) -> Result<HashSet<String>, Error> {
        let [queued, tried] = self.rows(ended)?;
        for puts in [queued, tried] {
            if !puts.is_empty() {
                let puts = puts.into_iter().map(|item| (item, Condition::None)).collect();
                self.store.put_all(TABLE, puts).await?;
            }
        }
        let left = self.flip(ended).await?;
        let over = ended.iter().filter(|ended| !left.contains(&ended.row.sequence));
        let (beside, back): (Vec<_>, Vec<_>) = over.map(|ended| self.gone(ended)).unzip();
        for gone in [beside.concat(), back.into_iter().flatten().collect()] {
            if !gone.is_empty() {
                self.store.delete_all(TABLE, gone).await?;
            }
        }
        Ok(left)
    }

    /// What another courier has delivered meanwhile is delivered, whatever came of it here.
    async fn heed(&self, ended: &mut [Settlement]) -> Result<(), Error> {
        let writes = |fate: &Disposition| {
            !matches!(
                fate,
                Disposition::Delivered
                    | Disposition::Deferred { .. }
                    | Disposition::AlreadyDone { .. }
                    | Disposition::Superseded
            )
        };
        let doubtful: Vec<&mut Settlement> = ended.iter_mut().filter(|ended| writes(&ended.fate)).collect();
        if doubtful.is_empty() {
            return Ok(());
        }
        let keys =
            doubtful.iter().map(|ended| (self.partition(), Status::Delivered.sort(&ended.row.sequence)));
        let found = self.store.get_all(TABLE, keys.collect()).await?;
        for (ended, found) in doubtful.into_iter().zip(found) {
            let Some(item) = found else { continue };
            ended.attempts = model::body::<Delivery>(&item)?.attempts;
            (ended.fate, ended.letter) = (Disposition::Delivered, None);
        }
        Ok(())
    }

    /// Event and reason of what failed for good, an object for each door that events came in by.
    async fn quarantine(&self, ended: &[Settlement], id: BatchId) -> Result<(), Error> {
        let mut writers = BTreeMap::<&str, (Batch, Writer)>::new();
        for ended in ended {
            let Disposition::Failed { reason } = &ended.fate else { continue };
            let via = ended.letter.as_ref().map_or(Via::Events, |letter| letter.via);
            if !writers.contains_key(via.provider()) {
                let batch = Batch {
                    batch_id: id,
                    tenant: self.wake.tenant.clone(),
                    provider: via.provider().parse()?,
                    kind: Kind::Event,
                    received_at: id.made_at(),
                    order: 0,
                    replay: 0,
                    chunk: None,
                };
                writers.insert(via.provider(), (batch, Writer::default()));
            }
            if let Some((batch, writer)) = writers.get_mut(via.provider()) {
                writer.push(batch, &self.entry(ended, via, reason)?)?;
            }
        }
        for (batch, writer) in writers.into_values() {
            writer.finish(&batch, &self.objects).await?;
        }
        Ok(())
    }

    fn entry(&self, ended: &Settlement, via: Via, reason: &str) -> Result<Entry, Error> {
        let QueueRow { sequence, queued, .. } = &ended.row;
        let broken = || Error::BadInput("a row of the lane has a sequence that is none".into());
        let (id, index) = sequence.rsplit_once('-').ok_or_else(broken)?;
        let record = ended.letter.as_ref().map(|letter| RawValue::from_string(letter.payload.clone()));
        let last = ended.attempts.last().filter(|last| last.error.as_deref() == Some(reason));
        let why = last.and_then(|last| last.message.as_ref()).map(|why| format!(": {why}"));
        let (destination, why) = (&self.wake.destination, why.unwrap_or_default());
        let message = format!("was not taken by destination {destination}: {reason}{why}");
        Ok(Entry {
            batch_id: id.parse()?,
            index: index.parse().map_err(|_| broken())?,
            kind: Kind::Event,
            message_id: Some(queued.message_id.clone()),
            via: Some(via),
            sent_at: None,
            destination: Some(self.wake.destination.clone()),
            line: 0,
            received_at: queued.received_at,
            order: 0,
            retry_count: queued.replays.into(),
            error_type: ErrorType::Delivery,
            faults: vec![Fault::new("", rule::DELIVERY, message)],
            record: record.transpose().map_err(|_| Error::BadInput("an event is no JSON".into()))?,
            text: None,
            base64: None,
        })
    }

    /// The rows of deliveries as they stand now: what is queued, and what is known of each.
    fn rows(&self, ended: &[Settlement]) -> Result<[Vec<Item>; 2], Error> {
        let (mut lane, mut known) = (Vec::new(), Vec::new());
        for ended in ended {
            let Settlement { row, fate, .. } = ended;
            let QueueRow { sequence, queued: before, .. } = row;
            match fate {
                Disposition::Delivered => {
                    known.push(self.delivery(row, &self.tried(ended, Status::Delivered))?)
                }
                Disposition::Failed { reason } => {
                    let tried = self.tried(ended, Status::Failed);
                    known.push(self.delivery(row, &Delivery { reason: Some(reason.clone()), ..tried })?);
                }
                Disposition::Retry { due, queued } => {
                    lane.push(self.queued(sequence, *due, 1, queued)?);
                    known.push(self.waiting(ended, *due, queued.stuck_since)?);
                }
                Disposition::Requeued { queued } => {
                    lane.push(self.queued(sequence, row.due, row.version + 1, queued)?);
                    known.push(self.waiting(ended, row.due, queued.stuck_since)?);
                }
                Disposition::Blocked { due } => {
                    let queued = Queued { stuck_since: before.stuck_since.or(Some(*due)), ..before.clone() };
                    lane.push(self.queued(sequence, *due, 1, &queued)?);
                    known.push(self.waiting(ended, *due, None)?);
                }
                Disposition::Deferred { due } => lane.push(self.queued(sequence, *due, 1, before)?),
                Disposition::AlreadyDone { .. } | Disposition::Superseded | Disposition::Filtered => {}
            }
        }
        Ok([lane, known])
    }

    /// One that waits until then.
    fn waiting(
        &self,
        ended: &Settlement,
        due: Timestamp,
        stuck_since: Option<Timestamp>,
    ) -> Result<Item, Error> {
        let tried = self.tried(ended, Status::Pending);
        self.delivery(&ended.row, &Delivery { next_attempt_at: Some(due), stuck_since, ..tried })
    }

    /// What was tried.
    fn tried(&self, ended: &Settlement, status: Status) -> Delivery {
        let Queued { message_id, user, channel, received_at, of, replays, filter_pending, .. } =
            ended.row.queued.clone();
        let first = ended.attempts.len().saturating_sub(ATTEMPTS);
        Delivery {
            message_id,
            destination: self.wake.destination.clone(),
            status,
            attempts: ended.attempts[first..].to_vec(),
            next_attempt_at: None,
            stuck_since: None,
            reason: None,
            user,
            channel,
            received_at,
            of,
            replays,
            filter_pending,
        }
    }

    fn delivery(&self, row: &QueueRow, delivery: &Delivery) -> Result<Item, Error> {
        // A failure's version tells it from the one before it was sent again.
        let version = u64::from(delivery.replays) + 1;
        model::item(&self.partition(), delivery.status.sort(&row.sequence), version, delivery)
    }

    fn queued(&self, sequence: &str, due: Timestamp, version: u64, queued: &Queued) -> Result<Item, Error> {
        model::item(&self.partition(), model::queued_sort(due, sequence), version, queued)
    }

    /// The rows that are gone with it, and then the one that leads back here.
    fn gone(&self, ended: &Settlement) -> (Vec<Key>, Option<Key>) {
        let Settlement { row, fate, .. } = ended;
        let beside = match fate {
            Disposition::Delivered
            | Disposition::Filtered
            | Disposition::AlreadyDone { was_delivered: true }
                if row.queued.replays > 0 =>
            {
                vec![Status::Failed, Status::Pending]
            }
            Disposition::Delivered | Disposition::Filtered | Disposition::Failed { .. } if row.waits => {
                vec![Status::Pending]
            }
            Disposition::AlreadyDone { .. } => vec![Status::Pending],
            _ => Vec::new(),
        };
        let stays = match fate {
            Disposition::Requeued { .. } => true,
            // It is the row that was put.
            Disposition::Retry { due, .. } | Disposition::Blocked { due } | Disposition::Deferred { due } => {
                model::queued_sort(*due, &row.sequence) == row.sort
            }
            _ => false,
        };
        let key = |sort| (self.partition(), sort);
        let beside = beside.into_iter().map(|status| key(status.sort(&row.sequence))).collect();
        (beside, (!stays).then(|| key(row.sort.clone())))
    }

    /// What waits for another try, or behind one that does: whose event it is, its sequence, and for how long it holds
    /// up others. What came before the destination was changed last does not count.
    pub(super) async fn stuck(&self, of: &Destination) -> Result<Vec<(String, String, Blocker)>, Error> {
        let hold = of.hold();
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let query = Query {
                partition: self.partition(),
                prefix: Status::Pending.prefix().to_owned(),
                after,
                descending: false,
                limit: PAGE,
            };
            let items = self.store.query(TABLE, query).await?;
            for item in &items {
                let waits: Delivery = model::body(item)?;
                if !waits.is_for(of) {
                    continue;
                }
                if let (Some(user), Some(due)) = (waits.user, waits.next_attempt_at) {
                    let since = waits.stuck_since.unwrap_or(due).max(of.updated_at);
                    let sequence = item.sort.trim_start_matches(Status::Pending.prefix()).to_owned();
                    all.push((user, sequence, Blocker { due, free_at: since + hold }));
                }
            }
            if items.len() < PAGE {
                return Ok(all);
            }
            after = items.last().map(|item| item.sort.clone());
        }
    }

    pub(super) fn partition(&self) -> String {
        model::partition(&self.wake.tenant, &self.wake.destination)
    }
}
