//! Map: runs its processor once for each item.

use std::sync::Arc;

use super::exit::Leaving;
use super::{Entry, Exit, Recovery, Selection};
use crate::effect::Effect;
use crate::failure::{Failure, reserved};
use crate::history::{Details, EventType};
use crate::load::{Fields, Place};
use crate::machine::{FlowId, MachineType};
use crate::query::{EvaluationError, Language, Reach, Scope, Template};
use crate::run::{Children, Fault, Given, Next, Step, Tolerance, Visit, Waiting};
use crate::state::reader::Reader;
use crate::value::{Array, Number, Value};

/// AWS runs at most so many iterations of an inline Map at once.
const MOST_INLINE: usize = 40;
/// AWS runs at most so many children of a distributed Map at once.
const MOST_DISTRIBUTED: usize = 10_000;

/// A Map state.
#[derive(Debug)]
pub(crate) struct Map {
    pub entry: Entry,
    items: Items,
    /// The processor is written under its old name, `Iterator`.
    pub old: bool,
    pub reader: Option<Reader>,
    pub selector: Option<Template>,
    pub processor: FlowId,
    pub distributed: Option<Distributed>,
    tolerated: Tolerated,
    concurrency: Option<Template>,
    pub exit: Exit,
    pub recovery: Recovery,
}

/// Where the items come from when the host does not read them.
#[derive(Debug)]
enum Items {
    /// JSONata: `Items`, or the input.
    Jsonata(Option<Template>),
    /// JSONPath: `ItemsPath` of the input.
    JsonPath(Selection),
}

/// What only a distributed Map has: its items become executions of their own.
#[derive(Debug)]
pub(crate) struct Distributed {
    pub express: bool,
    pub label: Option<Arc<str>>,
}

/// How many items may fail, as it is written.
#[derive(Debug)]
struct Tolerated {
    count: Option<Template>,
    percentage: Option<Template>,
}

