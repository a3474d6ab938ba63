//! The quarantine: complete records that crmflow could not process, with the reason. People correct them and replay
//! them. The seeds call it the dead letter queue (S1-046 to S1-057).

use std::{
    collections::{BTreeMap, BTreeSet, btree_map},
    io::Write,
};

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use flate2::{Compression, write::GzEncoder};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    batch::{Batch, BatchId, Kind, Name, Rules},
    destination_name::DestinationName,
    error::Error,
    fault::{self, ErrorType, Fault},
    json,
    objects::{self, Listed, Objects},
    provenance::{Provenance, Source},
    raw_record::RawRecord,
    store::MAX_PAGE_BYTES,
};

/// Maximum number of objects that are written concurrently.
const MAX_CONCURRENT_WRITES: usize = 16;

/// A record in quarantine: one line of its object.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// The source batch; of an event, the ingest request.
    pub batch_id: BatchId,
    /// Its index in that batch, from zero.
    pub index: u64,
    /// The kind of the record.
    #[serde(default)]
    pub kind: Kind,
    /// Of an event: its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Of an event: the ingest endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Source>,
    /// Of an event: the send time by the client's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
    /// Of a delivery: the destination that did not accept it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<DestinationName>,
    /// The line of the input; zero if lines have no meaning there.
    #[serde(default)]
    pub line: u64,
    /// When the batch arrived.
    pub received_at: Timestamp,
    /// Of a contact: the batch's number in the order of batches.
    #[serde(default, skip_serializing_if = "crate::json::is_default")]
    pub order: u64,
    /// Of a contact: what its batch may do.
    #[serde(default, skip_serializing_if = "crate::json::is_default")]
    pub rules: Rules,
    /// How often a replay sent it before.
    pub retry_count: u64,
    /// The class of its faults.
    pub error_type: ErrorType,
    /// Its faults.
    pub faults: Vec<Fault>,
    /// The record, if it is JSON; unchanged.
    #[serde(default, deserialize_with = "json::present", skip_serializing_if = "Option::is_none")]
    pub record: Option<Box<RawValue>>,
    /// The record, if it is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The record, if it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

impl Entry {
    /// The entry of a record. The entry of an event names its ingest request, whatever batch contains the event now.
    pub fn new(batch: &Batch, record: &RawRecord<'_>) -> Self {
        let provenance = record.provenance.as_ref();
        Self {
            batch_id: provenance.map_or(batch.batch_id, |provenance| provenance.id),
            index: provenance.map_or(record.index, |provenance| provenance.index.into()),
            kind: batch.kind,
            message_id: provenance.map(|provenance| provenance.message_id.clone()),
            via: provenance.map(|provenance| provenance.via),
            sent_at: provenance.and_then(|provenance| provenance.sent_at),
            destination: None,
            line: record.line,
            received_at: provenance.map_or(batch.received_at, |provenance| provenance.received_at),
            order: batch.order,
            rules: batch.rules,
            retry_count: record.retry,
            error_type: fault::error_type(&record.faults),
            faults: record.faults.clone(),
            record: record.record.map(ToOwned::to_owned),
            text: record.text.as_deref().map(ToOwned::to_owned),
            base64: record.base64.as_deref().map(ToOwned::to_owned),
        }
    }

    /// The bytes as received.
    pub fn raw(&self) -> Vec<u8> {
        match (&self.record, &self.text, &self.base64) {
            (Some(record), ..) => record.get().as_bytes().to_vec(),
            (None, Some(text), _) => text.as_bytes().to_vec(),
            (None, None, Some(base64)) => BASE64_STANDARD.decode(base64).unwrap_or_default(),
            (None, None, None) => Vec::new(),
        }
    }
}

/// Records that are to be put into quarantine, by class of fault.
#[derive(Debug, Default)]
pub struct Writer {
    lines: BTreeMap<ErrorType, GzEncoder<Vec<u8>>>,
}

impl Writer {
    /// Adds an entry; returns the key of its object.
    pub fn push(&mut self, batch: &Batch, entry: &Entry) -> Result<String, Error> {
        let new = || GzEncoder::new(Vec::new(), Compression::fast());
        let lines = self.lines.entry(entry.error_type).or_insert_with(new);
        let mut line = json::encode(entry)?;
        line.push(b'\n');
        // Writing to memory cannot fail.
        let _ = lines.write_all(&line);
        Ok(key(batch, entry.error_type))
    }

    /// Stores all objects, over those of an earlier attempt; returns their keys.
    pub async fn finish(self, batch: &Batch, objects: &Objects) -> Result<Vec<String>, Error> {
        let mut keys = Vec::new();
        for (error_type, lines) in self.lines {
            let key = key(batch, error_type);
            let packed = lines.finish().map_err(|error| Error::StorageRefused(error.to_string()))?;
            objects.put(&key, packed).await?;
            keys.push(key);
        }
        Ok(keys)
    }
}

/// Events that are to be put into quarantine. Each object belongs to one ingest request. Another attempt at a request
/// therefore writes the same objects, whatever other requests share the attempt.
#[derive(Debug, Default)]
pub struct EventWriter {
    requests: BTreeMap<BatchId, (Batch, Writer)>,
}

impl EventWriter {
    /// Adds the entry of an event; returns the key of its object.
    pub fn push(&mut self, tenant: &Name, provenance: &Provenance, entry: &Entry) -> Result<String, Error> {
        let (batch, writer) = match self.requests.entry(provenance.id) {
            btree_map::Entry::Occupied(known) => known.into_mut(),
            // A request may be cut into parts that run separately: the first event of a part distinguishes it.
            btree_map::Entry::Vacant(free) => {
                let batch = Batch { chunk: Some(provenance.index), ..provenance.batch(tenant)? };
                free.insert((batch, Writer::default()))
            }
        };
        writer.push(batch, entry)
    }

