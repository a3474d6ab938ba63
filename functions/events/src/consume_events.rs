//! ConsumeEvents: turns messages of the events queue into batches that fit into a state's data, in order of arrival. A
//! message is done when every batch with an event of it completed the flow.

use std::{borrow::Cow, collections::BTreeMap, future::Future};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use xxhash_rust::xxh3::Xxh3;

use kernel::{
    batch::{Batch, BatchId, Kind, Name},
    error::Error,
    json,
    objects::Objects,
    provenance::{IngestRequest, Provenance},
    queue::{BatchResponse, ItemFailure, SqsEvent, SqsMessage, max_batch_for},
    raw_record::{self, RawRecord},
    records::{self, Records, RecordsWriter},
};

/// An execution to run: the record flow on some events.
#[derive(Clone, Debug)]
pub struct FlowInput {
    /// The events, as a batch. Its id is the name of the execution.
    pub batch: Batch,
    /// The execution's input.
    pub input: String,
}

/// How an execution ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlowResult {
    /// Its events completed the flow.
    Completed,
    /// It failed, with the reason; no value of a record.
    Failed(String),
}

/// Runs events through the flow: `run` runs one execution, and returns how it ended.
///
/// Batches of a tenant run one after the other. If one fails, those after it wait for the next attempt as well, so that
/// no event overtakes an earlier one. There is one exception. Messages that failed together with others before are
/// retried in a small batch ([`max_batch_for`]). If such a batch fails, its own messages may be at fault, and the
/// batches after it still run.
pub async fn consume_events<F, R>(event: SqsEvent, objects: &Objects, run: F) -> BatchResponse
where
    F: Fn(FlowInput) -> R,
    R: Future<Output = Result<FlowResult, Error>>,
{
    let (tenants, mut failed) = read(&event.records);
    for (tenant, messages) in tenants {
        let mut batcher = Batcher::default();
        for (place, receives, request) in messages {
            if let Err(error) = batcher.push(place, max_batch_for(receives), request) {
                tracing::error!(
                    error.name = error.name(),
                    "the events of a message cannot be passed on: {error}"
                );
                failed.insert(place, error.to_string());
            }
        }
        let mut waiting = batcher.0.into_iter();
        for sub_batch in waiting.by_ref() {
            let places = sub_batch.messages.clone();
            let (failure, may_continue) = run_sub_batch(sub_batch, &tenant, objects, &run).await;
            if let Some(reason) = failure {
                failed.extend(places.into_iter().map(|place| (place, reason.clone())));
            }
            if !may_continue {
                break;
            }
        }
        let blocked =
            waiting.flat_map(|sub_batch| sub_batch.messages).map(|place| (place, BLOCKED_REASON.to_owned()));
        blocked.for_each(|(place, reason)| _ = failed.entry(place).or_insert(reason));
    }
    let failure = |(at, reason): (usize, String)| ItemFailure {
        item_identifier: event.records[at].message_id.clone(),
        reason,
    };
    BatchResponse { batch_item_failures: failed.into_iter().map(failure).collect() }
}

/// The reason of a message that an earlier, failed batch blocks.
const BLOCKED_REASON: &str = "events that came before its own did not get through the flow";
/// The reason of a message without events.
const UNREADABLE_REASON: &str = "it holds no events";

/// Runs some events. Returns why they are to be retried, if they are, and whether the events after them may run.
async fn run_sub_batch<R>(
    sub_batch: SubBatch,
    tenant: &Name,
    objects: &Objects,
    run: impl Fn(FlowInput) -> R,
) -> (Option<String>, bool)
where
    R: Future<Output = Result<FlowResult, Error>>,
{
    let is_small = sub_batch.max_messages < usize::MAX;
    // A storage that is unavailable to one batch is unavailable to the next ones, too.
    let may_continue = |error: &Error| is_small && !error.is_transient();
    let flow_input = match sub_batch.flow_input(tenant, objects).await {
        Ok(flow_input) => flow_input,
        Err(error) => {
            tracing::error!(error.name = error.name(), "events cannot be passed on: {error}");
            return (Some(error.to_string()), may_continue(&error));
        }
    };
    let id = flow_input.batch.batch_id.to_string();
    match run(flow_input).await {
        Ok(FlowResult::Completed) => (None, true),
        Ok(FlowResult::Failed(why)) => {
            tracing::warn!(
                batch.id = id,
                "the events of batch {id} did not get through the flow, and are tried again: {why}"
            );
            (Some(why), is_small)
        }
        Err(error) => {
            tracing::error!(
                batch.id = id,
                error.name = error.name(),
                "the flow could not be run on batch {id}: {error}"
            );
            (Some(error.to_string()), may_continue(&error))
        }
    }
}

