//! The HTTP API behind API Gateway. The event of an HTTP API (payload format 2.0) or of a REST API (1.0) becomes a request
//! to the router. The response of the router becomes the answer that API Gateway expects.

use std::{collections::BTreeMap, fmt::Write};

use axum::{Router, body::Body};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response,
    header::{CONTENT_ENCODING, COOKIE},
};
use http_body_util::BodyExt;
use kernel::{Error, json, objects};
use lambda_runtime::{LambdaEvent, Service, service_fn};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::serve::{Failure, log, report};

/// Serves requests of API Gateway until the environment ends.
pub async fn serve_http(router: Router) -> Result<(), lambda_runtime::Error> {
    log();
    lambda_runtime::run(service_fn(|event: LambdaEvent<Box<RawValue>>| {
        let router = router.clone();
        async move {
            let answered = answer(router, &event.payload).await;
            answered.map_err(|error| {
                report("Api", &event.payload, &error);
                Failure(error)
            })
        }
    }))
    .await
}

async fn answer(router: Router, event: &RawValue) -> Result<Box<RawValue>, Error> {
    let mut router = router;
    let request = json::decode::<GatewayRequest>(event.get().as_bytes())?.request()?;
    let response = match router.call(request).await {
        Ok(response) => GatewayResponse::of(response).await?,
        Err(never) => match never {},
    };
    to_raw_value(&response).map_err(|error| Error::BadInput(json::describe(&error)))
}

/// The parts of a request that this file reads.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct GatewayRequest {
    /// Of an HTTP API.
    #[serde(default)]
    raw_path: Option<String>,
    #[serde(default)]
    raw_query_string: String,
    #[serde(default)]
    cookies: Vec<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    request_context: Context,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

/// Of an HTTP API, or of a REST API.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Context {
    Http {
        http: Http,
    },
    #[serde(rename_all = "camelCase")]
    Rest {
        http_method: String,
        /// The requested path, with the stage in front.
        path: String,
    },
}

#[derive(Debug, Deserialize)]
struct Http {
    method: String,
}

impl GatewayRequest {
    fn request(self) -> Result<Request<Body>, Error> {
        let body = match self.body {
            None => Vec::new(),
            Some(text) if self.is_base64_encoded => {
                let bytes = BASE64_STANDARD.decode(text);
                bytes.map_err(|_| Error::BadInput("the body is not base64".into()))?
            }
            Some(text) => text.into_bytes(),
        };
        let mut headers = headers(self.headers, &self.cookies);
        let (method, mut target) = match self.request_context {
            Context::Http { http } => (http.method, path(&self.raw_path.unwrap_or_default())),
            Context::Rest { http_method, path } => {
                // A REST API may have decompressed the body, and leaves the header.
                let is_gzip = |said: &HeaderValue| said.as_bytes().eq_ignore_ascii_case(b"gzip");
                if !objects::is_gzip(&body) && headers.get(CONTENT_ENCODING).is_some_and(is_gzip) {
                    headers.remove(CONTENT_ENCODING);
                }
                (http_method, path)
            }
        };
        if !self.raw_query_string.is_empty() {
            target.push('?');
            target.push_str(&self.raw_query_string);
        }
        let mut request = Request::builder()
            .method(method.as_str())
            .uri(target)
            .body(Body::from(body))
            .map_err(|error| Error::BadInput(format!("this is no request: {error}")))?;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// The rest of a path after one of these is one segment, with any characters.
const ID_PREFIXES: [&str; 2] = ["/contacts/", "/events/"];

/// The path of the request, escaped again. API Gateway resolves all escapes but `%25`, and drops the part after an escaped
/// `?`.
fn path(raw: &str) -> String {
    let mut path = String::with_capacity(raw.len());
    let id = ID_PREFIXES.iter().find(|front| raw.starts_with(**front)).map_or(raw.len(), |front| front.len());
    for (at, byte) in raw.bytes().enumerate() {
        let is_escape = || {
            let digits = raw.as_bytes().get(at + 1..at + 3);
            digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        };
        match byte {
            b'%' if is_escape() => path.push('%'),
            b'/' if at >= id => path.push_str("%2F"),
            b'/' | b':' | b'@' | b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')'
            | b'*' | b'+' | b',' | b';' | b'=' => path.push(char::from(byte)),
            letter if letter.is_ascii_alphanumeric() => path.push(char::from(letter)),
            // Writing to a string cannot fail.
            other => drop(write!(path, "%{other:02X}")),
        }
    }
    path
}

/// The headers, without those that HTTP does not permit.
fn headers(fields: BTreeMap<String, String>, cookies: &[String]) -> HeaderMap {
    let read = |(name, value): (String, String)| {
        let name = HeaderName::try_from(name).ok()?;
        Some((name, HeaderValue::try_from(value).ok()?))
    };
    let mut headers: HeaderMap = fields.into_iter().filter_map(read).collect();
    if let (false, Ok(cookies)) = (cookies.is_empty(), HeaderValue::try_from(cookies.join("; "))) {
        headers.insert(COOKIE, cookies);
    }
    headers
}

/// The answer that API Gateway expects.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GatewayResponse {
    status_code: u16,
    headers: BTreeMap<String, String>,
    body: String,
    is_base64_encoded: bool,
}

impl GatewayResponse {
    async fn of(response: Response<Body>) -> Result<Self, Error> {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| Error::StorageUnavailable(error.to_string()))?;
        let mut headers = BTreeMap::<String, String>::new();
        for (name, value) in &parts.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            headers
                .entry(name.as_str().to_owned())
                .and_modify(|values| {
                    values.push_str(", ");
                    values.push_str(&value);
                })
                .or_insert_with(|| value.clone().into_owned());
        }
        // UTF-8 of any type is sent as text; the client receives the same bytes.
        let (body, is_base64_encoded) = match String::from_utf8(body.to_bytes().into()) {
            Ok(text) => (text, false),
            Err(bytes) => (BASE64_STANDARD.encode(bytes.as_bytes()), true),
        };
        Ok(Self { status_code: parts.status.as_u16(), headers, body, is_base64_encoded })
    }
}