    /// Stores all objects, over those of an earlier attempt; returns their keys.
    pub async fn finish(self, objects: &Objects) -> Result<Vec<String>, Error> {
        let writes =
            self.requests.into_values().map(async |(batch, writer)| writer.finish(&batch, objects).await);
        let keys: Vec<Vec<String>> =
            stream::iter(writes).buffered(MAX_CONCURRENT_WRITES).try_collect().await?;
        Ok(keys.concat())
    }
}

/// `quarantine/{tenant}/{provider}/{error-type}/{year}/{month}/{day}/{batch}-{chunk}.ndjson.gz` (S1-052). It follows
/// from the batch, so a step that runs twice writes the same object.
fn key(batch: &Batch, error_type: ErrorType) -> String {
    let day = batch.received_at.strftime("%Y/%m/%d");
    let (tenant, provider, id) = (&batch.tenant, &batch.provider, batch.batch_id);
    let chunk = batch.chunk_label();
    format!("quarantine/{tenant}/{provider}/{}/{day}/{id}-{chunk}.ndjson.gz", error_type.name())
}

/// A page of the quarantine.
#[derive(Debug)]
pub struct Page {
    /// The entries, by class of fault, oldest batch first.
    pub entries: Vec<Entry>,
    /// The token for the next page; `None`: this was the last.
    pub next: Option<String>,
}

/// Which entries to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only of these batches.
    pub batches: Option<BTreeSet<BatchId>>,
    /// Only with this class of fault.
    pub error_type: Option<ErrorType>,
}

impl Filter {
    /// Whether an object may contain entries to list.
    fn may_contain(&self, key: &str) -> bool {
        let of = |name: &str| name.split('-').next()?.parse::<BatchId>().ok();
        let mut parts = key.rsplit('/');
        let (name, kind) = (parts.next().unwrap_or_default(), parts.nth(3));
        // The object of a failed delivery is named after the time of its failure, not after a batch.
        let is_delivery = kind == Some(ErrorType::Delivery.name());
        self.error_type.is_none_or(|it| kind == Some(it.name()))
            && self
                .batches
                .as_ref()
                .is_none_or(|ids| is_delivery || of(name).is_some_and(|id| ids.contains(&id)))
    }

    fn matches(&self, entry: &Entry) -> bool {
        self.batches.as_ref().is_none_or(|ids| ids.contains(&entry.batch_id))
    }
}

/// Lists a tenant's quarantine: at most `limit` entries and about two megabytes, from the end of the page before.
pub async fn list(
    tenant: &Name,
    filter: &Filter,
    page: Option<&str>,
    limit: usize,
    objects: &Objects,
) -> Result<Page, Error> {
    let (first_key, skip) = page.map(decode_page).transpose()?.unwrap_or_default();
    let (mut entries, mut bytes) = (Vec::new(), 0);
    for Listed { key, .. } in objects.list(&format!("quarantine/{tenant}/")).await? {
        if key < first_key || !filter.may_contain(&key) {
            continue;
        }
        let skip = if key == first_key { skip } else { 0 };
        let (mut at, mut end) = (0, None);
        objects::for_each_line(&key, &objects.get(&key).await?, |line| {
            at += 1;
            if at <= skip || end.is_some() {
                return Ok(());
            }
            let entry = json::decode::<Entry>(line)?;
            if filter.matches(&entry) {
                bytes += line.len();
                entries.push(entry);
            }
            if entries.len() == limit || bytes >= MAX_PAGE_BYTES {
                end = Some(at);
            }
            Ok(())
        })?;
        if let Some(end) = end {
            return Ok(Page { entries, next: Some(encode_page(&key, end)) });
        }
    }
    Ok(Page { entries, next: None })
}

/// The quarantine of a chunk: the objects, each with its class of fault and the indices of its records.
pub async fn of_chunk(batch: &Batch, objects: &Objects) -> Result<Vec<(String, ErrorType, Vec<u64>)>, Error> {
    let mut found = Vec::new();
    for error_type in ErrorType::ALL {
        let key = key(batch, error_type);
        let Some(bytes) = objects.find(&key).await? else { continue };
        let mut entries = Vec::new();
        objects::for_each_line(&key, &bytes, |line| {
            entries.push(json::decode::<Entry>(line)?.index);
            Ok(())
        })?;
        found.push((key, error_type, entries));
    }
    Ok(found)
}

/// The entry of one record, from the objects that its ledger names.
pub async fn find(keys: &[String], index: u64, objects: &Objects) -> Result<Option<Entry>, Error> {
    let mut found = None;
    for key in keys {
        objects::for_each_line(key, &objects.get(key).await?, |line| {
            let entry: Entry = json::decode(line)?;
            if entry.index == index {
                found = Some(entry);
            }
            Ok(())
        })?;
    }
    Ok(found)
}

fn encode_page(key: &str, entries: usize) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{entries} {key}"))
}

fn decode_page(page: &str) -> Result<(String, usize), Error> {
    let text = BASE64_URL_SAFE_NO_PAD.decode(page).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.as_deref()
        .and_then(|text| text.split_once(' '))
        .and_then(|(entries, key)| Some((key.to_owned(), entries.parse().ok()?)))
        .ok_or_else(|| Error::BadInput("this is not a page that a listing named".into()))
}
