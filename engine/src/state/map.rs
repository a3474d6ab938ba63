//! Map: runs its processor once for each item.

use super::distributed::Distributed;
use super::{Exit, Recovery};
use crate::effect::Items;
use crate::history::{Details, EventType};
use crate::load::{Fields, Place};
use crate::machine::FlowId;
use crate::query::{Reach, Template};
use crate::run::{Children, Given, Next, Step, Visit};
use crate::value::{Number, Value};

/// AWS runs at most so many iterations of an inline Map at once.
const MOST_INLINE: usize = 40;

/// A Map state.
#[derive(Debug)]
pub(crate) struct Map {
    items: Option<Template>,
    pub selector: Option<Template>,
    pub processor: FlowId,
    pub distributed: Option<Distributed>,
    concurrency: Option<Template>,
    pub exit: Exit,
    pub recovery: Recovery,
}

impl Map {
    pub(crate) fn parse<'a>(fields: Fields<'a>, place: &Place<'a>) -> Option<Self> {
        fields.require(&["ItemProcessor"]);
        let (processor, distributed) = processor(&fields, place)?;
        let items = fields.template_of("Items", "an array", Reach::INPUT, |value| {
            value.as_array().is_some() || distributed.is_some() && value.as_object().is_some()
        });
        let selector = fields.template("ItemSelector", Reach::INPUT);
        let concurrency =
            fields.template_of("MaxConcurrency", "a whole number from 0", Reach::INPUT, |value| {
                count(value).is_some()
            });
        if fields.has("ItemReader") && items.is_some() {
            fields.invalid("Items", "'Items' and 'ItemReader' exclude each other");
        }
        let is_distributed = distributed.is_some();
        let distributed = distributed.map(|express| Distributed::parse(&fields, place, express));
        let recovery = Recovery::parse(&fields, place);
        let exit = Exit::parse(&fields, place, Reach::RESULT);
        fields.finish(if is_distributed {
            &[]
        } else {
            &[
                ("Iterator", "'Iterator' is the old name of 'ItemProcessor'"),
                ("ToleratedFailureCount", "'ToleratedFailureCount' is not supported for an inline Map"),
                (
                    "ToleratedFailurePercentage",
                    "'ToleratedFailurePercentage' is not supported for an inline Map",
                ),
                ("ItemBatcher", "'ItemBatcher' is not supported for an inline Map"),
                ("ItemReader", "'ItemReader' is not supported for an inline Map"),
                ("Label", "'Label' is not supported for an inline Map"),
                ("ResultWriter", "'ResultWriter' is not supported for an inline Map"),
            ]
        });
        let distributed = distributed.map_or(Some(None), |distributed| distributed.map(Some))?;
        Some(Self { items, selector, processor, distributed, concurrency, exit: exit?, recovery: recovery? })
    }

    pub(crate) fn start(&self, visit: &mut Visit<'_>) -> Step {
        let reads = self.distributed.as_ref().is_some_and(|distributed| distributed.reader.is_some());
        let items = if reads { None } else { Some(self.items(visit)?) };
        // As on AWS, items that are read are not counted here.
        let length = items.as_ref().map_or(0, length);
        visit.event(EventType::MapStateStarted, Details::MapStarted { length });
        let concurrency = visit.evaluate(Given::default(), |scope| {
            let concurrency = self
                .concurrency
                .as_ref()
                .map(|template| template.fill_as("MaxConcurrency", "non-negative integer", scope, count));
            Ok(concurrency.transpose()?.unwrap_or(0))
        })?;
        if visit.is_test() {
            return self.tested(visit, items, concurrency);
        }
        match (&self.distributed, items) {
            (Some(distributed), items) => {
                distributed.start(visit, self, items.and_then(|items| Items::of(&items)), concurrency)
            }
            (None, Some(Value::Array(items))) => {
                let concurrency = if concurrency == 0 { MOST_INLINE } else { concurrency.min(MOST_INLINE) };
                visit.begin(Children::items(items.into(), concurrency));
                Ok(Next::Wait)
            }
            (None, _) => Ok(Next::Wait),
        }
    }

    /// The array, or for a distributed Map the object, to iterate over.
    fn items(&self, visit: &mut Visit<'_>) -> Result<Value, crate::run::Fault> {
        let objects = self.distributed.is_some();
        let accept = |value: &Value| {
            (value.as_array().is_some() || objects && value.as_object().is_some()).then(|| value.clone())
        };
        match &self.items {
            Some(template) => {
                visit.evaluate(Given::default(), |scope| template.fill_as("Items", "array", scope, accept))
            }
            None => {
                let input = visit.thread.input.clone();
                accept(&input)
                    .ok_or_else(|| visit.wrong(&format!("Map state input must be an array but was: {input}")))
            }
        }
    }

    /// Every iteration has given its output.
    pub(crate) fn finish(&self, visit: &mut Visit<'_>, outputs: Vec<Value>) -> Step {
        self.succeed(visit, &outputs.into())
    }

    pub(super) fn succeed(&self, visit: &mut Visit<'_>, output: &Value) -> Step {
        let last = visit.thread.last_event;
        visit.event(EventType::MapStateSucceeded, Details::None);
        // What follows points to the last iteration's end, not to the success of the state.
        visit.thread.last_event = last;
        visit.leave(&self.exit, "", Given { result: Some(output), error: None })
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

fn length(items: &Value) -> usize {
    match items {
        Value::Array(items) => items.len(),
        Value::Object(members) => members.len(),
        _ => 0,
    }
}

pub(super) fn count(value: &Value) -> Option<usize> {
    value.as_number().and_then(Number::as_i64).and_then(|count| usize::try_from(count).ok())
}
