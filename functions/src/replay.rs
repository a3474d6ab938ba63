//! Replay: records out of quarantine go through the flow again, corrected or as they are.
//!
//! Each batch that they came with becomes a batch of its own again, with the time at which it first
//! arrived: a word that was said before a withdrawal does not undo it by being sent after it. An entry is
//! claimed before it is sent, so that it is sent once.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    batch::{Batch, BatchId, Kind, Name},
    batches::{BatchStatus, Status},
    door,
    error::Error,
    fault::ErrorType,
    intake::{Intake, Settings, Staged},
    objects::Objects,
    quarantine::{self, Entry, Filter},
    store::{Condition, Item, Store, Table, Written},
};

/// How many records one replay sends at most: as many as a chunk has.
pub const MOST: usize = 20_000;
/// How many bytes of records it holds at most.
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// How many batches it makes at most.
const MOST_BATCHES: usize = 100;
/// How many entries are looked at, at once.
const PAGE: usize = 1000;
/// A claim whose batch is not stored so long after it was made is one that a crash left behind.
const LAPSE: SignedDuration = SignedDuration::from_mins(15);

/// Which entries to send again.
#[derive(Debug, Default)]
pub struct Selection {
    /// Those that this takes.
    pub filter: Filter,
    /// Of those, only these; empty: all.
    pub picks: Vec<Pick>,
    /// At most so many, and never more than [`MOST`].
    pub limit: Option<usize>,
}

/// One entry, and what to send in its place.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pick {
    /// The batch that it came with.
    pub batch_id: BatchId,
    /// Its place in that batch, from zero.
    pub index: u64,
    /// The record, corrected; `None`: as it is.
    #[serde(default, deserialize_with = "door::present", skip_serializing_if = "Option::is_none")]
    pub record: Option<Box<RawValue>>,
}

/// What is sent again.
#[derive(Debug, Default)]
pub struct Replay {
    /// The new batches, ready to be started.
    pub batches: Vec<Resent>,
    /// Whether more entries may match: then it can be done again.
    pub more: bool,
}

/// A batch of records that are sent again.
#[derive(Debug)]
pub struct Resent {
    /// The batch that they came with before.
    pub source: BatchId,
    /// The new batch, of provider `replay`.
    pub batch: Batch,
    /// Its records.
    pub staged: Staged,
}

/// Who sent an entry again: the body of its claim.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Claim {
    batch_id: BatchId,
}

/// Claims the entries that are selected and were not sent again yet, and stages them. Their executions are
/// the caller's to start; claims of a batch that never starts lapse.
pub async fn replay(
    store: &impl Store,
    objects: &Objects,
    tenant: &Name,
    selection: &Selection,
    now: Timestamp,
    mut random: impl FnMut() -> u128,
) -> Result<Replay, Error> {
    let (sources, more) = select(store, objects, tenant, selection, now).await?;
    let mut batches = Vec::new();
    for (source, mut entries) in sources {
        entries.sort_by_key(|entry| entry.index);
        let Some(first) = entries.first() else { continue };
        let batch = Batch {
            batch_id: BatchId::new(now, random()),
            tenant: tenant.clone(),
            provider: "replay".parse()?,
            kind: Kind::Contact,
            received_at: first.received_at,
            chunk: None,
        };
        // All of a batch were sent equally often: those of a replay came out of one batch as well.
        let settings = Settings { inline: true, retry: first.retry_count + 1, ..Settings::default() };
        let mut intake = Intake::new(batch.clone(), settings);
        let mut is_empty = true;
        for entry in claim(store, &batch, entries, now).await? {
            push(&mut intake, &entry, &selection.picks)?;
            is_empty = false;
        }
        if !is_empty {
            let staged = intake.finish_records(objects).await?;
            batches.push(Resent { source, batch, staged });
        }
    }
    Ok(Replay { batches, more })
}

/// The batch that each entry was sent again as, if it was.
pub async fn replayed_as(
    store: &impl Store,
    tenant: &Name,
    entries: &[Entry],
    now: Timestamp,
) -> Result<Vec<Option<BatchId>>, Error> {
    let keys = entries.iter().map(|entry| (tenant.to_string(), sort(entry)));
    let items = store.get_all(Table::Claims, keys.collect()).await?;
    let mut known = HashMap::new();
    let mut holders = Vec::with_capacity(items.len());
    for item in &items {
        holders.push(match item {
            Some(item) => holder(store, tenant, item, now, &mut known).await?,
            None => None,
        });
    }
    Ok(holders)
}

fn sort(entry: &Entry) -> String {
    format!("replay#{}#{}", entry.batch_id, entry.index)
}

