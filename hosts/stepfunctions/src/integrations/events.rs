//! `events:putEvents`: events into a log, which a person can read; no rule listens on this host.

use jiff::Timestamp;
use rusqlite::params;
use serde_json::json;
use sqlite_store::SqliteStore;
use states::{Failure, TaskRequest, Value};

use super::{
    arguments::{Arguments, Takes},
    service::{EVENTS, Refusal},
};
use crate::{clock, executions::Runner, resource::Flavor};

const PUT_EVENTS: Takes =
    Takes { call: "events:putEvents", required: &["Entries"], optional: &[], not_here: &[] };
const SDK_PUT_EVENTS: Takes = Takes { not_here: &["EndpointId"], ..PUT_EVENTS };
const ENTRY: Takes = Takes {
    call: "events:putEvents",
    required: &[],
    optional: &["Detail", "DetailType", "EventBusName", "Resources", "Source", "Time", "TraceHeader"],
    not_here: &[],
};

/// The largest number of entries of one call.
const MAX_ENTRIES: usize = 10;
/// How many bytes the entries of one call may have.
const MAX_ENTRY_BYTES: usize = 256 * 1024;

/// An event to store.
struct Event {
    id: String,
    bus: String,
    source: String,
    detail_type: String,
    detail: String,
    resources: Vec<String>,
    time: Timestamp,
}

/// Why an entry is refused: `ErrorCode` and `ErrorMessage`.
type Reason = (&'static str, String);

/// Stores the valid events. The optimized flavor fails if an entry is not valid, and adds execution and machine to each
/// event's resources.
pub(super) async fn put_events(
    task: &TaskRequest,
    flavor: Flavor,
    runner: &Runner,
) -> Result<Value, Failure> {
    let takes = if flavor == Flavor::Sdk { &SDK_PUT_EVENTS } else { &PUT_EVENTS };
    let arguments = Arguments::check(&task.arguments, takes)?;
    let given =
        arguments.get("Entries").and_then(Value::as_array).ok_or_else(|| arguments.malformed("Entries"))?;
    check_count(given.len()).map_err(|message| invalid(flavor, message))?;
    let mut entries = Vec::new();
    for (at, value) in given.iter().enumerate() {
        let fields = arguments.nested(value, &ENTRY)?;
        let mut entry = entry(&fields, super::id(task, at, runner))?;
        if let (Ok(event), Flavor::Optimized) = (&mut entry, flavor) {
            event.resources.extend([task.execution.to_string(), template::machine_of(&task.execution)]);
        }
        entries.push(entry);
    }
    if entries.iter().flatten().map(Event::size).sum::<usize>() > MAX_ENTRY_BYTES {
        return Err(invalid(
            flavor,
            "Total size of the entries in the request is over the limit.".to_owned(),
        ));
    }
    let answer = answer(&entries);
    let failed = entries.iter().any(Result::is_err);
    let events = entries.into_iter().flatten().collect();
    keep(&runner.executions.services.host.store, events)
        .await
        .map_err(|error| EVENTS.unavailable(flavor, &error))?;
    if failed && flavor == Flavor::Optimized {
        return Err(Failure::new("EventBridge.FailedEntry", answer.to_string()));
    }
    Ok(answer)
}

fn check_count(count: usize) -> Result<(), String> {
    let wanted = match count {
        0 => "greater than or equal to 1",
        1..=MAX_ENTRIES => return Ok(()),
        _ => "less than or equal to 10",
    };
    Err(format!(
        "1 validation error detected: Value at 'entries' failed to satisfy constraint: Member must have \
         length {wanted}"
    ))
}

fn entry(fields: &Arguments<'_>, id: String) -> Result<Result<Event, Reason>, Failure> {
    let mut texts = [const { String::new() }; 3];
    for (text, name) in texts.iter_mut().zip(["Source", "DetailType", "Detail"]) {
        *text = fields.text(name)?.unwrap_or_default().into_owned();
        if text.is_empty() {
            let why = format!("Parameter {name} is not valid. Reason: {name} is a required argument.");
            return Ok(Err(("InvalidArgument", why)));
        }
    }
    let [source, detail_type, detail] = texts;
    if source.starts_with("aws.") {
        return Ok(Err(("NotAuthorizedForSourceException", "Not authorized for the source.".to_owned())));
    }
    if !matches!(Value::parse(&detail), Ok(Value::Object(_))) {
        return Ok(Err(("MalformedDetail", "Detail is malformed.".to_owned())));
    }
    let bus = fields.text("EventBusName")?.map_or_else(|| "default".to_owned(), Into::into);
    Ok(Ok(Event { id, bus, source, detail_type, detail, resources: resources(fields)?, time: time(fields)? }))
}

fn resources(fields: &Arguments<'_>) -> Result<Vec<String>, Failure> {
    let Some(given) = fields.get("Resources") else { return Ok(Vec::new()) };
    let malformed = || fields.malformed("Resources");
    let texts = given.as_array().ok_or_else(malformed)?.iter();
    texts.map(|text| text.as_str().map(ToOwned::to_owned).ok_or_else(malformed)).collect()
}

/// When it happened: RFC 3339, or seconds since 1970.
fn time(fields: &Arguments<'_>) -> Result<Timestamp, Failure> {
    let Some(given) = fields.get("Time") else { return Ok(clock::now()) };
    let time = match given {
        Value::String(text) => text.parse().ok(),
        given => {
            given.as_number().and_then(states::Number::as_i64).and_then(|n| Timestamp::from_second(n).ok())
        }
    };
    time.ok_or_else(|| fields.malformed("Time"))
}

impl Event {
    /// The size as EventBridge counts it; the time counts 14 bytes.
    fn size(&self) -> usize {
        let Self { source, detail_type, detail, resources, .. } = self;
        14 + source.len()
            + detail_type.len()
            + detail.len()
            + resources.iter().map(String::len).sum::<usize>()
    }
}

fn answer(entries: &[Result<Event, Reason>]) -> Value {
    let failed = entries.iter().filter(|entry| entry.is_err()).count();
    let entries: Vec<Value> = entries
        .iter()
        .map(|entry| match entry {
            Ok(event) => Value::from([("EventId", event.id.as_str().into())]),
            Err((code, message)) => {
                Value::from([("ErrorCode", (*code).into()), ("ErrorMessage", message.as_str().into())])
            }
        })
        .collect();
    let failed = u64::try_from(failed).unwrap_or(u64::MAX);
    Value::from([("Entries", entries.into()), ("FailedEntryCount", failed.into())])
}

fn invalid(flavor: Flavor, message: String) -> Failure {
    let refusal = Refusal { status: 400, code: "ValidationException", exception: None, message };
    EVENTS.failure(flavor, &refusal)
}

async fn keep(store: &SqliteStore, events: Vec<Event>) -> Result<(), kernel::store::StoreError> {
    let keep = move |connection: &rusqlite::Connection| {
        for event in &events {
            let Event { id, bus, source, detail_type, detail, resources, time } = event;
            let (resources, time) = (json!(resources).to_string(), time.to_string());
            connection
                .prepare_cached("INSERT OR IGNORE INTO events_log VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
                .execute(params![id, time, bus, source, detail_type, detail, resources])?;
        }
        Ok(())
    };
    store.writer.write(keep).await
}