#[cfg(test)]
mod tests {
    use axum::{
        body::Bytes,
        extract::{RawQuery, Request},
        response::IntoResponse,
    };
    use serde_json::{Value, json};

    use super::*;

    /// Answers with the request.
    async fn echo(query: RawQuery, request: Request) -> impl IntoResponse {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let headers =
            parts.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap_or("?")));
        let headers: BTreeMap<_, _> = headers.collect();
        let asked = json!({
            "target": parts.uri.to_string(), "method": parts.method.as_str(), "query": query.0,
            "headers": headers, "body": String::from_utf8_lossy(&body),
        });
        ([("x-two", "1"), ("content-type", "application/json")], asked.to_string())
    }

    #[tokio::test]
    async fn a_request_reaches_the_router_as_it_was_sent() {
        let router = Router::new().fallback(echo);
        let check = async |event: Value, asked: Value| {
            let event = to_raw_value(&event).expect("JSON");
            let answer = answer(router.clone(), &event).await.expect("an answer");
            let answer: Value = serde_json::from_str(answer.get()).expect("JSON");
            assert_eq!(answer["statusCode"], 200, "{event}");
            assert_eq!(answer["headers"]["x-two"], "1", "{event}");
            assert_eq!(answer["isBase64Encoded"], false, "{event}");
            let found: Value = serde_json::from_str(answer["body"].as_str().expect("text")).expect("JSON");
            for (name, value) in asked.as_object().expect("an object") {
                assert_eq!(found[name], *value, "{name} of {event}");
            }
        };
        let event = |path: &str, more: Value| {
            let mut event = json!({
                "version": "2.0", "rawPath": path, "routeKey": "$default",
                "requestContext": { "http": { "method": "POST", "sourceIp": "192.0.2.1" }, "stage": "$default" },
            });
            for (name, value) in more.as_object().expect("an object") {
                event[name] = value.clone();
            }
            event
        };
        check(event("/records", json!({})), json!({ "target": "/records", "method": "POST", "body": "" }))
            .await;
        check(
            event("/records", json!({ "body": "[{\"name\":\"é\"}]", "headers": { "content-type": "a/b" } })),
            json!({ "body": "[{\"name\":\"é\"}]", "headers": { "content-type": "a/b" } }),
        )
        .await;
        check(
            event("/records", json!({ "body": "H4sI", "isBase64Encoded": true })),
            json!({ "body": "\u{1f}\u{fffd}\u{8}" }),
        )
        .await;
        check(
            event("/quarantine", json!({ "rawQueryString": "a=1&b=%26" })),
            json!({ "target": "/quarantine?a=1&b=%26", "query": "a=1&b=%26" }),
        )
        .await;
        check(
            event("/contacts/ann b?#é%@example.com", json!({})),
            json!({ "target": "/contacts/ann%20b%3F%23%C3%A9%25@example.com" }),
        )
        .await;
        check(event("/events/order 7/é/", json!({})), json!({ "target": "/events/order%207%2F%C3%A9%2F" }))
            .await;
        check(event("/contacts/a%2Fb", json!({})), json!({ "target": "/contacts/a%2Fb" })).await;
        check(
            event("/", json!({ "cookies": ["a=1", "b=2"], "headers": { "not a name": "x", "x": "1,2" } })),
            json!({ "headers": { "cookie": "a=1; b=2", "x": "1,2" } }),
        )
        .await;
    }

    #[tokio::test]
    async fn what_a_rest_api_takes_reaches_it_too() {
        let router = Router::new().fallback(echo);
        let packed = json!({ "body": "H4sI", "isBase64Encoded": true });
        let unpacked = json!({ "body": "e30=", "isBase64Encoded": true });
        for (encoding, body, said, left) in [
            ("gzip", packed, "\u{1f}\u{fffd}\u{8}", json!("gzip")),
            ("GZip", unpacked.clone(), "{}", Value::Null),
            ("br", unpacked, "{}", json!("br")),
        ] {
            let mut event = json!({
                "version": "1.0", "path": "/batch", "httpMethod": "POST", "resource": "/{call+}",
                "headers": { "content-encoding": encoding, "Content-Type": "application/json" },
                "queryStringParameters": null,
                "requestContext": { "httpMethod": "POST", "path": "/v1/batch", "stage": "v1" },
            });
            event.as_object_mut().expect("an object").extend(body.as_object().expect("an object").clone());
            let answer = answer(router.clone(), &to_raw_value(&event).expect("JSON")).await;
            let answer: Value = serde_json::from_str(answer.expect("an answer").get()).expect("JSON");
            let asked: Value = serde_json::from_str(answer["body"].as_str().expect("text")).expect("JSON");
            assert_eq!((&asked["target"], &asked["method"]), (&json!("/v1/batch"), &json!("POST")));
            assert_eq!(asked["headers"]["content-type"], "application/json");
            assert_eq!((&asked["body"], &asked["headers"]["content-encoding"]), (&json!(said), &left));
        }
    }

    #[tokio::test]
    async fn what_is_not_text_is_answered_as_base64() {
        let router =
            Router::new().fallback(async || (http::StatusCode::ACCEPTED, Bytes::from_static(&[0xff, 0])));
        let event = json!({ "rawPath": "/", "requestContext": { "http": { "method": "GET" } } });
        let answer = answer(router, &to_raw_value(&event).expect("JSON")).await.expect("an answer");
        let answer: Value = serde_json::from_str(answer.get()).expect("JSON");
        assert_eq!((&answer["body"], &answer["isBase64Encoded"]), (&json!("/wA="), &json!(true)));
        assert_eq!(answer["statusCode"], 202);
    }

    #[tokio::test]
    async fn what_is_no_request_is_refused_without_a_word_of_it() {
        for event in [
            json!({ "Records": [] }),
            json!({ "rawPath": "/", "body": "?", "isBase64Encoded": true,
            "requestContext": { "http": { "method": "GET" } } }),
        ] {
            let refused = answer(Router::new(), &to_raw_value(&event).expect("JSON")).await;
            assert!(matches!(refused, Err(Error::BadInput(_))), "{event}");
        }
    }
}
