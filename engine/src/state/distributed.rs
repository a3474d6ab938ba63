//! A distributed Map: its items become executions of their own, and a Map run counts them.

use std::sync::Arc;

use super::{Map, batcher::Batcher, reader::Reader, writer::Form, writer::Writer, writer::Written};
use crate::effect::Items;
use crate::failure::{Failure, reserved};
use crate::history::{Details, EventType};
use crate::ids::MapRunId;
use crate::load::{Fields, Place};
use crate::problem::Code;
use crate::query::{EvaluationError, Language, Reach, Scope, Template};
use crate::run::{Children, Dataset, Fault, MapRunStatus, MapRunUpdate, Next, Source, Step, Visit, Waiting};
use crate::value::Value;

/// What only a distributed Map has.
#[derive(Debug)]
pub(crate) struct Distributed {
    pub express: bool,
    pub label: Option<Arc<str>>,
    pub reader: Option<Reader>,
    pub batcher: Option<Batcher>,
    writer: Option<Writer>,
}

/// Items that are being read.
#[derive(Debug)]
pub(crate) struct Reading {
    pub run: MapRunId,
    source: Source,
}

/// A Map run that has ended but for its results, which are being written.
#[derive(Debug)]
pub(crate) struct Writing {
    pub run: MapRunId,
    written: Written,
    /// Why it fails.
    failure: Option<Failure>,
}

impl Distributed {
    pub(crate) fn parse(fields: &Fields<'_>, place: &Place<'_>, express: bool) -> Option<Self> {
        let reader = fields.object("ItemReader").map(|reader| Reader::parse(reader, place));
        let writer = fields.object("ResultWriter").map(|writer| Writer::parse(writer, place));
        Some(Self {
            express,
            label: label(fields),
            batcher: fields.object("ItemBatcher").map(Batcher::parse),
            reader: optional(reader)?,
            writer: optional(writer)?,
        })
    }

    /// Reads the numbers that paths lead to.
    pub(super) fn read_numbers(&self, scope: &mut Scope<'_>) -> Result<(), EvaluationError> {
        self.reader.as_ref().map_or(Ok(()), |reader| reader.read_numbers(scope))?;
        self.batcher.as_ref().map_or(Ok(()), |batcher| batcher.read_numbers(scope))
    }

    /// Whether the results go to storage, and only where they are is handed on.
    pub(super) fn writes(&self) -> bool {
        self.writer.as_ref().is_some_and(Writer::has_destination)
    }

    /// Starts the Map run; without items they are read first.
    pub(crate) fn start(
        &self,
        visit: &mut Visit<'_>,
        map: &Map,
        items: Option<Items>,
        concurrency: usize,
    ) -> Step {
        let limits = Self::limits(visit, map, concurrency)?;
        let run = visit.map_run(self.label.as_deref(), limits);
        let begun = match (items, &self.reader) {
            (None, Some(reader)) => reader.start(visit).map(|(id, source)| {
                visit.wait(Waiting::Items { id, reading: Box::new(Reading { run, source }) }, None);
                Next::Wait
            }),
            (items, _) => {
                let dataset = Dataset::new(items.unwrap_or_default(), Source::State);
                self.begin(visit, map, run, dataset)
            }
        };
        begun.map_err(|fault| fail(visit, run, fault))
    }

    pub(super) fn limits(
        visit: &mut Visit<'_>,
        map: &Map,
        concurrency: usize,
    ) -> Result<MapRunUpdate, Fault> {
        let (tolerated_failure_count, tolerated_failure_percentage) =
            visit.mapped(|scope| map.tolerated.limits(scope))?;
        Ok(MapRunUpdate {
            max_concurrency: Some(concurrency),
            tolerated_failure_count,
            tolerated_failure_percentage,
        })
    }

    /// The host has read the items.
    pub(crate) fn items_read(
        &self,
        visit: &mut Visit<'_>,
        map: &Map,
        reading: Reading,
        items: Result<Items, Failure>,
    ) -> Step {
        let Reading { run, source } = reading;
        let begun =
            items.map_err(|failure| named(failure, reserved::ITEM_READER_FAILED)).and_then(|mut items| {
                let most = self.reader.as_ref().map(|reader| reader.max_items(visit));
                if let Some(most) = most.transpose()?.flatten() {
                    items.truncate(most);
                }
                self.begin(visit, map, run, Dataset::new(items, source))
            });
        begun.map_err(|fault| fail(visit, run, fault))
    }

