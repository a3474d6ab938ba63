//! `sqs:sendMessage`: a message into a queue of the template.

use std::borrow::Cow;

use md5::{Digest, Md5};
use sha2::Sha256;
use sqlite_store::queues::{Message, Sent};
use states::{Failure, TaskRequest, Value};
use template::Queue;

use super::{
    arguments::{Arguments, Takes},
    service::{Refusal, SQS},
};
use crate::{clock, executions::Runner, resource::Flavor};

const SEND_MESSAGE: Takes = Takes {
    call: "sqs:sendMessage",
    required: &["QueueUrl", "MessageBody"],
    optional: &["DelaySeconds", "MessageAttributes", "MessageDeduplicationId", "MessageGroupId"],
    not_here: &[],
};
const SDK_SEND_MESSAGE: Takes = Takes { not_here: &["MessageSystemAttributes"], ..SEND_MESSAGE };
const ATTRIBUTE: Takes = Takes {
    call: "sqs:sendMessage",
    required: &["DataType"],
    optional: &["StringValue"],
    not_here: &["BinaryValue", "BinaryListValues", "StringListValues"],
};

/// The longest delay of a message, in seconds.
const MAX_DELAY_SECONDS: u32 = 900;

/// A call that names a queue of the template.
struct Call<'a> {
    arguments: Arguments<'a>,
    queue: &'a Queue,
    flavor: Flavor,
}

/// Sends a message; it is on the disk when this returns.
pub(super) async fn send_message(
    task: &TaskRequest,
    flavor: Flavor,
    runner: &Runner,
) -> Result<Value, Failure> {
    let services = &runner.executions.services;
    let takes = if flavor == Flavor::Sdk { &SDK_SEND_MESSAGE } else { &SEND_MESSAGE };
    let arguments = Arguments::check(&task.arguments, takes)?;
    let queue = services.template.queue(&arguments.required("QueueUrl")?);
    let queue = queue.ok_or_else(|| SQS.failure(flavor, &no_queue()))?;
    let call = Call { arguments, queue, flavor };
    let body = call.body()?;
    let attributes = attributes(&arguments)?;
    let (md5, attributes_md5) = (hex(&Md5::digest(body.as_bytes())), attributes.md5());
    let message = Message {
        id: super::id(task, 0, runner),
        queue: queue.name.clone(),
        attributes: attributes.json,
        sent_at: clock::now(),
        delay: call.delay()?,
        group: arguments.text("MessageGroupId")?.map(Cow::into_owned),
        deduplication_id: call.deduplication_id(&body)?,
        body: body.into_owned(),
    };
    let sent =
        services.host.queue.send_one(message).await.map_err(|error| SQS.unavailable(flavor, &error))?;
    Ok(answer(flavor, sent, md5, attributes_md5))
}

fn answer(flavor: Flavor, sent: Sent, md5: String, attributes_md5: Option<String>) -> Value {
    let names = match flavor {
        Flavor::Optimized => ["MD5OfMessageAttributes", "MD5OfMessageBody"],
        Flavor::Sdk => ["Md5OfMessageAttributes", "Md5OfMessageBody"],
    };
    let members = [
        (names[0], attributes_md5),
        (names[1], Some(md5)),
        ("MessageId", Some(sent.id)),
        ("SequenceNumber", sent.sequence_number),
    ];
    members.into_iter().filter_map(|(name, text)| Some((name.into(), Value::string(text?)))).collect()
}

