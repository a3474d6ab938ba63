//! One attempt: the HTTP call of a destination with a mapped and signed event.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::{
    evaluator::{Evaluation, Evaluations, Evaluator},
    task::{DeliveryTask, Payload},
};
use crate::model::{Attempt, Queued};
use destinations::{
    destination::{Destination, DestinationType, Redacted, Stored},
    expression::{Expression, ExpressionError},
    outbound::{self, Guard, Outbound, RetryAfter, Secret},
};

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The error of an event without a body, because the mapping failed.
pub(super) const MAPPING_ERROR: &str = "mapping";

/// A destination, prepared for many calls.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) stored: Stored,
    /// `None`: the guard refuses the URL.
    url: Option<Redacted<Url>>,
    headers: HeaderMap,
    secrets: Vec<Secret>,
    mapping: Mapping,
    filter: Option<Result<Expression, ExpressionError>>,
    pub(super) evaluator: Evaluator,
    /// The evaluations of the mapping and of the filter.
    mapping_evaluations: Evaluations,
    pub(super) filter_evaluations: Evaluations,
}

#[derive(Debug)]
enum Mapping {
    /// The event is sent as the client sent it.
    None,
    By(Box<Expression>),
    /// The mapping is not an expression, and why.
    Broken(String),
}

/// A completed call.
#[derive(Debug)]
pub(super) struct CallResult {
    pub(super) task: Box<DeliveryTask>,
    pub(super) attempt: Attempt,
    pub(super) retry_after: Option<RetryAfter>,
    /// Whether the call is the probe of a half-open breaker, of a back-off, or of refusals.
    pub(super) is_probe: bool,
}

impl CallResult {
    /// Whether a call was made: an event whose mapping fails is not sent.
    pub(super) fn was_sent(&self) -> bool {
        self.attempt.error.as_deref() != Some(MAPPING_ERROR)
    }

    /// Whether the call was made before the delivery was due, because an outage had ended.
    pub(super) fn is_early(&self) -> bool {
        self.attempt.at < self.task.row.due
    }
}

impl Target {
    /// Prepares a destination. The guard may refuse a URL that it permitted earlier, under another
    /// configuration: then every call fails.
    pub(super) fn new(stored: Stored, guard: &Guard, evaluator: Evaluator) -> Self {
        let destination = &stored.destination;
        let mut headers = outbound::headers(&destination.headers).unwrap_or_default();
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        let parse = |source: &String| match Expression::parse(source) {
            Ok(mapping) => Mapping::By(Box::new(mapping)),
            Err(error) => Mapping::Broken(format!("it is not JSONata that is taken: {error}")),
        };
        Self {
            url: guard.check_url(&destination.url).ok().map(Redacted::from),
            headers,
            secrets: destination.secrets.iter().filter_map(|text| text.parse().ok()).collect(),
            mapping: destination.mapping.as_ref().map_or(Mapping::None, parse),
            filter: destination.filter.as_deref().map(Expression::parse),
            evaluator,
            mapping_evaluations: Evaluations::default(),
            filter_evaluations: Evaluations::default(),
            stored,
        }
    }

    /// The destination.
    pub(super) fn destination(&self) -> &Destination {
        &self.stored.destination
    }

    /// The filter, if the destination has one.
    pub(super) fn filter(&self) -> Option<&Result<Expression, ExpressionError>> {
        self.filter.as_ref()
    }

    /// The URL of a call: the channel is a segment of its path (S0-022).
    fn url(&self, channel: Option<&str>) -> Option<Url> {
        let mut url = self.url.clone()?.into_inner();
        let is_communication = self.destination().kind == DestinationType::Cdp;
        if let Some(channel) = channel.filter(|_| is_communication)
            && let Ok(mut segments) = url.path_segments_mut()
        {
            segments.pop_if_empty().push(channel);
        }
        Some(url)
    }

    fn headers(&self, message_id: &str, at: Timestamp, body: &[u8]) -> HeaderMap {
        let mut headers = self.headers.clone();
        let id = outbound::webhook_id(message_id);
        let mut put = |name, value: &str| {
            // All of them are visible ASCII.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        put(WEBHOOK_ID, &id);
        if !self.secrets.is_empty() {
            let seconds = at.as_second();
            put(WEBHOOK_TIMESTAMP, &seconds.to_string());
            put(WEBHOOK_SIGNATURE, &outbound::sign(&self.secrets, &id, seconds, body));
        }
        headers
    }
}

/// The body of a call, or the fault of the mapping.
async fn body(target: &Arc<Target>, payload: &Payload) -> Result<Bytes, String> {
    match &target.mapping {
        Mapping::None => return Ok(Bytes::copy_from_slice(payload.original.as_bytes())),
        Mapping::Broken(why) => return Err(why.clone()),
        Mapping::By(_) => {}
    }
    let (mapping, canonical) = (Arc::clone(target), payload.canonical.clone());
    let work = move |limit| match &mapping.mapping {
        Mapping::By(mapping) => mapping.evaluate_within(&canonical, limit),
        Mapping::None | Mapping::Broken(_) => Ok(None),
    };
    match target.evaluator.evaluate(&target.mapping_evaluations, work).await {
        Evaluation::Value(Some(body)) => Ok(Bytes::from(body)),
        Evaluation::Value(None) => Err("it gives nothing".to_owned()),
        Evaluation::Failed(message) | Evaluation::TooSlow(message) => Err(message),
        // Only evaluations of filters are cancelled.
        Evaluation::Cancelled => Err("it was cancelled".to_owned()),
    }
}

/// Sends a delivery.
pub(super) async fn send(
    target: Arc<Target>,
    task: Box<DeliveryTask>,
    outbound: Outbound,
    at: Timestamp,
    request_timeout: Duration,
    is_probe: bool,
) -> CallResult {
    let Queued { message_id, channel, .. } = &task.row.queued;
    let (attempt, retry_after) =
        call(&target, &task.payload, message_id, channel.as_deref(), &outbound, at, request_timeout).await;
    CallResult { task, attempt, retry_after, is_probe }
}

/// Calls a destination with an event. Returns the attempt, and when the destination wants the next call.
pub(super) async fn call(
    target: &Arc<Target>,
    payload: &Payload,
    message_id: &str,
    channel: Option<&str>,
    outbound: &Outbound,
    at: Timestamp,
    request_timeout: Duration,
) -> (Attempt, Option<RetryAfter>) {
    let not_sent = |error: &str, message| {
        (Attempt { at, duration_ms: 0, status: None, error: Some(error.to_owned()), message }, None)
    };
    match (target.url(channel), body(target, payload).await) {
        (_, Err(message)) => not_sent(MAPPING_ERROR, Some(message)),
        (None, _) => not_sent("blocked", None),
        (Some(url), Ok(body)) => {
            let headers = target.headers(message_id, at, &body);
            let answer = outbound.post(&url, headers, body, request_timeout).await;
            let duration_ms = u64::try_from(answer.duration.as_millis()).unwrap_or(u64::MAX);
            let error = answer.error.map(ToOwned::to_owned);
            (Attempt { at, duration_ms, status: answer.status, error, message: None }, answer.retry_after)
        }
    }
}
