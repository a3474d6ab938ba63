//! Replay: sends records out of quarantine through the flow again, corrected or unchanged.
//!
//! Each source batch becomes a batch of its own again, with the same place in the order of batches. A consent statement
//! from before a withdrawal therefore does not undo the withdrawal. Events go into their queue again. A replay claims
//! an entry before it sends it, so that each entry is sent once. The delivery crate sends deliveries again,
//! since it knows their state.

mod events;

use std::collections::{BTreeMap, BTreeSet, HashMap};

pub use events::Requeued;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use batches::{
    intake::{Intake, Settings, Staged},
    stored::{BatchStatus, Status},
};
use kernel::{
    batch::{Batch, BatchId, Kind, Name},
    error::Error,
    fault::ErrorType,
    json,
    objects::Objects,
    order,
    quarantine::{self, Entry, Filter},
    queue::Queue,
    store::{Condition, Item, Store, Table, Written},
};

/// Maximum number of records in one replay: as many as a chunk has.
pub const MAX_RECORDS: usize = 20_000;
/// Maximum size of its records, in bytes.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// Maximum number of batches that it makes.
const MAX_BATCHES: usize = 100;
/// How many entries one listing reads.
const PAGE_ENTRIES: usize = 1000;
/// A claim lapses if its batch is not stored so long after the claim: a crash left it.
const CLAIM_TIMEOUT: SignedDuration = SignedDuration::from_mins(15);

/// Which entries to send again.
#[derive(Debug, Default)]
pub struct Selection {
    /// The entries that match this.
    pub filter: Filter,
    /// Of those, only these; empty: all.
    pub picks: Vec<Pick>,
    /// At most so many, and never more than [`MAX_RECORDS`].
    pub limit: Option<usize>,
}

/// One entry, and the record to send in its place.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pick {
    /// The source batch.
    pub batch_id: BatchId,
    /// The record's index in that batch, from zero.
    pub index: u64,
    /// The corrected record; `None`: unchanged.
    #[serde(default, deserialize_with = "json::present", skip_serializing_if = "Option::is_none")]
    pub record: Option<Box<RawValue>>,
}

/// The result of a replay.
#[derive(Debug, Default)]
pub struct Replay {
    /// The new batches, ready to start.
    pub batches: Vec<Resent>,
    /// Events that are in their queue again.
    pub requests: Vec<Requeued>,
    /// How many deliveries were selected, and left out.
    pub deliveries: u64,
    /// Whether more entries may match: then another replay can follow.
    pub more: bool,
}

/// A batch of replayed records.
#[derive(Debug)]
pub struct Resent {
    /// The source batch.
    pub source: BatchId,
    /// The new batch, of provider `replay`.
    pub batch: Batch,
    /// Its records.
    pub staged: Staged,
}

/// The body of a claim: the batch or request that sent an entry again.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Claim {
    batch_id: BatchId,
    /// Whether the event is in the queue: no other item shows that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    queued: bool,
}

/// Claims the selected entries that were not replayed yet. Events are queued. Contacts are staged, and the caller
/// starts their executions: claims of a batch that never starts lapse.
pub async fn replay(
    store: &impl Store,
    objects: &Objects,
    queue: &impl Queue,
    tenant: &Name,
    selection: &Selection,
    now: Timestamp,
    mut random: impl FnMut() -> u128,
) -> Result<Replay, Error> {
    let Selected { sources, deliveries, more } = select(store, objects, tenant, selection, now).await?;
    let mut replay = Replay { deliveries, more, ..Replay::default() };
    for (source, mut entries) in sources {
        entries.sort_by_key(|entry| entry.index);
        let Some(first) = entries.first() else { continue };
        if first.kind == Kind::Event {
            let picks = &selection.picks;
            let requests = events::requeue(store, queue, tenant, entries, picks, now, &mut random).await?;
            replay.requests.extend(requests);
            continue;
        }
        let batch = Batch {
            batch_id: BatchId::new(now, random()),
            tenant: tenant.clone(),
            provider: "replay".parse()?,
            kind: Kind::Contact,
            received_at: first.received_at,
            order: first.order,
            replay: order::next(store, tenant, now).await?,
            chunk: None,
            rules: first.rules,
        };
        // All records of a batch were replayed equally often: those of a replay have one source batch as well.
        let settings = Settings { inline: true, retry: first.retry_count + 1, ..Settings::default() };
        let mut intake = Intake::new(batch.clone(), settings);
        let mut is_empty = true;
        for entry in claim(store, tenant, batch.batch_id, entries, now).await? {
            push(&mut intake, &entry, &selection.picks)?;
            is_empty = false;
        }
        if !is_empty {
            let staged = intake.finish_records(objects).await?;
            replay.batches.push(Resent { source, batch, staged });
        }
    }
    Ok(replay)
}