impl<'a> Call<'a> {
    /// The body; its characters must be those of XML, and there must be one.
    fn body(&self) -> Result<Cow<'a, str>, Failure> {
        let body = self.arguments.required("MessageBody")?;
        if body.is_empty() {
            return Err(self.refused("MissingParameter", missing("MessageBody")));
        }
        match body.chars().find(|character| refused(*character)) {
            None => Ok(body),
            Some(character) => {
                let refusal = Refusal {
                    status: 400,
                    code: "InvalidMessageContents",
                    exception: Some("InvalidMessageContentsException"),
                    message: format!("Invalid binary character '#x{:X}' {ALLOWED}", u32::from(character)),
                };
                Err(SQS.failure(self.flavor, &refusal))
            }
        }
    }

    /// The delay of the message in seconds.
    fn delay(&self) -> Result<u32, Failure> {
        const NAME: &str = "DelaySeconds";
        match self.arguments.integer(NAME)? {
            None => Ok(self.queue.delay),
            Some(_) if self.queue.fifo => Err(self.invalid(NAME, UNFIT)),
            Some(delay) => match u32::try_from(delay) {
                Ok(seconds) if seconds <= MAX_DELAY_SECONDS => Ok(seconds),
                _ => Err(self.invalid(NAME, "Must be >= 0 and <= 900, if provided.")),
            },
        }
    }

    /// The id by which a FIFO queue knows a message that was sent before.
    fn deduplication_id(&self, body: &str) -> Result<Option<String>, Failure> {
        const NAME: &str = "MessageDeduplicationId";
        let given = self.arguments.text(NAME)?.map(Cow::into_owned);
        if !self.queue.fifo {
            return if given.is_some() { Err(self.invalid(NAME, UNFIT)) } else { Ok(None) };
        }
        if self.arguments.get("MessageGroupId").is_none() {
            return Err(self.refused("MissingParameter", missing("MessageGroupId")));
        }
        if given.is_none() && !self.queue.content_based_deduplication {
            let message = "The queue should either have ContentBasedDeduplication enabled or \
                           MessageDeduplicationId provided explicitly";
            return Err(self.refused("InvalidParameterValue", message.to_owned()));
        }
        Ok(given.or_else(|| Some(hex(&Sha256::digest(body.as_bytes())))))
    }

    fn invalid(&self, name: &str, reason: &str) -> Failure {
        let value = self.arguments.get(name).cloned().unwrap_or_default();
        let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        let message = format!("Value {value} for parameter {name} is invalid. Reason: {reason}");
        self.refused("InvalidParameterValue", message)
    }

    fn refused(&self, code: &'static str, message: String) -> Failure {
        SQS.failure(self.flavor, &Refusal { status: 400, code, exception: None, message })
    }
}

const UNFIT: &str = "The request include parameter that is not valid for this queue type.";
const ALLOWED: &str = "was found in the message body, the set of allowed characters is #x9 | #xA | #xD | \
                       #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF";

fn refused(character: char) -> bool {
    matches!(character, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

/// The attributes of a message.
struct Attributes {
    /// The JSON that is stored.
    json: String,
    /// In the order of their names.
    texts: Vec<[String; 3]>,
}

impl Attributes {
    /// The checksum that SQS gives: of each name, type, the mark of a text, and value, each with its length.
    fn md5(&self) -> Option<String> {
        let mut hash = Md5::new();
        for [name, kind, value] in &self.texts {
            for text in [name, kind] {
                hash.update(length(text));
                hash.update(text);
            }
            hash.update([1]);
            hash.update(length(value));
            hash.update(value);
        }
        (!self.texts.is_empty()).then(|| hex(&hash.finalize()))
    }
}

fn length(text: &str) -> [u8; 4] {
    u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes()
}

fn attributes(arguments: &Arguments<'_>) -> Result<Attributes, Failure> {
    let given = arguments.object("MessageAttributes")?;
    let mut texts = Vec::new();
    for (name, attribute) in given.into_iter().flat_map(states::Object::iter) {
        let attribute = arguments.nested(attribute, &ATTRIBUTE)?;
        let (kind, value) = (attribute.required("DataType")?, attribute.required("StringValue")?);
        texts.push([name.to_string(), kind.into_owned(), value.into_owned()]);
    }
    texts.sort();
    let json = given.map_or_else(|| "{}".to_owned(), |given| Value::Object(given.clone()).to_string());
    Ok(Attributes { json, texts })
}

fn no_queue() -> Refusal {
    Refusal {
        status: 400,
        code: "AWS.SimpleQueueService.NonExistentQueue",
        exception: Some("QueueDoesNotExistException"),
        message: "The specified queue does not exist.".to_owned(),
    }
}

fn missing(name: &str) -> String {
    format!("The request must contain the parameter {name}.")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
