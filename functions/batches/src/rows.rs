//! The rows of a batch: the outcome of each record with its line, the record itself, and the record that won over it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fmt,
    str::FromStr,
};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    intake::{Chunk, Manifest},
    stored::{BatchStatus, chunk_index_key, records_key},
};
use kernel::{
    batch::Name,
    csv,
    error::Error,
    fault::Fault,
    ledger::{Ledger, Part},
    objects::{self, Objects},
    outcome::Outcome,
    quarantine::{self, Entry},
    raw_record::RawRecord,
    records::Records,
};

/// The outcome of one record of a batch, and why.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The record's index in the batch, from zero.
    pub index: u64,
    /// The line of the input on which it begins; `None` where lines have no meaning, or are not stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Its outcome.
    pub outcome: Outcome,
    /// The outcome in words.
    pub meaning: &'static str,
    /// Of a duplicate: the record that won.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate_of: Option<u64>,
    /// The line of that record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate_of_line: Option<u64>,
    /// A later record for the same address that disagrees on opt-in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflicts_with: Option<u64>,
    /// Whether its consent statement is older than the one that was current already; then it is in the contact's
    /// history alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
    /// Of a listed record in quarantine: its faults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub faults: Option<Vec<Fault>>,
    /// The record, if it is JSON; unchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<Box<RawValue>>,
    /// The record, if it is not JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The record, if it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// Its entry in quarantine, with its faults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<Entry>,
}

impl Row {
    fn new(part: &Part, index: u64, outcome: Outcome) -> Self {
        let pair = |pairs: &[(u64, u64)]| {
            // Sorted; the first pair of a record counts.
            let at = pairs.partition_point(|pair| pair.0 < index);
            pairs.get(at).filter(|pair| pair.0 == index).map(|pair| pair.1)
        };
        Self {
            index,
            line: None,
            outcome,
            meaning: outcome.meaning(),
            duplicate_of: pair(&part.duplicates),
            duplicate_of_line: None,
            conflicts_with: pair(&part.conflicts),
            late: part.late.binary_search(&index).is_ok(),
            faults: None,
            record: None,
            text: None,
            base64: None,
            quarantined: None,
        }
    }

    fn fill(&mut self, received: RawRecord<'_>) {
        self.line = Some(received.line).filter(|&line| line > 0);
        self.record = received.record.map(ToOwned::to_owned);
        self.text = received.text.map(Into::into);
        self.base64 = received.base64.map(Into::into);
    }

    /// The content of the record as text; `None` if it is not stored.
    pub fn content(&self) -> Option<&str> {
        let json = self.record.as_ref().map(|record| record.get());
        json.or(self.text.as_deref()).or(self.base64.as_deref())
    }
}

/// A place in the rows of a batch, from which a listing continues: `CHUNK.INDEX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    chunk: u32,
    index: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.chunk, self.index)
    }
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parts = text.split_once('.');
        let place = parts
            .and_then(|(chunk, index)| Some(Self { chunk: chunk.parse().ok()?, index: index.parse().ok()? }));
        place.ok_or_else(|| Error::BadInput("this is not a place that a listing named".into()))
    }
}

/// A page of rows: chunk by chunk, and in order of the input within each.
#[derive(Debug)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Row>,
    /// The place from which the next page continues; `None`: this was the last.
    pub next: Option<Place>,
}

/// The size of a page.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum number of rows.
    pub rows: usize,
    /// Size of the records after which a page ends, in bytes.
    pub bytes: usize,
}

