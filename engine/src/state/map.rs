//! Map: runs its processor once for each item.

use super::arguments::optional;
use super::distributed::Distributed;
use super::exit::ExitKind;
use super::tolerated_failures::ToleratedFailures;
use super::{Exit, Recovery, StateInput};
use crate::effect::Items;
use crate::failure::reserved;
use crate::history::{Details, EventType};
use crate::ids::FlowId;
use crate::load::{Fields, ParseContext};
use crate::query::{EvaluationError, Language, Scope, Selection, Stage, Template, Visibility};
use crate::run::{Children, EvalInputs, Visit, VisitOutcome, VisitResult};
use crate::value::Value;

/// AWS's limit for the concurrent iterations of an inline Map.
const MAX_INLINE_CONCURRENCY: usize = 40;

#[derive(Debug)]
pub(crate) struct Map {
    pub input: StateInput,
    source: Source,
    pub selector: Option<Template>,
    pub processor: FlowId,
    /// Whether the definition uses the processor's old name, `Iterator`.
    pub is_iterator: bool,
    pub distributed: Option<Distributed>,
    pub tolerated: ToleratedFailures,
    concurrency: Option<Template>,
    pub exit: Exit,
    pub recovery: Recovery,
}

/// The source of the items when the host does not read them.
#[derive(Debug)]
enum Source {
    /// JSONata: `Items`, or the input.
    Jsonata(Option<Template>),
    /// JSONPath: `ItemsPath` of the input.
    JsonPath(Selection),
}

impl Map {
    pub(crate) fn parse<'a>(fields: Fields<'a>, context: &ParseContext<'a>) -> Option<Self> {
        fields.exactly_one_of(&["ItemProcessor", "Iterator"]);
        let is_iterator = fields.has("Iterator");
        let (processor, distributed) = processor(&fields, context)?;
        let input = StateInput::parse_path(&fields);
        let source = Source::parse(&fields, distributed.is_some());
        let selector = selector(&fields);
        let concurrency = fields.map_number("MaxConcurrency", "MaxConcurrencyPath", 0, i64::MAX);
        let tolerated = ToleratedFailures::parse(&fields);
        if fields.has("ItemReader") {
            fields.at_most_one_of(&["Items", "ItemReader"]);
        }
        let is_distributed = distributed.is_some();
        let distributed = distributed.map(|express| Distributed::parse(&fields, context, express));
        let recovery = Recovery::parse(&fields, context);
        let exit = Exit::parse(&fields, context, ExitKind::Result);
        fields.finish(if is_distributed {
            &[]
        } else {
            &[
                ("ItemBatcher", "'ItemBatcher' is not supported for an inline Map"),
                ("ItemReader", "'ItemReader' is not supported for an inline Map"),
                ("Label", "'Label' is not supported for an inline Map"),
                ("ResultWriter", "'ResultWriter' is not supported for an inline Map"),
            ]
        });
        let distributed = optional(distributed)?;
        Some(Self {
            input,
            source,
            selector,
            processor,
            is_iterator,
            distributed,
            tolerated,
            concurrency,
            exit: exit?,
            recovery: recovery?,
        })
    }

    pub(crate) fn start(&self, visit: &mut Visit<'_>) -> VisitResult {
        let reads = self.distributed.as_ref().is_some_and(|distributed| distributed.reader.is_some());
        let objects = self.distributed.is_some();
        let items = if reads {
            None
        } else {
            Some(visit.evaluate_in_map(|scope| self.source.items(scope, objects))?)
        };
        // As on AWS, this length excludes the items that the host reads.
        let length = items.as_ref().map_or(0, length);
        visit.event(EventType::MapStateStarted, Details::MapStarted { length });
        let concurrency = visit.evaluate_in_map(|scope| {
            let concurrency = self.concurrency.as_ref().map(|template| {
                let count = template.fill_count("MaxConcurrency", "non-negative integer", scope)?;
                let cause = "MaxConcurrency cannot be negative.";
                usize::try_from(count).map_err(|_| EvaluationError::runtime(cause))
            });
            self.tolerated.limits(scope)?;
            // As on AWS, a bad value behind a path fails the state before the Map run starts.
            self.distributed.as_ref().map_or(Ok(()), |distributed| distributed.read_numbers(scope))?;
            Ok(concurrency.transpose()?.unwrap_or(0))
        })?;
        if visit.is_test() {
            return self.tested(visit, items, concurrency);
        }
        match (&self.distributed, items) {
            (Some(distributed), items) => {
                self.start_run(visit, distributed, items.and_then(|items| Items::of(&items)), concurrency)
            }
            (None, Some(Value::Array(items))) => {
                let concurrency = if concurrency == 0 {
                    MAX_INLINE_CONCURRENCY
                } else {
                    concurrency.min(MAX_INLINE_CONCURRENCY)
                };
                visit.wait_for_children(Children::items(items.into(), concurrency));
                Ok(VisitOutcome::Wait)
            }
            (None, _) => Ok(VisitOutcome::Wait),
        }
    }

    /// Completes the state with the outputs of all iterations.
    pub(crate) fn finish(&self, visit: &mut Visit<'_>, outputs: Vec<Value>) -> VisitResult {
        self.succeed(visit, &outputs.into())
    }

    pub(super) fn succeed(&self, visit: &mut Visit<'_>, output: &Value) -> VisitResult {
        let last = visit.strand.last_event;
        visit.event(EventType::MapStateSucceeded, Details::None);
        // On AWS the next event follows the last iteration's end, not the success of the state.
        visit.strand.last_event = last;
        visit.leave(&self.exit, "", EvalInputs::result(output))
    }
}

