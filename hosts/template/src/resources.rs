//! The template's queues, tables and buckets, by their names in tasks.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::site::Site;

/// A queue of the template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Its logical id, with `.fifo` behind it where it is one.
    pub name: String,
    /// Whether it is a FIFO queue.
    pub fifo: bool,
    /// Whether a FIFO queue detects duplicates by the bodies of messages.
    pub content_based_deduplication: bool,
    /// The delay in seconds of a message without one of its own.
    pub delay: u32,
    /// How long a received message is invisible to other receivers.
    pub visibility_timeout: Duration,
    /// The policy for messages that are received too often.
    pub redrive: Option<Redrive>,
}

/// A redrive policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redrive {
    /// The name of the dead letter queue.
    pub dead_letters: String,
    /// A message with this number of receives moves to the dead letter queue.
    pub max_receives: u32,
}

/// SQS's visibility timeout where the template says nothing, in seconds.
const DEFAULT_VISIBILITY_TIMEOUT: u64 = 30;

/// A queue, as its resource describes it.
fn queue(name: &str, resource: &Value, resources: &Map<String, Value>) -> Result<Queue, String> {
    let properties = &resource["Properties"];
    let is = |property: &str| properties[property].as_bool() == Some(true);
    let seconds = |property: &str, most: u64, otherwise: u64| match &properties[property] {
        Value::Null => Ok(otherwise),
        given => given
            .as_u64()
            .filter(|seconds| *seconds <= most)
            .ok_or_else(|| format!("{name}: {property} is a number of seconds up to {most}")),
    };
    let delay = seconds("DelaySeconds", 900, 0)?;
    Ok(Queue {
        name: queue_name(name, resource),
        fifo: is("FifoQueue"),
        content_based_deduplication: is("ContentBasedDeduplication"),
        delay: u32::try_from(delay).unwrap_or_default(),
        visibility_timeout: Duration::from_secs(seconds(
            "VisibilityTimeout",
            43_200,
            DEFAULT_VISIBILITY_TIMEOUT,
        )?),
        redrive: redrive(name, &properties["RedrivePolicy"], resources)?,
    })
}

/// Reads a `RedrivePolicy`.
fn redrive(name: &str, policy: &Value, resources: &Map<String, Value>) -> Result<Option<Redrive>, String> {
    if policy.is_null() {
        return Ok(None);
    }
    let target = queue_of(&policy["deadLetterTargetArn"], resources);
    let dead_letters = target.ok_or_else(|| {
        format!("{name}: RedrivePolicy.deadLetterTargetArn is !GetAtt QUEUE.Arn of a queue")
    })?;
    let receives = policy["maxReceiveCount"].as_u64().filter(|count| (1..=1000).contains(count));
    let max_receives = receives.and_then(|count| u32::try_from(count).ok());
    let max_receives =
        max_receives.ok_or_else(|| format!("{name}: RedrivePolicy.maxReceiveCount is 1 to 1000"))?;
    Ok(Some(Redrive { dead_letters, max_receives }))
}

fn queue_name(name: &str, resource: &Value) -> String {
    let is_fifo = resource["Properties"]["FifoQueue"].as_bool() == Some(true);
    if is_fifo { format!("{name}.fifo") } else { name.to_owned() }
}

/// The name of the queue whose ARN `!GetAtt QUEUE.Arn` gives.
pub(super) fn queue_of(arn: &Value, resources: &Map<String, Value>) -> Option<String> {
    let (name, attribute) = (arn["Fn::GetAtt"][0].as_str()?, arn["Fn::GetAtt"][1].as_str()?);
    let resource = resources.get(name)?;
    (resource["Type"] == "AWS::SQS::Queue" && attribute == "Arn").then(|| queue_name(name, resource))
}

/// The queues, in the order of the template, and the problems of others.
pub(super) fn queues(resources: &Map<String, Value>) -> (Vec<Queue>, Vec<String>) {
    let (mut queues, mut problems) = (Vec::new(), Vec::new());
    for (name, resource) in resources.iter().filter(|(_, it)| it["Type"] == "AWS::SQS::Queue") {
        match queue(name, resource, resources) {
            Ok(queue) => queues.push(queue),
            Err(problem) => problems.push(problem),
        }
    }
    (queues, problems)
}

/// The value of `Ref` (no attribute) or `GetAtt` for a queue, a table or a bucket; `None` for anything else.
pub(super) fn reference(name: &str, resource: &Value, attribute: Option<&str>) -> Option<String> {
    let kind = resource["Type"].as_str()?;
    Some(match (kind, attribute) {
        ("AWS::SQS::Queue", None | Some("QueueUrl")) => Site::here().queue_url(&queue_name(name, resource)),
        ("AWS::SQS::Queue", Some("QueueName")) => queue_name(name, resource),
        ("AWS::SQS::Queue", Some("Arn")) => Site::here().arn("sqs", &queue_name(name, resource)),
        ("AWS::DynamoDB::Table", Some("Arn")) => Site::here().arn("dynamodb", &format!("table/{name}")),
        ("AWS::S3::Bucket", Some("Arn")) => format!("arn:aws:s3:::{name}"),
        _ => return None,
    })
}
