//! Logs: each function has a file for each day, one JSON object a line. All other log lines go to the standard error, for
//! the person who started the program.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde_json::{Map, Value, json};
use step_functions::clock;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{Layer, filter, layer::Context, layer::SubscriberExt, registry::LookupSpan};

use crate::named_function::NamedFunction;

/// Number of days that logs are kept, as on AWS.
const MAX_LOG_DAYS: i64 = 30;

/// Whether log lines have no colours, also on a terminal.
static WITHOUT_COLOURS: AtomicBool = AtomicBool::new(false);

/// Turns colours of log lines off.
pub(crate) fn without_colours() {
    WITHOUT_COLOURS.store(true, Ordering::Relaxed);
}

/// Starts logging into `folder`. Lines of no function go to the standard error, from `level` up.
pub(crate) fn start(folder: &Path, level: Level) {
    remove_old(folder, clock::now());
    let people = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal() && !WITHOUT_COLOURS.load(Ordering::Relaxed))
        .with_filter(filter::LevelFilter::from_level(level))
        .with_filter(filter::filter_fn(|meta| !is_of_a_function(meta.target())));
    let files = Files { folder: folder.to_owned(), open: Mutex::default() };
    let files = files.with_filter(filter::LevelFilter::INFO);
    // A second start in one process keeps the first subscriber, which logs to the same folder.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(people).with(files));
}

/// Whether the target is a crate of `functions/`: its lines go to the files of functions.
fn is_of_a_function(target: &str) -> bool {
    let of = target.split("::").next().unwrap_or(target);
    registry::CRATES.contains(&of)
}

/// The file of a function and a day.
pub(crate) fn file(folder: &Path, function: NamedFunction, day: Date) -> PathBuf {
    folder.join(format!("{}Function", function.name())).join(format!("{day}.ndjson"))
}

/// Writes a function's events to its file.
struct Files {
    folder: PathBuf,
    open: Mutex<HashMap<NamedFunction, (Date, File)>>,
}

/// The function of a span.
struct Of(NamedFunction);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Files {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let name = fields.0.get("name").and_then(Value::as_str).and_then(NamedFunction::from_name);
        if let (Some(span), Some(function)) = (context.span(id), name) {
            span.extensions_mut().insert(Of(function));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let scope = context.event_scope(event);
        let function =
            scope.and_then(|mut spans| spans.find_map(|span| span.extensions().get::<Of>().map(|of| of.0)));
        let Some(function) = function else { return };
        let mut fields = Fields::default();
        event.record(&mut fields);
        let now = clock::now();
        let mut line = Map::new();
        line.insert("timestamp".into(), json!(now.to_string()));
        line.insert("level".into(), json!(event.metadata().level().as_str()));
        line.append(&mut fields.0);
        let mut text = Value::Object(line).to_string();
        text.push('\n');
        // A failed write of a log must not stop the flow; quarantine has the records.
        let _ = self.append(function, now, text.as_bytes());
    }
}

impl Files {
    fn append(&self, function: NamedFunction, now: Timestamp, text: &[u8]) -> std::io::Result<()> {
        let day = now.to_zoned(TimeZone::UTC).date();
        let Ok(mut open) = self.open.lock() else {
            return Ok(());
        };
        if open.get(&function).is_none_or(|(opened, _)| *opened != day) {
            let path = file(&self.folder, function, day);
            fs::create_dir_all(path.parent().unwrap_or(&self.folder))?;
            open.insert(function, (day, File::options().create(true).append(true).open(path)?));
        }
        match open.get_mut(&function) {
            Some((_, file)) => file.write_all(text),
            None => Ok(()),
        }
    }
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().to_owned(), json!(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), json!(value));
    }
}

fn remove_old(folder: &Path, now: Timestamp) {
    let today = now.to_zoned(TimeZone::UTC).date();
    for function in NamedFunction::all() {
        let Some(logs) = file(folder, function, today).parent().map(Path::to_owned) else {
            continue;
        };
        for entry in fs::read_dir(logs).into_iter().flatten().flatten() {
            let day = entry.path().file_stem().and_then(|name| name.to_str()?.parse::<Date>().ok());
            let old = day.is_some_and(|day| {
                today.since(day).is_ok_and(|age| i64::from(age.get_days()) > MAX_LOG_DAYS)
            });
            if old {
                // The next start tries again.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}