impl Map {
    pub(crate) fn parse<'a>(fields: Fields<'a>, place: &Place<'a>) -> Option<Self> {
        fields.exactly_one_of(&["ItemProcessor", "Iterator"]);
        let old = fields.has("Iterator");
        let (processor, distributed) = processor(&fields, place)?;
        let entry = Entry::plain(&fields);
        let items = Items::parse(&fields);
        let selector = selector(&fields);
        let concurrency = fields.whole_or_path("MaxConcurrency", "MaxConcurrencyPath", 0, i64::MAX);
        let tolerated = Tolerated::parse(&fields);
        let is_distributed = distributed.is_some();
        let (reader, distributed) = if let Some(express) = distributed {
            let reader = fields.object("ItemReader").map(Reader::parse);
            (reader, Some(Distributed { express, label: label(&fields) }))
        } else {
            (None, None)
        };
        if reader.is_some() {
            fields.one_of(&["Items", "ItemReader"]);
        }
        let recovery = Recovery::parse(&fields, place);
        let exit = Exit::parse(&fields, place, Leaving::Work);
        fields.finish(if is_distributed {
            &[
                ("ItemBatcher", "'ItemBatcher' is not supported yet"),
                ("ResultWriter", "'ResultWriter' is not supported yet"),
            ]
        } else {
            &[
                ("ItemReader", "'ItemReader' is not supported for an inline Map"),
                ("Label", "'Label' is not supported for an inline Map"),
            ]
        });
        let reader = match reader {
            Some(reader) => Some(reader?),
            None => None,
        };
        let (exit, recovery) = (exit?, recovery?);
        Some(Self {
            entry,
            items,
            old,
            reader,
            selector,
            processor,
            distributed,
            tolerated,
            concurrency,
            exit,
            recovery,
        })
    }

    pub(crate) fn start(&self, visit: &mut Visit<'_>) -> Step {
        if let Some(reader) = &self.reader {
            let (id, source) = reader.request(visit)?;
            visit.wait(Waiting::Items { id }, None);
            visit.effect(Effect::ReadItems(source));
            return Ok(Next::Wait);
        }
        let items = visit.evaluate(Given::default(), |scope| {
            let input = self.entry.input(scope)?;
            self.items.of(&mut scope.over(&input))
        })?;
        self.begin(visit, items)
    }

    /// The host has read the items.
    pub(crate) fn items_read(&self, visit: &mut Visit<'_>, items: Result<Vec<Value>, Failure>) -> Step {
        let mut items = items.map_err(|failure| {
            Fault::from(Failure {
                error: failure.error.or_else(|| Some(reserved::ITEM_READER_FAILED.into())),
                cause: failure.cause,
            })
        })?;
        if let Some(most) = self.reader.as_ref().map(|reader| reader.max_items(visit)).transpose()?.flatten()
        {
            items.truncate(most);
        }
        self.begin(visit, items.into())
    }

    fn begin(&self, visit: &mut Visit<'_>, items: Array) -> Step {
        visit.event(EventType::MapStateStarted, Details::MapStarted { length: items.len() });
        let (concurrency, tolerance) = visit.evaluate(Given::default(), |scope| {
            let input = self.entry.input(scope)?;
            let scope = &mut scope.over(&input);
            let concurrency = self.concurrency.as_ref();
            let concurrency =
                concurrency.map(|n| n.fill_as("MaxConcurrency", "non-negative integer", scope, count));
            Ok((concurrency.transpose()?.unwrap_or(0), self.tolerated.of(scope)?))
        })?;
        let tolerance = self.distributed.as_ref().map(|_| tolerance);
        let most = if self.distributed.is_some() { MOST_DISTRIBUTED } else { MOST_INLINE };
        let concurrency = if concurrency == 0 { most } else { concurrency.min(most) };
        let run = self.distributed.as_ref().map(|distributed| visit.map_run(distributed.label.as_deref()));
        visit.begin(Children::items(items, concurrency, tolerance, run));
        Ok(Next::Wait)
    }

    pub(crate) fn finish(&self, visit: &mut Visit<'_>, outputs: Vec<Value>) -> Step {
        if self.distributed.is_some() {
            visit.event(EventType::MapRunSucceeded, Details::None);
        }
        let last = visit.thread.last_event;
        visit.event(EventType::MapStateSucceeded, Details::None);
        // What follows points to the last iteration's end, not to the success of the state.
        visit.thread.last_event = last;
        let outputs = Value::from(outputs);
        visit.leave(&self.exit, "", Given::result(&outputs))
    }
}

impl Items {
    fn parse(fields: &Fields<'_>) -> Self {
        match fields.language() {
            Language::Jsonata => Self::Jsonata(
                fields.template_of("Items", "Array", Reach::INPUT, |value| value.as_array().is_some()),
            ),
            Language::JsonPath if fields.has("ItemsPath") => {
                let path = fields.reference("ItemsPath");
                Self::JsonPath(path.map_or(Selection::All, |path| Selection::Path(Box::new(path))))
            }
            Language::JsonPath => Self::JsonPath(Selection::All),
        }
    }

    fn of(&self, scope: &mut Scope<'_>) -> Result<Array, EvaluationError> {
        let (value, cause) = match self {
            Self::Jsonata(Some(template)) => {
                return template.fill_as("Items", "array", scope, |value| value.as_array().cloned());
            }
            Self::Jsonata(None) => {
                let cause = format!("Map state input must be an array but was: {}", scope.input);
                let cause =
                    EvaluationError { error: reserved::QUERY_EVALUATION_ERROR, location: None, cause };
                (scope.input.clone(), cause)
            }
            Self::JsonPath(selection) => {
                let path = match selection {
                    Selection::Path(path) => path.source(),
                    _ => "$",
                };
                let cause = format!("Reference path \"{path}\" must point to array.");
                (selection.of(scope)?, EvaluationError::runtime(cause))
            }
        };
        value.as_array().cloned().ok_or(cause)
    }
}

