//! The headers of a request about its body and about the preferred answer.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use batches::intake::Format;
use serde_json::json;

use crate::http::problem::{Kind, Problem};

/// The media types that `POST /records` accepts.
pub(crate) const RECORD_TYPES: [&str; 4] =
    ["application/json", "application/x-ndjson", "application/jsonl", "text/csv"];

/// Default and maximum time of `Prefer: wait`; API Gateway answers within 30 s.
const DEFAULT_WAIT: Duration = Duration::from_secs(20);
const MAX_WAIT_SECONDS: u64 = 25;

/// The format that `Content-Type` names.
pub(crate) fn format(headers: &HeaderMap) -> Result<Format, Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Err(unsupported("The request has no Content-Type."));
    };
    let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
    let mut parts = text.split(';').map(str::trim);
    let format = match parts.next().unwrap_or_default() {
        "application/json" => Format::Json,
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Format::Ndjson,
        "text/csv" => Format::Csv,
        "application/x-www-form-urlencoded" => {
            return Err(unsupported(
                "The Content-Type is that of a form: curl -d sends it by default. Add -H 'Content-Type: application/json'.",
            ));
        }
        _ => return Err(unsupported("The API does not accept this Content-Type.")),
    };
    let charset = parts.find_map(|part| part.strip_prefix("charset="));
    match charset.map(|name| name.trim_matches('"')) {
        None | Some("utf-8" | "utf8" | "us-ascii") => Ok(format),
        Some(_) => Err(unsupported("The body must be UTF-8.")),
    }
}

/// Refuses a `Content-Type` other than JSON, for all operations but records.
pub(crate) fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    match format(headers) {
        Ok(Format::Json) => Ok(()),
        _ => Err(Problem::new(
            Kind::UnsupportedMediaType,
            "The body must be JSON with Content-Type: application/json.",
        )
        .with("accepted", json!(["application/json"]))),
    }
}

fn unsupported(why: &str) -> Problem {
    let accepted = RECORD_TYPES.join(", ");
    let problem = Problem::new(Kind::UnsupportedMediaType, format!("{why} Accepted types: {accepted}."))
        .with("accepted", json!(RECORD_TYPES));
    match HeaderValue::from_str(&accepted) {
        Ok(value) => problem.with_header(HeaderName::from_static("accept-post"), value),
        Err(_) => problem,
    }
}

/// Whether `Content-Encoding` says gzip.
pub(crate) fn is_gzip(headers: &HeaderMap) -> Result<bool, Problem> {
    let mut gzip = false;
    for value in headers.get_all(header::CONTENT_ENCODING) {
        for coding in value.to_str().unwrap_or("?").split(',') {
            match coding.trim().to_ascii_lowercase().as_str() {
                "identity" | "" => {}
                "gzip" | "x-gzip" if !gzip => gzip = true,
                _ => {
                    return Err(Problem::new(
                        Kind::UnsupportedMediaType,
                        "The API does not accept this Content-Encoding. Accepted are gzip, once, and identity.",
                    )
                    .with("accepted", json!(["gzip", "identity"]))
                    .with_header(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, identity")));
                }
            }
        }
    }
    Ok(gzip)
}

/// The time that the client wants to wait for the end (`Prefer: wait`, RFC 7240); `None`: it does not wait. The API ignores a
/// preference that it cannot read.
pub(crate) fn wait(headers: &HeaderMap) -> Option<Duration> {
    let preferences = headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    for preference in preferences {
        let token = preference.split(';').next().unwrap_or_default();
        let (name, value) = token.split_once('=').unwrap_or((token, ""));
        if !name.trim().eq_ignore_ascii_case("wait") {
            continue;
        }
        return match value.trim().trim_matches('"') {
            "" => Some(DEFAULT_WAIT),
            seconds => match seconds.parse::<u64>() {
                Ok(0) | Err(_) => None,
                Ok(seconds) => Some(Duration::from_secs(seconds.min(MAX_WAIT_SECONDS))),
            },
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !value.is_empty() {
            headers.insert(name, value.parse().unwrap());
        }
        headers
    }

    #[track_caller]
    fn check_format(value: &str, format: Option<Format>) {
        let found = super::format(&headers("content-type", value));
        if let Err(problem) = &found {
            let response = problem.clone().into_response();
            assert_eq!(response.status().as_u16(), 415, "{value}");
            assert!(response.headers().contains_key("accept-post"), "{value}");
        }
        assert_eq!(found.ok(), format, "{value}");
    }

    #[test]
    fn the_type_of_a_body() {
        check_format("application/json", Some(Format::Json));
        check_format("Application/JSON; charset=UTF-8", Some(Format::Json));
        check_format("application/x-ndjson", Some(Format::Ndjson));
        check_format("application/jsonl;charset=\"utf-8\"", Some(Format::Ndjson));
        check_format("text/csv; header=present", Some(Format::Csv));
        check_format("text/csv; charset=iso-8859-1", None);
        check_format("application/x-www-form-urlencoded", None);
        check_format("text/plain", None);
        check_format("application/json-patch+json", None);
        check_format("", None);
    }

    #[track_caller]
    fn check_gzip(value: &str, gzip: Option<bool>) {
        assert_eq!(is_gzip(&headers("content-encoding", value)).ok(), gzip, "{value}");
    }

    #[test]
    fn the_packing_of_a_body() {
        check_gzip("", Some(false));
        check_gzip("identity", Some(false));
        check_gzip("GZip", Some(true));
        check_gzip("x-gzip", Some(true));
        check_gzip("gzip, gzip", None);
        check_gzip("br", None);
        check_gzip("gzip, br", None);
    }

    #[track_caller]
    fn check_wait(value: &str, seconds: Option<u64>) {
        assert_eq!(wait(&headers("prefer", value)), seconds.map(Duration::from_secs), "{value}");
    }

    #[test]
    fn the_preference_to_wait() {
        check_wait("", None);
        check_wait("respond-async", None);
        check_wait("wait", Some(20));
        check_wait("respond-async, Wait=5", Some(5));
        check_wait("wait=\"7\"; x=y", Some(7));
        check_wait("wait=3600", Some(25));
        check_wait("wait=0", None);
        check_wait("wait=soon", None);
        check_wait("waiter", None);
    }
}
