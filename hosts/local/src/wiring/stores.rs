//! The template's queues, tables and buckets, by the names that tasks know them by.

use functions::store::Table;
use serde_json::{Map, Value};

use super::Wiring;

/// Before the name of a queue in its address.
const QUEUES: &str = "https://sqs.local.amazonaws.com/000000000000/";
/// Before the name of a table in its ARN.
const TABLES: &str = "arn:aws:dynamodb:local:000000000000:table/";

/// A queue of the template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Queue {
    /// Its logical id, with `.fifo` behind it where it is one.
    pub(crate) name: String,
    pub(crate) fifo: bool,
    /// Whether a FIFO queue tells messages apart by their bodies.
    pub(crate) content_based_deduplication: bool,
    /// For how many seconds a message is held back that says nothing else.
    pub(crate) delay: u32,
}

impl Queue {
    fn new(name: &str, resource: &Value) -> Self {
        let properties = &resource["Properties"];
        let is = |property: &str| properties[property].as_bool() == Some(true);
        let delay = properties["DelaySeconds"].as_u64().and_then(|delay| u32::try_from(delay).ok());
        Self {
            name: if is("FifoQueue") { format!("{name}.fifo") } else { name.to_owned() },
            fifo: is("FifoQueue"),
            content_based_deduplication: is("ContentBasedDeduplication"),
            delay: delay.unwrap_or_default(),
        }
    }
}

/// The queues, in the order of the template.
pub(super) fn queues(resources: &Map<String, Value>) -> Vec<Queue> {
    let is_queue = |resource: &Value| resource["Type"] == "AWS::SQS::Queue";
    resources
        .iter()
        .filter(|(_, resource)| is_queue(resource))
        .map(|(name, it)| Queue::new(name, it))
        .collect()
}

/// What `Ref` (no attribute) or `GetAtt` gives for a queue, a table or a bucket; `None` for anything else.
pub(super) fn reference(name: &str, resource: &Value, attribute: Option<&str>) -> Option<String> {
    let kind = resource["Type"].as_str()?;
    Some(match (kind, attribute) {
        ("AWS::SQS::Queue", None | Some("QueueUrl")) => {
            format!("{QUEUES}{}", Queue::new(name, resource).name)
        }
        ("AWS::SQS::Queue", Some("QueueName")) => Queue::new(name, resource).name,
        ("AWS::SQS::Queue", Some("Arn")) => {
            format!("arn:aws:sqs:local:000000000000:{}", Queue::new(name, resource).name)
        }
        ("AWS::DynamoDB::Table", Some("Arn")) => format!("{TABLES}{name}"),
        ("AWS::S3::Bucket", Some("Arn")) => format!("arn:aws:s3:::{name}"),
        _ => return None,
    })
}

impl Wiring {
    /// The queue at an address. Region and account are those of whoever wrote the address.
    pub(crate) fn queue(&self, url: &str) -> Option<&Queue> {
        let path = url.strip_prefix("https://sqs.")?;
        let mut parts = path.split('/').skip(1);
        let (account, name) = (parts.next()?, parts.next()?);
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        let found = self.queues.iter().find(|queue| queue.name == name);
        found.filter(|_| is_account && parts.next().is_none())
    }

    /// The table with this name, its logical id, or this ARN.
    pub(crate) fn table(&self, name: &str) -> Option<Table> {
        let name = name.strip_prefix(TABLES).unwrap_or(name);
        let resource = self.resources.get(name)?;
        let found = Table::ALL.into_iter().find(|table| table.resource() == name);
        found.filter(|_| resource["Type"] == "AWS::DynamoDB::Table")
    }

    /// Whether this is the name of the template's bucket, its logical id.
    pub(crate) fn is_bucket(&self, name: &str) -> bool {
        self.resources.get(name).is_some_and(|resource| resource["Type"] == "AWS::S3::Bucket")
    }
}
