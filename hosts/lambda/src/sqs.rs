//! The queues on SQS.

use std::{collections::HashMap, sync::Arc, time::Duration};

use aws_sdk_sqs::{
    Client,
    config::{BehaviorVersion, retry::RetryConfig},
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    types::SendMessageBatchRequestEntry,
};
use kernel::queue::{MAX_DELAY, Message, Queue, QueueError, QueueName};

use crate::{
    back_pressure::{self, Fault, RetryTime, fault, retry},
    client::Aws,
    config::{Config, Missing},
};

/// Maximum number and bytes of messages in a SendMessageBatch call.
const MAX_CALL_MESSAGES: usize = 10;
const MAX_CALL_BYTES: usize = 1024 * 1024;
/// Maximum time that throttled messages are sent again.
const MAX_RETRY_TIME: Duration = Duration::from_secs(5);

/// The queues.
#[derive(Clone, Debug)]
pub struct Sqs {
    client: Client,
    urls: Arc<HashMap<QueueName, String>>,
}

impl Sqs {
    /// These queues, by the addresses of the configuration; each must have one.
    pub fn new(config: &Config, queues: &[QueueName]) -> Result<Self, Missing> {
        let aws = Aws::new(config)?;
        let mut sdk = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(aws.region)
            .credentials_provider(aws.credentials)
            .http_client(aws.http)
            .retry_config(RetryConfig::disabled())
            .timeout_config(aws.timeouts);
        sdk.set_endpoint_url(aws.endpoint);
        let url = |queue: &QueueName| Ok((*queue, config.queue(*queue).get()?.to_owned()));
        Ok(Self {
            client: Client::from_conf(sdk.build()),
            urls: Arc::new(queues.iter().map(url).collect::<Result<_, Missing>>()?),
        })
    }

    /// Sends at most [`MAX_CALL_MESSAGES`], and repeats those that SQS throttled or failed.
    async fn send_batch(&self, url: &str, messages: &[Message]) -> Result<(), QueueError> {
        let mut open: Vec<usize> = (0..messages.len()).collect();
        let began = tokio::time::Instant::now();
        for failures in 0.. {
            let entries = open.iter().map(|&at| entry(at, &messages[at])).collect::<Result<_, _>>()?;
            let send = self.client.send_message_batch().queue_url(url).set_entries(Some(entries));
            let sent = retry(RetryTime::SOON, || send.clone().send(), |_| None).await;
            let failed = sent.map_err(|error| failure(&error))?.failed;
            if let Some(refused) = failed.iter().find(|failed| failed.sender_fault) {
                return Err(QueueError::Refused(format!("SendMessageBatch: {}", refused.code)));
            }
            open = failed.iter().filter_map(|failed| failed.id.parse().ok()).collect();
            if open.is_empty() {
                return Ok(());
            }
            if began.elapsed() >= MAX_RETRY_TIME {
                break;
            }
            tokio::time::sleep(back_pressure::delay(failures)).await;
        }
        Err(QueueError::Unavailable("SendMessageBatch is throttled".into()))
    }
}

impl Queue for Sqs {
    async fn send(&self, queue: QueueName, messages: Vec<Message>) -> Result<(), QueueError> {
        let url = self.urls.get(&queue);
        let none = || QueueError::Refused(format!("this function has no queue {}", queue.resource()));
        let url = url.ok_or_else(none)?;
        let mut rest = messages.as_slice();
        while !rest.is_empty() {
            let (batch, behind) = rest.split_at(fitting(rest));
            self.send_batch(url, batch).await?;
            rest = behind;
        }
        Ok(())
    }
}

/// How many of the first messages fit in one call; at least one.
fn fitting(messages: &[Message]) -> usize {
    let mut bytes = 0;
    let fits = messages.iter().take(MAX_CALL_MESSAGES).take_while(|message| {
        bytes += message.body.len();
        bytes <= MAX_CALL_BYTES
    });
    fits.count().max(1)
}

fn entry(at: usize, message: &Message) -> Result<SendMessageBatchRequestEntry, QueueError> {
    let delay = i32::try_from(message.delay.min(MAX_DELAY).as_secs()).unwrap_or_default();
    let entry = SendMessageBatchRequestEntry::builder()
        .id(at.to_string())
        .message_body(permitted(&message.body))
        .delay_seconds(delay);
    entry.build().map_err(|error| QueueError::Refused(error.to_string()))
}

/// JSON in the characters that SQS accepts. It refuses two characters, which JSON has only in strings; they are escaped.
fn permitted(json: &str) -> String {
    json.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff")
}

/// Only the code: the text of a refusal may quote the message.
fn failure<E>(error: &SdkError<E>) -> QueueError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let said = match error.code() {
        Some(code) => format!("SendMessageBatch: {code}"),
        None => format!("SendMessageBatch: {}", DisplayErrorContext(error)),
    };
    match fault(error) {
        Fault::Throttled | Fault::Passing => QueueError::Unavailable(said),
        Fault::Final => QueueError::Refused(said),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_sqs_refuses_is_escaped() {
        assert_eq!(permitted("{\"a\":\"\u{fffe}é\u{ffff}\"}"), "{\"a\":\"\\ufffeé\\uffff\"}");
    }

    #[track_caller]
    fn check(sizes: &[usize], first: usize) {
        let message = |size: &usize| Message { body: "x".repeat(*size), delay: Duration::ZERO };
        let messages: Vec<Message> = sizes.iter().map(message).collect();
        assert_eq!(fitting(&messages), first, "{sizes:?}");
    }

    #[test]
    fn a_call_holds_what_it_may() {
        check(&[1; 11], 10);
        check(&[600_000, 600_000], 1);
        check(&[500_000, 500_000, 100_000], 2);
        check(&[2_000_000, 1], 1);
    }
}