impl Source {
    fn parse(fields: &Fields<'_>, objects: bool) -> Self {
        match fields.language() {
            Language::Jsonata => {
                Self::Jsonata(fields.template_of("Items", "Array", Visibility::INPUT, |value| {
                    value.as_array().is_some() || objects && value.as_object().is_some()
                }))
            }
            Language::JsonPath if fields.has("ItemsPath") => {
                let path = fields.reference("ItemsPath");
                Self::JsonPath(path.map_or(Selection::All, |path| Selection::Path(Box::new(path))))
            }
            Language::JsonPath => Self::JsonPath(Selection::All),
        }
    }

    /// The items: an array, or for a distributed Map also an object.
    fn items(&self, scope: &mut Scope<'_>, objects: bool) -> Result<Value, EvaluationError> {
        let accept = |value: &Value| {
            (value.as_array().is_some() || objects && value.as_object().is_some()).then(|| value.clone())
        };
        let (value, error) = match self {
            Self::Jsonata(Some(template)) => return template.fill_as("Items", "array", scope, accept),
            Self::Jsonata(None) => {
                let cause = format!("Map state input must be an array but was: {}", scope.input);
                let error = reserved::QUERY_EVALUATION_ERROR;
                (scope.input.clone(), EvaluationError { error, location: None, cause })
            }
            Self::JsonPath(selection) => {
                let path = match selection {
                    Selection::Path(path) => path.source(),
                    _ => "$",
                };
                // AWS shows a path into the context object as a path into the input.
                let path = path.strip_prefix('$').filter(|path| path.starts_with('$')).unwrap_or(path);
                let cause = format!("Reference path \"{path}\" must point to array.");
                (selection.of(scope)?, EvaluationError::runtime(cause))
            }
        };
        let items = accept(&value).ok_or(error)?;
        if matches!(self, Self::JsonPath(_)) {
            scope.inspect(Stage::AfterItemsPath, &items);
        }
        Ok(items)
    }
}

/// The template for an iteration's input: `ItemSelector`, or its old name `Parameters` in JSONPath.
fn selector(fields: &Fields<'_>) -> Option<Template> {
    if fields.language() == Language::JsonPath && fields.has("Parameters") {
        fields.at_most_one_of(&["ItemSelector", "Parameters"]);
        return fields.template("Parameters", Visibility::INPUT);
    }
    fields.template("ItemSelector", Visibility::INPUT)
}

/// The processor's flow. For a distributed Map also whether its executions are EXPRESS.
fn processor<'a>(fields: &Fields<'a>, context: &ParseContext<'a>) -> Option<(FlowId, Option<bool>)> {
    let field = if fields.has("Iterator") { "Iterator" } else { "ItemProcessor" };
    let processor = fields.object(field)?;
    processor.text("Comment");
    let mut distributed = None;
    if let Some(config) = processor.object("ProcessorConfig") {
        if config.choice("Mode", &["INLINE", "DISTRIBUTED"]).as_deref() == Some("DISTRIBUTED") {
            config.require(&["ExecutionType"]);
            let kind = config.choice("ExecutionType", &["STANDARD", "EXPRESS"]);
            distributed = Some(kind.as_deref() == Some("EXPRESS"));
            if context.is_express() {
                config.invalid(
                    "Mode",
                    "The field 'Mode' with value 'DISTRIBUTED' is not supported inside 'EXPRESS' state machines",
                );
            }
        }
        config.finish(&[]);
    }
    let flow = context.nested(&processor);
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