impl Tolerated {
    fn parse(fields: &Fields<'_>) -> Self {
        let count = fields.whole_or_path("ToleratedFailureCount", "ToleratedFailureCountPath", 0, i64::MAX);
        let (field, path) = ("ToleratedFailurePercentage", "ToleratedFailurePercentagePath");
        let percentage = if fields.language() == Language::JsonPath && fields.has(path) {
            fields.one_of(&[field, path]);
            fields.reference(path).map(|reference| Template::path(path, reference))
        } else {
            fields.template_of(field, "Number", Reach::INPUT, |value| percentage(value).is_some())
        };
        Self { count, percentage }
    }

    fn of(&self, scope: &mut Scope<'_>) -> Result<Tolerance, EvaluationError> {
        let count = self.count.as_ref().map(|template| {
            let whole = |value: &Value| value.as_number().and_then(Number::as_i64);
            let count = template.fill_as("ToleratedFailureCount", "non-negative integer", scope, whole)?;
            usize::try_from(count)
                .map_err(|_| EvaluationError::runtime("ToleratedFailureCount cannot be negative."))
        });
        let percentage = self.percentage.as_ref().map(|template| {
            let number = |value: &Value| value.as_number().map(Number::as_f64);
            let share = template.fill_as("ToleratedFailurePercentage", "number", scope, number)?;
            let cause = "ToleratedFailurePercentage must be between 0 and 100.";
            if (0.0..=100.0).contains(&share) { Ok(share) } else { Err(EvaluationError::runtime(cause)) }
        });
        Ok(Tolerance { count: count.transpose()?, percentage: percentage.transpose()? })
    }
}

/// What an iteration gets: `ItemSelector`, in JSONPath also by its old name.
fn selector(fields: &Fields<'_>) -> Option<Template> {
    if fields.language() == Language::JsonPath && fields.has("Parameters") {
        fields.one_of(&["ItemSelector", "Parameters"]);
        return fields.template("Parameters", Reach::INPUT);
    }
    fields.template("ItemSelector", Reach::INPUT)
}

fn label(fields: &Fields<'_>) -> Option<Arc<str>> {
    let label = fields.text("Label")?;
    if label.is_empty() {
        fields.invalid("Label", "Label cannot be empty");
    } else if label.chars().count() > 40 {
        fields.invalid("Label", "Label cannot exceed 40 characters");
    }
    Some(label)
}

/// The processor's flow; for a distributed one, whether its executions are EXPRESS.
fn processor<'a>(fields: &Fields<'a>, place: &Place<'a>) -> Option<(FlowId, Option<bool>)> {
    let field = if fields.has("Iterator") { "Iterator" } else { "ItemProcessor" };
    let processor = fields.object(field)?;
    processor.text("Comment");
    let mut distributed = None;
    if let Some(config) = processor.object("ProcessorConfig") {
        if config.choice("Mode", &["INLINE", "DISTRIBUTED"]).as_deref() == Some("DISTRIBUTED") {
            config.require(&["ExecutionType"]);
            let kind = config.choice("ExecutionType", &["STANDARD", "EXPRESS"]);
            distributed = Some(kind.as_deref() == Some("EXPRESS"));
            if place.loader.kind == MachineType::Express {
                config.invalid(
                    "Mode",
                    "The field 'Mode' with value 'DISTRIBUTED' is not supported inside 'EXPRESS' state machines",
                );
            }
        }
        config.finish(&[]);
    }
    let flow = place.nested(&processor);
    processor.finish(&[]);
    Some((flow, distributed))
}

pub(super) fn count(value: &Value) -> Option<usize> {
    value.as_number().and_then(Number::as_i64).and_then(|count| usize::try_from(count).ok())
}

fn percentage(value: &Value) -> Option<f64> {
    value.as_number().map(Number::as_f64).filter(|share| (0.0..=100.0).contains(share))
}