/// Lists the rows that are decided, after a place: all of them, or those with an outcome.
pub async fn list(
    tenant: &Name,
    batch: &BatchStatus,
    outcome: Option<Outcome>,
    after: Option<Place>,
    limits: Limits,
    objects: &Objects,
) -> Result<Page, Error> {
    let (mut rows, mut bytes, mut last) = (Vec::new(), 0, after);
    for chunk in chunks(tenant, batch, objects).await? {
        if after.is_some_and(|after| chunk.chunk < after.chunk) {
            continue;
        }
        if rows.len() == limits.rows || bytes >= limits.bytes {
            return Ok(Page { rows, next: last });
        }
        let Some(Ledger { part, .. }) = Ledger::find(tenant, batch.batch_id, chunk.chunk, objects).await?
        else {
            continue;
        };
        let after = after.filter(|after| after.chunk == chunk.chunk).map(|after| after.index);
        let mut wanted: Vec<(u64, Outcome)> = part
            .rows
            .iter()
            .filter(|(it, _)| outcome.is_none_or(|outcome| outcome == **it))
            .flat_map(|(&outcome, indices)| indices.iter().map(move |&index| (index, outcome)))
            .filter(|&(index, _)| after.is_none_or(|after| index > after))
            .collect();
        wanted.sort_unstable();
        let all = wanted.len();
        wanted.truncate(limits.rows - rows.len());
        let found = read(&chunk, &part, wanted, limits.bytes - bytes, objects).await?;
        let is_whole = found.rows.len() == all;
        last = found.rows.last().map(|row| Place { chunk: chunk.chunk, index: row.index }).or(last);
        rows.extend(found.rows);
        bytes += found.bytes;
        if !is_whole {
            return Ok(Page { rows, next: last });
        }
    }
    Ok(Page { rows, next: None })
}

/// The row of record `index` of a batch; `None` if the batch has no such record, or has not decided it.
pub async fn row(
    tenant: &Name,
    batch: &BatchStatus,
    index: u64,
    objects: &Objects,
) -> Result<Option<Row>, Error> {
    let Some(number) = chunk_of(tenant, batch, index, objects).await? else { return Ok(None) };
    let Some(Ledger { part, .. }) = Ledger::find(tenant, batch.batch_id, number, objects).await? else {
        return Ok(None);
    };
    let Some(outcome) = part.outcome(index) else { return Ok(None) };
    let chunks = chunks(tenant, batch, objects).await?;
    let Some(chunk) = chunks.iter().find(|chunk| chunk.chunk == number) else { return Ok(None) };
    let found = read(chunk, &part, vec![(index, outcome)], usize::MAX, objects).await?;
    let Some(mut row) = found.rows.into_iter().next() else { return Ok(None) };
    row.faults = None;
    if is_quarantined(outcome) {
        row.quarantined = quarantine::find(&part.quarantine, index, objects).await?;
    }
    Ok(Some(row))
}

/// The chunk of a record of a batch.
async fn chunk_of(
    tenant: &Name,
    batch: &BatchStatus,
    index: u64,
    objects: &Objects,
) -> Result<Option<u32>, Error> {
    if batch.chunks == 0 {
        return Ok(Some(0));
    }
    if batch.received.is_none_or(|received| index >= received) {
        return Ok(None);
    }
    let key = chunk_index_key(tenant, batch.batch_id);
    let bytes = objects.get_range(&key, index * 4..index * 4 + 4).await?;
    Ok(<[u8; 4]>::try_from(&*bytes).ok().map(u32::from_le_bytes))
}

/// The records of a batch, by chunk.
async fn chunks(tenant: &Name, batch: &BatchStatus, objects: &Objects) -> Result<Vec<Chunk>, Error> {
    if batch.chunks > 0 {
        return Ok(Manifest::read(&Manifest::key(tenant, batch.batch_id), objects).await?.chunks);
    }
    let key = records_key(tenant, batch.batch_id);
    Ok(vec![Chunk { chunk: 0, records: Records::object(key, batch.received.unwrap_or(0), 0) }])
}

/// Rows of one chunk, and the size of their records.
struct Found {
    rows: Vec<Row>,
    bytes: usize,
}

