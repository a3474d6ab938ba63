//! Event source mappings: which queue feeds which function, and how much at a time.

use serde_json::{Map, Value};

use crate::resources::{Queue, queue_of};

/// A function that a queue may feed, as the host knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// Whether it must be called once at a time, which preserves the order of its messages.
    pub keeps_order: bool,
}

/// A queue that feeds a function.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// The name of the function's resource.
    pub function: String,
    /// Whether the function is called once at a time.
    pub keeps_order: bool,
    /// The queue.
    pub queue: Queue,
    /// The most messages of one call.
    pub batch_size: usize,
    /// The most calls at once.
    pub concurrency: usize,
    /// Whether the mapping is switched on.
    pub enabled: bool,
}

/// The supported properties. The batching window is an upper bound: a call is made as soon as there is a message.
const PROPERTIES: [&str; 6] = [
    "BatchSize",
    "Enabled",
    "FunctionResponseTypes",
    "MaximumBatchingWindowInSeconds",
    "Queue",
    "ScalingConfig",
];
/// SQS's limit for a batch, and its default.
const BATCH_SIZE_LIMITS: (u64, u64) = (10_000, 10);
/// A batch of more messages needs a batching window.
const MAX_BATCH_WITHOUT_WINDOW: u64 = 10;
/// The limits of `MaximumConcurrency`, and the number of calls at once on this machine without one.
const CONCURRENCY_LIMITS: (std::ops::RangeInclusive<u64>, u64) = (2..=1000, 10);

/// The mappings of the template's functions, and the problems of others.
pub(super) fn mappings(
    resources: &Map<String, Value>,
    queues: &[Queue],
    consumer: &dyn Fn(&str) -> Option<Consumer>,
) -> (Vec<Mapping>, Vec<String>) {
    let (mut mappings, mut problems) = (Vec::new(), Vec::new());
    let functions = resources.iter().filter(|(_, it)| it["Type"] == "AWS::Serverless::Function");
    for (name, function) in functions {
        let consumer = consumer(name);
        for (event, source) in function["Properties"]["Events"].as_object().into_iter().flatten() {
            let found = match (consumer, source["Type"].as_str()) {
                (Some(consumer), Some("SQS")) => {
                    mapping(name, consumer, &source["Properties"], resources, queues)
                }
                (None, Some("SQS")) => Err("is not a function that a queue can feed".to_owned()),
                (Some(_), _) => Err("is fed by a queue only".to_owned()),
                (None, _) => continue,
            };
            match found {
                Ok(mapping) => mappings.push(mapping),
                Err(problem) => problems.push(format!("{name}: {event}: {problem}")),
            }
        }
    }
    (mappings, problems)
}

fn mapping(
    function: &str,
    consumer: Consumer,
    properties: &Value,
    resources: &Map<String, Value>,
    queues: &[Queue],
) -> Result<Mapping, String> {
    let given = properties.as_object().into_iter().flatten().map(|(name, _)| name);
    if let Some(unknown) = given.into_iter().find(|name| !PROPERTIES.contains(&name.as_str())) {
        return Err(format!("{unknown} is not honoured on this machine"));
    }
    let name = queue_of(&properties["Queue"], resources);
    let queue = name.and_then(|name| queues.iter().find(|queue| queue.name == name));
    let queue = queue.ok_or("Queue is !GetAtt QUEUE.Arn of a queue")?;
    if queue.fifo {
        return Err(format!("{} is a FIFO queue, which feeds no function on this machine", queue.name));
    }
    if properties["FunctionResponseTypes"] != serde_json::json!(["ReportBatchItemFailures"]) {
        return Err(
            "without FunctionResponseTypes: [ReportBatchItemFailures] what failed is taken for done".into()
        );
    }
    let number = |name: &str, otherwise: u64| match &properties[name] {
        Value::Null => Ok(otherwise),
        given => given.as_u64().ok_or_else(|| format!("{name} is not a number")),
    };
    let (most, otherwise) = BATCH_SIZE_LIMITS;
    let batch_size = number("BatchSize", otherwise)?;
    let window = number("MaximumBatchingWindowInSeconds", 0)?;
    if !(1..=most).contains(&batch_size)
        || window > 300
        || (batch_size > MAX_BATCH_WITHOUT_WINDOW && window == 0)
    {
        return Err(format!(
            "BatchSize is 1 to {most}; beyond {MAX_BATCH_WITHOUT_WINDOW} it needs a MaximumBatchingWindowInSeconds of 1 to 300"
        ));
    }
    Ok(Mapping {
        function: function.to_owned(),
        keeps_order: consumer.keeps_order,
        queue: queue.clone(),
        batch_size: usize::try_from(batch_size).unwrap_or(usize::MAX),
        concurrency: concurrency(consumer, &properties["ScalingConfig"])?,
        enabled: enabled(&properties["Enabled"])?,
    })
}

/// How many calls are made at once: one, if the order must be preserved.
fn concurrency(consumer: Consumer, scaling: &Value) -> Result<usize, String> {
    let (limits, otherwise) = CONCURRENCY_LIMITS;
    let given = match scaling {
        Value::Null => otherwise,
        scaling => {
            let given = scaling["MaximumConcurrency"].as_u64().filter(|count| limits.contains(count));
            given.ok_or("ScalingConfig.MaximumConcurrency is 2 to 1000")?
        }
    };
    Ok(if consumer.keeps_order { 1 } else { usize::try_from(given).unwrap_or(1) })
}

fn enabled(given: &Value) -> Result<bool, String> {
    match given {
        Value::Null => Ok(true),
        given => given.as_bool().ok_or_else(|| "Enabled is true or false".to_owned()),
    }
}
