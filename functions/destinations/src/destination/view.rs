//! A destination as clients see it: without the values of headers, the secrets, and the values of its URL's query.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::{Destination, DestinationType, Ordering, State};
use kernel::destination_name::DestinationName;

/// The text in the place of a redacted value.
pub const REDACTED: &str = "***";

/// A destination as clients see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DestinationView {
    /// Its name.
    pub destination_name: DestinationName,
    /// Its type.
    pub r#type: DestinationType,
    /// The URL of its calls; values of its query are redacted.
    pub url: String,
    /// The names of its headers; their values are redacted.
    pub headers: BTreeMap<String, &'static str>,
    /// The names of the events that it receives; none: all.
    pub events: Vec<String>,
    /// The condition on an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// The body to send of an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping: Option<String>,
    /// How many secrets sign calls.
    pub secrets: usize,
    /// Maximum number of calls a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<u32>,
    /// The order of its calls.
    pub ordering: Ordering,
    /// For how many seconds a failing event blocks its user's later ones.
    pub hold_seconds: u32,
    /// Maximum number of concurrent calls.
    pub concurrency: u32,
    /// The delays before the retries of a delivery, in seconds.
    pub retry_delays: Vec<u32>,
    /// The response statuses after which a delivery is not retried.
    pub final_statuses: Vec<u16>,
    /// Whether events are sent to it.
    pub state: State,
    /// Why they are not, if they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

impl From<Destination> for DestinationView {
    fn from(destination: Destination) -> Self {
        Self {
            url: redacted_url(&destination.url),
            headers: destination.headers.into_inner().into_keys().map(|name| (name, REDACTED)).collect(),
            secrets: destination.secrets.len(),
            destination_name: destination.destination_name,
            r#type: destination.kind,
            events: destination.events,
            filter: destination.filter,
            mapping: destination.mapping,
            rate_limit: destination.rate_limit,
            ordering: destination.ordering,
            hold_seconds: destination.hold_seconds,
            concurrency: destination.concurrency,
            retry_delays: destination.retry_delays,
            final_statuses: destination.final_statuses,
            state: destination.state,
            reason: destination.reason,
            created_at: destination.created_at,
            updated_at: destination.updated_at,
        }
    }
}

/// A URL with the values of its query redacted.
pub fn redacted_url(url: &str) -> String {
    let Some((front, query)) = url.split_once('?') else { return url.to_owned() };
    let pairs: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) => format!("{name}={REDACTED}"),
            None => REDACTED.to_owned(),
        })
        .collect();
    format!("{front}?{}", pairs.join("&"))
}

/// Whether a URL has redacted values in its query.
pub(super) fn has_redacted_values(url: &str) -> bool {
    url.split_once('?').is_some_and(|(_, query)| query.split('&').any(is_redacted))
}

/// A URL with its redacted values replaced by those of the same names in `stored`; `None`: `stored` lacks one.
pub(super) fn restored_url(url: &str, stored: &str) -> Option<String> {
    let (front, query) = url.split_once('?')?;
    let mut known: Vec<&str> = stored.split_once('?').map(|(_, query)| query.split('&').collect())?;
    let mut pairs = Vec::new();
    for pair in query.split('&') {
        // If a name occurs twice, so do its values, in their order.
        let at = known.iter().position(|other| name(other) == name(pair));
        let other = at.map(|at| known.remove(at));
        pairs.push(if is_redacted(pair) { other? } else { pair });
    }
    Some(format!("{front}?{}", pairs.join("&")))
}

fn name(pair: &str) -> Option<&str> {
    pair.split_once('=').map(|(name, _)| name)
}

fn is_redacted(pair: &str) -> bool {
    pair.split_once('=').map_or(pair, |(_, value)| value) == REDACTED
}

#[cfg(test)]
mod tests {
    use super::{has_redacted_values, redacted_url, restored_url};

    #[track_caller]
    fn check(url: &str, shown: &str) {
        assert_eq!(redacted_url(url), shown);
        assert_eq!(redacted_url(shown), shown, "what is shown hides nothing more");
    }

    #[test]
    fn values_of_a_query_are_redacted() {
        check("https://a.example/x", "https://a.example/x");
        check("https://a.example/x?key=1&b=2=3", "https://a.example/x?key=***&b=***");
        check("https://a.example/x?token", "https://a.example/x?***");
        check("https://a.example/x?", "https://a.example/x?***");
    }

    #[track_caller]
    fn check_restored(url: &str, stored: &str, expected: Option<&str>) {
        assert!(has_redacted_values(url), "{url}");
        assert_eq!(restored_url(url, stored).as_deref(), expected);
    }

    #[test]
    fn redacted_values_mean_stored_ones() {
        let stored = "https://a.example/x?key=1&b=2=3&token&b=4";
        for url in [stored, "https://a.example/x?b=2=3"] {
            check_restored(&redacted_url(url), url, Some(url));
        }
        check_restored("https://a.example/y?key=***", stored, Some("https://a.example/y?key=1"));
        check_restored("https://a.example/x?c=5&***", stored, Some("https://a.example/x?c=5&token"));
        check_restored("https://a.example/x?b=7&b=***", stored, Some("https://a.example/x?b=7&b=4"));
        for query in ["c=***", "key=***&key=***", "key=1&***&***"] {
            check_restored(&format!("https://a.example/x?{query}"), stored, None);
        }
        check_restored("https://a.example/x?key=***", "https://a.example/x", None);
        assert!(!has_redacted_values("https://a.example/***?a=**&b"));
    }
}