/// Reads the wanted rows, in order, until their records have `max_bytes`; at least one.
async fn read(
    chunk: &Chunk,
    part: &Part,
    wanted: Vec<(u64, Outcome)>,
    max_bytes: usize,
    objects: &Objects,
) -> Result<Found, Error> {
    if wanted.is_empty() {
        return Ok(Found { rows: Vec::new(), bytes: 0 });
    }
    let mut rows: Vec<Row> =
        wanted.into_iter().map(|(index, outcome)| Row::new(part, index, outcome)).collect();
    let mut winners: HashMap<u64, u64> =
        rows.iter().filter_map(|row| row.duplicate_of).map(|index| (index, 0)).collect();
    let (mut at, mut bytes) = (0, 0);
    let mut lines = match chunk.records.lines(objects).await {
        Ok(lines) => Some(lines),
        // A batch of an earlier version, whose records were not stored.
        Err(Error::ObjectMissing(_)) => None,
        Err(error) => return Err(error),
    };
    while let Some(lines) = &mut lines {
        let Some(line) = lines.next().await? else { break };
        let index = RawRecord::index_of(line)?;
        let Some(row) = rows.get_mut(at) else { break };
        let winner = winners.get_mut(&index);
        if winner.is_none() && row.index != index {
            continue;
        }
        let size = line.len();
        let received = RawRecord::parse(line)?;
        if let Some(winner) = winner {
            *winner = received.line;
        }
        if row.index == index {
            row.fill(received);
            at += 1;
            bytes += size;
            if bytes >= max_bytes {
                rows.truncate(at);
            }
        }
    }
    for row in &mut rows {
        let line = row.duplicate_of.and_then(|index| winners.get(&index).copied());
        row.duplicate_of_line = line.filter(|&line| line > 0);
    }
    if rows.iter().any(|row| is_quarantined(row.outcome)) {
        let mut entries = quarantined(part, &rows, objects).await?;
        for row in &mut rows {
            row.faults = entries.remove(&row.index);
        }
    }
    Ok(Found { rows, bytes })
}

fn is_quarantined(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Invalid | Outcome::Failed)
}

/// The faults of the rows that are in quarantine still.
async fn quarantined(
    part: &Part,
    rows: &[Row],
    objects: &Objects,
) -> Result<BTreeMap<u64, Vec<Fault>>, Error> {
    let wanted: Vec<u64> = rows.iter().map(|row| row.index).collect();
    let mut found = BTreeMap::new();
    for key in &part.quarantine {
        let Some(bytes) = objects.find(key).await? else { continue };
        objects::for_each_line(key, &bytes, |line| {
            let entry: Entry = kernel::json::decode(line)?;
            if wanted.binary_search(&entry.index).is_ok() {
                found.insert(entry.index, entry.faults);
            }
            Ok(())
        })?;
    }
    Ok(found)
}

/// The header of rows as CSV.
pub fn csv_header(to: &mut Vec<u8>) {
    const COLUMNS: [&str; 9] = [
        "line",
        "index",
        "outcome",
        "duplicateOf",
        "duplicateOfLine",
        "conflictsWith",
        "late",
        "faults",
        "record",
    ];
    csv::write_row(COLUMNS.map(Cow::Borrowed), to);
}

/// Rows as CSV. Returns the number of cells that got an apostrophe, so that no spreadsheet reads them as formulas;
/// with `raw` no cell gets one.
pub fn csv(rows: &[Row], raw: bool, to: &mut Vec<u8>) -> u64 {
    let mut guarded = 0;
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    for row in rows {
        let faults =
            row.faults.iter().flatten().map(|fault| format!("{} ({})", fault.sentence(), fault.rule));
        let record = Cow::Borrowed(row.content().unwrap_or_default());
        let record = if raw { record } else { csv::guard(record, &mut guarded) };
        let cells = [
            number(row.line).into(),
            row.index.to_string().into(),
            row.outcome.name().into(),
            number(row.duplicate_of).into(),
            number(row.duplicate_of_line).into(),
            number(row.conflicts_with).into(),
            row.late.to_string().into(),
            faults.collect::<Vec<_>>().join("; ").into(),
            record,
        ];
        csv::write_row(cells, to);
    }
    guarded
}

/// Rows as JSON lines.
pub fn ndjson(rows: &[Row], to: &mut Vec<u8>) -> Result<(), Error> {
    for row in rows {
        to.extend_from_slice(&kernel::json::encode(row)?);
        to.push(b'\n');
    }
    Ok(())
}