    /// The items are there: their children start after this turn.
    fn begin(&self, visit: &mut Visit<'_>, map: &Map, run: MapRunId, dataset: Dataset) -> Step {
        let items = dataset.values.len();
        let mut children = Children::items(dataset, 0);
        if let Some(batcher) = &self.batcher {
            let selected = (0..items).filter_map(|index| children.dataset.item(index));
            let selected = selected.collect::<Vec<_>>().into_iter().map(|item| visit.selected(map, item));
            let selected = selected.collect::<Result<Vec<_>, _>>()?;
            let batches = batcher.batches(visit, selected)?;
            children = Children::batches(batches.inputs.into(), batches.items);
        }
        children.map_run = Some(run);
        if let Some(record) = visit.run.map_run(run) {
            children.concurrency = record.room();
            record.begin(items, children.len());
        }
        visit.begin(children);
        Ok(Next::Wait)
    }

    /// All children are done, or too many have failed.
    pub(crate) fn ended(&self, visit: &mut Visit<'_>, map: &Map, failure: Option<Failure>) -> Step {
        let Some((run, results)) =
            visit.thread.wreck.as_ref().and_then(|children| Some((children.map_run?, children.results())))
        else {
            return Ok(Next::Wait);
        };
        let record = visit.run.map_run(run).cloned();
        if let (Some(writer), Some(record)) = (&self.writer, record) {
            match writer.start(visit, &record, results.clone()) {
                Ok(Some(written)) => {
                    let id = written.id;
                    let writing = Box::new(Writing { run, written, failure });
                    visit.wait(Waiting::Results { id, writing }, None);
                    return Ok(Next::Wait);
                }
                Ok(None) => {}
                Err(fault) => return Err(fail(visit, run, fault)),
            }
        }
        match failure {
            Some(failure) => Err(fail(visit, run, failure.into())),
            None => succeed(visit, map, run, self.form().list(results).into()),
        }
    }

    /// The host has written the results.
    pub(crate) fn results_written(
        visit: &mut Visit<'_>,
        map: &Map,
        writing: Writing,
        result: Result<(), Failure>,
    ) -> Step {
        let Writing { run, written, failure } = writing;
        if let (Ok(()), Some(record)) = (&result, visit.run.map_run(run)) {
            record.results_written();
        }
        match (failure, result) {
            (Some(failure), _) => Err(fail(visit, run, failure.into())),
            (None, Err(failure)) => Err(fail(visit, run, named(failure, reserved::RESULT_WRITER_FAILED))),
            (None, Ok(())) => succeed(visit, map, run, written.output),
        }
    }

    /// The resource that results are written with.
    pub(crate) fn written_with(&self) -> Option<&str> {
        self.writer.as_ref().and_then(Writer::resource)
    }

    /// What is kept of each child that succeeds.
    pub(crate) fn form(&self) -> Form {
        self.writer.as_ref().map_or(Form::default(), |writer| writer.form)
    }
}

fn succeed(visit: &mut Visit<'_>, map: &Map, run: MapRunId, output: Value) -> Step {
    visit.end_map_run(run, MapRunStatus::Succeeded);
    visit.event(EventType::MapRunSucceeded, Details::None);
    map.succeed(visit, &output)
}

fn fail(visit: &mut Visit<'_>, run: MapRunId, fault: Fault) -> Fault {
    let fault = visit.noted(fault);
    visit.end_map_run(run, MapRunStatus::Failed);
    visit.event(EventType::MapRunFailed, Details::Failed(fault.failure.clone()));
    fault
}

/// A failure of the host, by the name it gave or this one.
fn named(failure: Failure, otherwise: &str) -> Fault {
    let error = failure.error.or_else(|| Some(otherwise.to_owned()));
    Failure { error, cause: failure.cause }.into()
}

/// `None`: there is one, and something is wrong with it.
pub(super) fn optional<T>(parsed: Option<Option<T>>) -> Option<Option<T>> {
    parsed.map_or(Some(None), |parsed| parsed.map(Some))
}

fn label(fields: &Fields<'_>) -> Option<Arc<str>> {
    let label = fields.text("Label")?;
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || "?*<>{}[]:;,\\|^~$#%&`\"".contains(c);
    let why = if label.is_empty() {
        "Label cannot be empty"
    } else if label.chars().count() > 40 {
        "Label cannot exceed 40 characters"
    } else if label.chars().any(forbidden) {
        "Label contains a character that is not allowed"
    } else {
        return Some(label);
    };
    fields.refuse(Code::InvalidLabelName, Some("Label"), why);
    None
}

/// The arguments of a reader or a writer.
pub(super) fn argument(fields: &Fields<'_>) -> Option<Template> {
    let field = match fields.language() {
        Language::JsonPath => "Parameters",
        Language::Jsonata => "Arguments",
    };
    fields.require(&[field]);
    fields.template_of(field, "Object", Reach::INPUT, |value| value.as_object().is_some())
}