/// A parsed message: its place in the event, its receive count, and its ingest request.
type Message = (usize, u32, IngestRequest<'static>);

/// Why messages are not done, by their places in the event.
type Reasons = BTreeMap<usize, String>;

/// The messages by tenant, each tenant's in order of arrival; and the places of those that cannot be parsed.
fn read(records: &[SqsMessage]) -> (Vec<(Name, Vec<Message>)>, Reasons) {
    let mut tenants: Vec<(Name, Vec<Message>)> = Vec::new();
    let mut unreadable = Reasons::new();
    for (at, message) in records.iter().enumerate() {
        let Ok(request) = json::decode::<IngestRequest>(message.body.as_bytes()) else {
            unreadable.insert(at, UNREADABLE_REASON.to_owned());
            continue;
        };
        let known = tenants.iter().position(|(tenant, _)| *tenant == request.tenant);
        let place = known.unwrap_or_else(|| {
            tenants.push((request.tenant.clone(), Vec::new()));
            tenants.len() - 1
        });
        tenants[place].1.push((at, message.receives(), request));
    }
    if let Some((&first, _)) = unreadable.first_key_value() {
        let (count, id) = (unreadable.len(), &records[first].message_id);
        tracing::error!(
            message.id = id,
            "messages that hold no events, {count} of them, the first {id}, end in the dead letter queue"
        );
    }
    for (_, messages) in &mut tenants {
        messages.sort_by_key(|(_, _, request)| request.id);
    }
    (tenants, unreadable)
}

/// Cuts the events of a tenant into batches.
#[derive(Default)]
struct Batcher(Vec<SubBatch>);

/// Events that run in one execution.
struct SubBatch {
    /// The ingest request of the first event, and its time.
    first: (BatchId, Timestamp),
    /// The hash of the events' sequences: the same events make the same batch id again, others another.
    hash: Xxh3,
    lines: Vec<u8>,
    count: u64,
    /// The size of the lines inside the state's data.
    inline: usize,
    /// The places of the events' messages.
    messages: Vec<usize>,
    /// Maximum number of messages.
    max_messages: usize,
}

impl Batcher {
    /// Adds the events of a message; `max_messages` is the maximum number of messages in its batch.
    fn push(&mut self, place: usize, max_messages: usize, request: IngestRequest<'_>) -> Result<(), Error> {
        let IngestRequest { id, tenant: _, via, received_at, sent_at, retry, events } = request;
        let mut text = Vec::new();
        for (index, ingest_event) in (0..).zip(events) {
            let provenance = Provenance {
                id,
                index,
                message_id: ingest_event.message_id.into_owned(),
                via,
                received_at,
                sent_at,
            };
            let sequence = provenance.sequence();
            let spaced = raw_record::one_line(ingest_event.record.get().as_bytes());
            let record: &RawValue = match &spaced {
                Cow::Borrowed(_) => &ingest_event.record,
                Cow::Owned(spaced) => {
                    serde_json::from_slice(spaced).map_err(|error| Error::BadInput(json::describe(&error)))?
                }
            };
            let mut line = RawRecord { retry, provenance: Some(provenance), ..RawRecord::json(0, 0, record) };
            line.index = self.0.last().map_or(0, |sub_batch| sub_batch.count);
            write(&line, &mut text)?;
            let fits = self.0.last().is_some_and(|sub_batch| sub_batch.fits(&text, place, max_messages));
            if !fits {
                self.0.push(SubBatch::new(id, received_at));
                line.index = 0;
                write(&line, &mut text)?;
            }
            if let Some(sub_batch) = self.0.last_mut() {
                sub_batch.push(&text, &sequence, place, max_messages);
            }
        }
        Ok(())
    }
}

fn write(line: &RawRecord<'_>, to: &mut Vec<u8>) -> Result<(), Error> {
    to.clear();
    line.write(to)?;
    to.push(b'\n');
    Ok(())
}

impl SubBatch {
    fn new(id: BatchId, received_at: Timestamp) -> Self {
        Self {
            first: (id, received_at),
            hash: Xxh3::new(),
            lines: Vec::new(),
            count: 0,
            inline: 0,
            messages: Vec::new(),
            max_messages: usize::MAX,
        }
    }

    fn fits(&self, line: &[u8], place: usize, max_messages: usize) -> bool {
        let has_room = self.contains(place) || self.messages.len() < self.max_messages.min(max_messages);
        has_room && self.inline + records::inline_len(line) <= records::MAX_INLINE_BATCH_BYTES
    }

    fn contains(&self, place: usize) -> bool {
        self.messages.last() == Some(&place)
    }

    fn push(&mut self, line: &[u8], sequence: &str, place: usize, max_messages: usize) {
        if !self.contains(place) {
            self.messages.push(place);
        }
        self.lines.extend_from_slice(line);
        self.inline += records::inline_len(line);
        self.count += 1;
        self.max_messages = self.max_messages.min(max_messages);
        self.hash.update(sequence.as_bytes());
    }

    /// The execution that runs them.
    async fn flow_input(self, tenant: &Name, objects: &Objects) -> Result<FlowInput, Error> {
        #[derive(Serialize)]
        struct Input<'a> {
            batch: &'a Batch,
            records: Records,
        }
        let (first, received_at) = self.first;
        let batch = Batch {
            batch_id: BatchId::new(first.made_at(), self.hash.digest128()),
            tenant: tenant.clone(),
            provider: "events".parse()?,
            kind: Kind::Event,
            received_at,
            order: 0,
            replay: 0,
            chunk: None,
            rules: kernel::Rules::default(),
        };
        let records = if self.inline <= records::MAX_INLINE_BATCH_BYTES {
            Records::inline(&self.lines)?
        } else {
            // A single event above the limit: the check of events refuses it, like every bad one.
            let mut arrived = RecordsWriter::new(&batch, "arrived", objects);
            for line in self.lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
                arrived.push(line).await?;
            }
            arrived.finish().await?
        };
        let input = Input { batch: &batch, records };
        let input = serde_json::to_string(&input).map_err(|error| Error::BadInput(json::describe(&error)))?;
        Ok(FlowInput { batch, input })
    }
}

#[cfg(test)]
mod tests;