/// The batch that replayed each entry, if one did.
pub async fn replayed_as(
    store: &impl Store,
    tenant: &Name,
    entries: &[Entry],
    now: Timestamp,
) -> Result<Vec<Option<BatchId>>, Error> {
    let keys = entries.iter().map(|entry| (tenant.to_string(), sort_key(entry)));
    let items = store.get_all(Table::Claims, keys.collect()).await?;
    let mut known = HashMap::new();
    let mut claimants = Vec::with_capacity(items.len());
    for item in &items {
        claimants.push(match item {
            Some(item) => claimant(store, tenant, item, now, &mut known).await?,
            None => None,
        });
    }
    Ok(claimants)
}

fn sort_key(entry: &Entry) -> String {
    format!("replay#{}#{}", entry.batch_id, entry.index)
}

/// The batch or request of a claim that has not lapsed.
async fn claimant(
    store: &impl Store,
    tenant: &Name,
    item: &Item,
    now: Timestamp,
    known: &mut HashMap<BatchId, bool>,
) -> Result<Option<BatchId>, Error> {
    let Claim { batch_id, queued } = json::decode(item.body.as_bytes())?;
    if queued {
        return Ok(Some(batch_id));
    }
    let is_valid = match known.get(&batch_id) {
        Some(is_valid) => *is_valid,
        None => {
            let is_valid = match BatchStatus::find(tenant, batch_id, store).await? {
                // It failed before any record was read, or was cancelled: its effects happened once.
                Some(batch) => match batch.status {
                    Status::Failed => batch.error.is_none(),
                    Status::Cancelled => false,
                    Status::Running | Status::Interrupted | Status::Succeeded => true,
                },
                None => now.duration_since(batch_id.made_at()) < CLAIM_TIMEOUT,
            };
            known.insert(batch_id, is_valid);
            is_valid
        }
    };
    Ok(is_valid.then_some(batch_id))
}

/// The entries to send.
#[derive(Default)]
struct Selected {
    /// The entries by their source batch.
    sources: BTreeMap<BatchId, Vec<Entry>>,
    /// How many other entries are deliveries.
    deliveries: u64,
    /// Whether more entries may match.
    more: bool,
}

async fn select(
    store: &impl Store,
    objects: &Objects,
    tenant: &Name,
    selection: &Selection,
    now: Timestamp,
) -> Result<Selected, Error> {
    let limit = selection.limit.unwrap_or(MAX_RECORDS).min(MAX_RECORDS);
    let (mut count, mut bytes) = (0, 0);
    let mut selected = Selected::default();
    let filter = filter(selection);
    let mut page = None;
    loop {
        let listed = quarantine::list(tenant, &filter, page.as_deref(), PAGE_ENTRIES, objects).await?;
        let mut entries = listed.entries;
        entries.retain(|entry| selection.picks.is_empty() || pick(entry, &selection.picks).is_some());
        let found = entries.len();
        entries.retain(|entry| entry.error_type != ErrorType::Delivery);
        selected.deliveries += (found - entries.len()) as u64;
        entries.retain(|entry| entry.kind != Kind::Event || events::is_sendable(entry, &selection.picks));
        let claimants = replayed_as(store, tenant, &entries, now).await?;
        for (entry, claimant) in entries.into_iter().zip(claimants) {
            if claimant.is_some() {
                continue;
            }
            let is_new = !selected.sources.contains_key(&entry.batch_id);
            let is_full = is_new && selected.sources.len() == MAX_BATCHES;
            if count == limit || bytes > MAX_BYTES || is_full {
                return Ok(Selected { more: true, ..selected });
            }
            count += 1;
            bytes += entry.raw().len();
            selected.sources.entry(entry.batch_id).or_default().push(entry);
        }
        page = listed.next;
        if page.is_none() {
            break;
        }
    }
    Ok(selected)
}

