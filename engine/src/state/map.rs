//! Map: runs its processor once for each item.

use std::sync::Arc;

use super::{Exit, Recovery};
use crate::effect::Effect;
use crate::failure::{Failure, reserved};
use crate::history::{Details, EventType};
use crate::load::{Fields, Place};
use crate::machine::FlowId;
use crate::query::{Reach, Template};
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
    items: Option<Template>,
    pub reader: Option<Reader>,
    pub selector: Option<Template>,
    pub processor: FlowId,
    pub distributed: Option<Distributed>,
    concurrency: Option<Template>,
    pub exit: Exit,
    pub recovery: Recovery,
}

/// What only a distributed Map has: its items become executions of their own.
#[derive(Debug)]
pub(crate) struct Distributed {
    pub express: bool,
    pub label: Option<Arc<str>>,
    count: Option<Template>,
    percentage: Option<Template>,
}

impl Map {
    pub(crate) fn parse<'a>(fields: Fields<'a>, place: &Place<'a>) -> Option<Self> {
        fields.require(&["ItemProcessor"]);
        let (processor, distributed) = processor(&fields, place)?;
        let items = fields.template_of("Items", "an array", Reach::INPUT, |value| value.as_array().is_some());
        let selector = fields.template("ItemSelector", Reach::INPUT);
        let concurrency =
            fields.template_of("MaxConcurrency", "a whole number from 0", Reach::INPUT, |value| {
                count(value).is_some()
            });
        let is_distributed = distributed.is_some();
        let (reader, distributed) = if let Some(express) = distributed {
            let reader = fields.object("ItemReader").map(Reader::parse);
            (reader, Some(Distributed::parse(&fields, express)))
        } else {
            (None, None)
        };
        if reader.is_some() && items.is_some() {
            fields.invalid("Items", "'Items' and 'ItemReader' exclude each other");
        }
        let recovery = Recovery::parse(&fields, place);
        let exit = Exit::parse(&fields, place, Reach::RESULT);
        fields.finish(if is_distributed {
            &[
                ("ItemBatcher", "'ItemBatcher' is not supported yet"),
                ("ResultWriter", "'ResultWriter' is not supported yet"),
            ]
        } else {
            &[
                ("Iterator", "'Iterator' is the old name of 'ItemProcessor'"),
                ("ToleratedFailureCount", "'ToleratedFailureCount' is not supported for an inline Map"),
                (
                    "ToleratedFailurePercentage",
                    "'ToleratedFailurePercentage' is not supported for an inline Map",
                ),
                ("ItemReader", "'ItemReader' is not supported for an inline Map"),
                ("Label", "'Label' is not supported for an inline Map"),
            ]
        });
        let reader = match reader {
            Some(reader) => Some(reader?),
            None => None,
        };
        let (exit, recovery) = (exit?, recovery?);
        Some(Self { items, reader, selector, processor, distributed, concurrency, exit, recovery })
    }

    /// Whether the results are written to storage, and only where they are is handed on.
    pub(crate) fn writes(&self) -> bool {
        false
    }

    pub(crate) fn start(&self, visit: &mut Visit<'_>) -> Step {
        if let Some(reader) = &self.reader {
            let (id, source) = reader.request(visit)?;
            if let Some(items) = visit.mocked_items() {
                return self.items_read(visit, Ok(items));
            }
            visit.wait(Waiting::Items { id }, None);
            visit.effect(Effect::ReadItems(source));
            return Ok(Next::Wait);
        }
        let items = match &self.items {
            Some(template) => visit.evaluate(Given::default(), |scope| {
                template.fill_as("Items", "array", scope, |value| value.as_array().cloned())
            })?,
            None => {
                let input = visit.thread.input.clone();
                let items = input.as_array().cloned();
                items.ok_or_else(|| {
                    visit.wrong(&format!("Map state input must be an array but was: {input}"))
                })?
            }
        };
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
            let mut number = |field: &str, template: &Option<Template>| {
                let template = template.as_ref()?;
                Some(template.fill_as(field, "non-negative integer", scope, count))
            };
            let concurrency = number("MaxConcurrency", &self.concurrency).transpose()?.unwrap_or(0);
            let Some(distributed) = &self.distributed else {
                return Ok((concurrency, None));
            };
            let count = number("ToleratedFailureCount", &distributed.count).transpose()?;
            let percentage = &distributed.percentage;
            let percentage = percentage
                .as_ref()
                .map(|template| {
                    template.fill_as("ToleratedFailurePercentage", "number", scope, self::percentage)
                })
                .transpose()?;
            Ok((concurrency, Some(Tolerance { count, percentage })))
        })?;
        if visit.is_test() {
            return visit.tested_map(self, &items, concurrency, tolerance);
        }
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
        visit.leave(&self.exit, "", Given { result: Some(&outputs), error: None })
    }
}

impl Distributed {
    fn parse(fields: &Fields<'_>, express: bool) -> Self {
        let label = fields.text("Label");
        if label.as_ref().is_some_and(|label| label.is_empty()) {
            fields.invalid("Label", "Label cannot be empty");
        } else if label.as_ref().is_some_and(|label| label.chars().count() > 40) {
            fields.invalid("Label", "Label cannot exceed 40 characters");
        }
        Self {
            express,
            label,
            count: fields.template_of(
                "ToleratedFailureCount",
                "a whole number from 0",
                Reach::INPUT,
                |value| count(value).is_some(),
            ),
            percentage: fields.template_of(
                "ToleratedFailurePercentage",
                "a number from 0 to 100",
                Reach::INPUT,
                |value| percentage(value).is_some(),
            ),
        }
    }
}

/// The processor's flow; for a distributed one, whether its executions are EXPRESS.
fn processor<'a>(fields: &Fields<'a>, place: &Place<'a>) -> Option<(FlowId, Option<bool>)> {
    let processor = fields.object("ItemProcessor")?;
    processor.text("Comment");
    let mut distributed = None;
    if let Some(config) = processor.object("ProcessorConfig") {
        match config.text("Mode").as_deref() {
            None | Some("INLINE") => {}
            Some("DISTRIBUTED") => {
                config.require(&["ExecutionType"]);
                let kind = config.text("ExecutionType");
                if !matches!(kind.as_deref(), None | Some("STANDARD" | "EXPRESS")) {
                    config.invalid("ExecutionType", "Expected 'STANDARD' or 'EXPRESS'");
                }
                distributed = Some(kind.as_deref() == Some("EXPRESS"));
            }
            Some(_) => config.invalid("Mode", "Expected 'INLINE' or 'DISTRIBUTED'"),
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