/// The holder of a claim that stands.
async fn holder(
    store: &impl Store,
    tenant: &Name,
    item: &Item,
    now: Timestamp,
    known: &mut HashMap<BatchId, bool>,
) -> Result<Option<BatchId>, Error> {
    let Claim { batch_id } = door::decode(item.body.as_bytes())?;
    let stands = match known.get(&batch_id) {
        Some(stands) => *stands,
        None => {
            let stands = match BatchStatus::find(tenant, batch_id, store).await? {
                // It failed before any record was looked at.
                Some(batch) => batch.status != Status::Failed || batch.error.is_none(),
                None => now.duration_since(batch_id.made_at()) < LAPSE,
            };
            known.insert(batch_id, stands);
            stands
        }
    };
    Ok(stands.then_some(batch_id))
}

/// The entries to send by the batch that they came with, and whether there may be more.
async fn select(
    store: &impl Store,
    objects: &Objects,
    tenant: &Name,
    selection: &Selection,
    now: Timestamp,
) -> Result<(BTreeMap<BatchId, Vec<Entry>>, bool), Error> {
    let limit = selection.limit.unwrap_or(MOST).min(MOST);
    let (mut count, mut bytes) = (0, 0);
    let mut sources: BTreeMap<BatchId, Vec<Entry>> = BTreeMap::new();
    for filter in filters(selection) {
        let mut page = None;
        loop {
            let listed = quarantine::list(tenant, &filter, page.as_deref(), PAGE, objects).await?;
            let mut entries = listed.entries;
            entries.retain(|entry| selection.picks.is_empty() || pick(entry, &selection.picks).is_some());
            let holders = replayed_as(store, tenant, &entries, now).await?;
            for (entry, holder) in entries.into_iter().zip(holders) {
                if holder.is_some() {
                    continue;
                }
                let is_new = !sources.contains_key(&entry.batch_id);
                if count == limit || bytes > MOST_BYTES || (is_new && sources.len() == MOST_BATCHES) {
                    return Ok((sources, true));
                }
                count += 1;
                bytes += entry.raw().len();
                sources.entry(entry.batch_id).or_default().push(entry);
            }
            page = listed.next;
            if page.is_none() {
                break;
            }
        }
    }
    Ok((sources, false))
}

/// The filters that find all that is selected: one for each batch that is picked from.
fn filters(selection: &Selection) -> Vec<Filter> {
    let mut picked: Vec<BatchId> = selection.picks.iter().map(|pick| pick.batch_id).collect();
    picked.sort_unstable();
    picked.dedup();
    let filter = &selection.filter;
    if picked.is_empty() {
        return vec![filter.clone()];
    }
    picked
        .into_iter()
        .filter(|id| filter.batch.is_none_or(|batch| batch == *id))
        .map(|id| Filter { batch: Some(id), ..filter.clone() })
        .collect()
}

fn pick<'a>(entry: &Entry, picks: &'a [Pick]) -> Option<&'a Pick> {
    picks.iter().find(|pick| pick.batch_id == entry.batch_id && pick.index == entry.index)
}

/// Claims entries for a batch; gives back those that it holds now.
async fn claim(
    store: &impl Store,
    batch: &Batch,
    entries: Vec<Entry>,
    now: Timestamp,
) -> Result<Vec<Entry>, Error> {
    let body = String::from_utf8_lossy(&door::encode(&Claim { batch_id: batch.batch_id })?).into_owned();
    let item = |entry: &Entry, version| Item {
        partition: batch.tenant.to_string(),
        sort: sort(entry),
        version,
        body: body.clone(),
    };
    let puts = entries.iter().map(|entry| (item(entry, 1), Condition::Absent));
    let written = store.put_all(Table::Claims, puts.collect()).await?;
    let mut held = Vec::with_capacity(entries.len());
    let mut known = HashMap::new();
    for (entry, written) in entries.into_iter().zip(written) {
        let is_ours = match written {
            Written::Done => true,
            Written::Conflict(None) => false,
            Written::Conflict(Some(other)) => {
                let holder = holder(store, &batch.tenant, &other, now, &mut known).await?;
                holder == Some(batch.batch_id)
                    || (holder.is_none() && take_over(store, item(&entry, other.version + 1), &other).await?)
            }
        };
        if is_ours {
            held.push(entry);
        }
    }
    Ok(held)
}

/// Takes a claim that has lapsed; `false` where somebody else did.
async fn take_over(store: &impl Store, item: Item, lapsed: &Item) -> Result<bool, Error> {
    let condition = Condition::Version(lapsed.version);
    Ok(store.put(Table::Claims, item, condition).await? == Written::Done)
}

/// One record: the corrected one, or as it came, with what made it unreadable then.
fn push(intake: &mut Intake, entry: &Entry, picks: &[Pick]) -> Result<(), Error> {
    if let Some(corrected) = pick(entry, picks).and_then(|pick| pick.record.as_ref()) {
        return intake.push_record(corrected.get().as_bytes(), None);
    }
    let fault = entry.faults.iter().find(|fault| fault.error_type() == ErrorType::Unreadable);
    intake.push_record(&entry.raw(), fault.cloned())
}