/// The filter that finds all selected entries.
fn filter(selection: &Selection) -> Filter {
    let filter = selection.filter.clone();
    if selection.picks.is_empty() {
        return filter;
    }
    let mut picked: BTreeSet<BatchId> = selection.picks.iter().map(|pick| pick.batch_id).collect();
    picked.retain(|id| filter.batches.as_ref().is_none_or(|ids| ids.contains(id)));
    Filter { batches: Some(picked), ..filter }
}

fn pick<'a>(entry: &Entry, picks: &'a [Pick]) -> Option<&'a Pick> {
    picks.iter().find(|pick| pick.batch_id == entry.batch_id && pick.index == entry.index)
}

/// Claims entries for a batch or a request; returns those whose claims are its own now.
async fn claim(
    store: &impl Store,
    tenant: &Name,
    by: BatchId,
    entries: Vec<Entry>,
    now: Timestamp,
) -> Result<Vec<Entry>, Error> {
    let claim = Claim { batch_id: by, queued: false };
    let puts = entries.iter().map(|entry| Ok((claim.item(tenant, entry, 1)?, Condition::Absent)));
    let written = store.put_all(Table::Claims, puts.collect::<Result<_, Error>>()?).await?;
    let mut claimed = Vec::with_capacity(entries.len());
    let mut known = HashMap::new();
    for (entry, written) in entries.into_iter().zip(written) {
        let is_ours = match written {
            Written::Done => true,
            Written::Conflict(None) => false,
            Written::Conflict(Some(other)) => {
                let claimant = claimant(store, tenant, &other, now, &mut known).await?;
                let ours = claim.item(tenant, &entry, other.version + 1)?;
                claimant == Some(by) || (claimant.is_none() && replace_claim(store, ours, &other).await?)
            }
        };
        if is_ours {
            claimed.push(entry);
        }
    }
    Ok(claimed)
}

/// Marks the claims of entries that are in the queue.
async fn mark_queued(store: &impl Store, tenant: &Name, by: BatchId, entries: &[Entry]) -> Result<(), Error> {
    let keys = entries.iter().map(|entry| (tenant.to_string(), sort_key(entry)));
    let found = store.get_all(Table::Claims, keys.collect()).await?;
    let claim = Claim { batch_id: by, queued: true };
    let marks = entries.iter().zip(found).filter_map(|(entry, found)| {
        let version = found?.version;
        Some(claim.item(tenant, entry, version + 1).map(|item| (item, Condition::Version(version))))
    });
    // A claim that another replay replaced meanwhile is for that replay to mark.
    store.put_all(Table::Claims, marks.collect::<Result<_, Error>>()?).await?;
    Ok(())
}

impl Claim {
    fn item(self, tenant: &Name, entry: &Entry, version: u64) -> Result<Item, Error> {
        let body = String::from_utf8_lossy(&json::encode(&self)?).into_owned();
        Ok(Item { partition: tenant.to_string(), sort: sort_key(entry), version, body })
    }
}

/// Replaces a claim that has lapsed; `false` if another replay did.
async fn replace_claim(store: &impl Store, item: Item, lapsed: &Item) -> Result<bool, Error> {
    let condition = Condition::Version(lapsed.version);
    Ok(store.put(Table::Claims, item, condition).await? == Written::Done)
}

/// Adds one record: the corrected one, or the received one with the fault that made it unreadable.
fn push(intake: &mut Intake, entry: &Entry, picks: &[Pick]) -> Result<(), Error> {
    if let Some(corrected) = pick(entry, picks).and_then(|pick| pick.record.as_ref()) {
        return intake.push_record(corrected.get().as_bytes(), None);
    }
    let fault = entry.faults.iter().find(|fault| fault.error_type() == ErrorType::Unreadable);
    intake.push_record(&entry.raw(), fault.cloned())
}
