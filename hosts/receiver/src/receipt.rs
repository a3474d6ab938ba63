//! A request as the sink stores it: one line of JSON, the same in memory, in answers and in the file.

use std::borrow::Cow;

use axum::http::{HeaderMap, request::Parts};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};

use crate::{behaviour::Verdict, endpoint::Endpoint};

/// The id of the request's message (Standard Webhooks).
const WEBHOOK_ID: &str = "webhook-id";

/// A request that was received.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Receipt<'a> {
    /// How manieth request it is of all, from one.
    number: u64,
    at: Timestamp,
    endpoint: Endpoint,
    method: &'a str,
    /// With the query.
    path: &'a str,
    /// The status it got; null where it got none.
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u128>,
    webhook_id: Option<&'a str>,
    headers: Headers<'a>,
    body: Cow<'a, str>,
}

impl<'a> Receipt<'a> {
    pub(super) fn new(
        number: u64,
        at: Timestamp,
        endpoint: Endpoint,
        parts: &'a Parts,
        body: &'a [u8],
        verdict: Verdict,
    ) -> Self {
        Self {
            number,
            at,
            endpoint,
            method: parts.method.as_str(),
            path: path(parts),
            status: verdict.status(),
            delay_ms: (!verdict.delay.is_zero()).then_some(verdict.delay.as_millis()),
            webhook_id: webhook_id(parts),
            headers: Headers(&parts.headers),
            body: String::from_utf8_lossy(body),
        }
    }
}

/// The path of a request, with its query.
fn path(parts: &Parts) -> &str {
    parts.uri.path_and_query().map_or("/", |path| path.as_str())
}

/// The id of the message that a request brings, if it says it.
pub(super) fn webhook_id(parts: &Parts) -> Option<&str> {
    parts.headers.get(WEBHOOK_ID)?.to_str().ok()
}

/// Headers as an object; a repeated header is one text, as RFC 9110 joins them.
struct Headers<'a>(&'a HeaderMap);

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.keys_len()))?;
        for name in self.0.keys() {
            let mut values =
                self.0.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
            let first = values.next().unwrap_or_default();
            let joined = values.fold(first, |joined, value| joined + ", " + value);
            map.serialize_entry(name.as_str(), &joined)?;
        }
        map.end()
    }
}

/// The part of a receipt that the page shows.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown<'a> {
    pub(super) at: Timestamp,
    #[serde(borrow)]
    pub(super) method: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) path: Cow<'a, str>,
    pub(super) status: Option<u16>,
    #[serde(borrow)]
    pub(super) webhook_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) body: Cow<'a, str>,
}

impl Shown<'_> {
    /// The line on the terminal; times are UTC.
    pub(super) fn line(&self, endpoint: Endpoint) -> String {
        let status = self.status.map_or("-".to_owned(), |status| status.to_string());
        let id = self.webhook_id.as_deref().unwrap_or("-");
        let (time, method, path) = (self.at.strftime("%H:%M:%S%.3f"), &self.method, &self.path);
        format!("{time}  {:<11}  {method} {path}  {status}  {id}\n", endpoint.name())
    }
}
