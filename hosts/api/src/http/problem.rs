//! Errors of the API: problem details (RFC 9457). None of their texts contains a value of a record.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use kernel::{Error, fault::Fault, queue::QueueError};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::flow::FlowError;

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// The kinds of problems, which client programs distinguish by `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A parameter or a header is invalid.
    BadRequest,
    /// The body does not match its type, or is empty.
    BadBody,
    /// A single event is invalid.
    InvalidEvent,
    /// A page of another site sent a write.
    CrossSite,
    /// The object does not exist.
    NotFound,
    /// The batch has not decided this record.
    NotDecided,
    /// The path does not support this method.
    MethodNotAllowed,
    /// The operation was done before, and is possible once.
    Conflict,
    /// The name exists already.
    Exists,
    /// The present state does not permit the operation.
    NotPossible,
    /// The request names a host that the server does not accept.
    WrongHost,
    /// The body took too long to arrive.
    Timeout,
    /// The body exceeds its maximum size.
    TooLarge,
    /// The API does not accept the type or the encoding of the body.
    UnsupportedMediaType,
    /// The `Idempotency-Key` belongs to another request.
    KeyReused,
    /// The queue of events is full; it may have room in a moment.
    TooManyRequests,
    /// A fault in crmflow or its setup.
    Internal,
    /// Busy or out of reach; the same request may succeed in a moment.
    Unavailable,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::BadRequest,
        Self::BadBody,
        Self::InvalidEvent,
        Self::CrossSite,
        Self::NotFound,
        Self::NotDecided,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::Exists,
        Self::NotPossible,
        Self::WrongHost,
        Self::Timeout,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::KeyReused,
        Self::TooManyRequests,
        Self::Internal,
        Self::Unavailable,
    ];

    /// The stable `type`.
    pub fn urn(self) -> String {
        format!("urn:crmflow:problem:{}", self.parts().0)
    }

    /// The title.
    pub fn title(self) -> &'static str {
        self.parts().1
    }

    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        self.parts().2
    }

    fn parts(self) -> (&'static str, &'static str, StatusCode) {
        use StatusCode as S;
        match self {
            Self::BadRequest => ("bad-request", "Bad request", S::BAD_REQUEST),
            Self::BadBody => ("bad-body", "The body cannot be taken", S::BAD_REQUEST),
            Self::InvalidEvent => ("invalid-event", "The event is not valid", S::BAD_REQUEST),
            Self::CrossSite => ("cross-site", "No writes from other sites", S::FORBIDDEN),
            Self::NotFound => ("not-found", "Not found", S::NOT_FOUND),
            Self::NotDecided => ("not-decided", "Not decided yet", S::NOT_FOUND),
            Self::MethodNotAllowed => ("method-not-allowed", "Method not allowed", S::METHOD_NOT_ALLOWED),
            Self::Conflict => ("conflict", "Done already", S::CONFLICT),
            Self::Exists => ("exists", "There is one already", S::CONFLICT),
            Self::NotPossible => ("not-possible", "Not possible as things stand", S::CONFLICT),
            Self::WrongHost => ("wrong-host", "Not a host name of this server", S::MISDIRECTED_REQUEST),
            Self::Timeout => ("timeout", "The request took too long to arrive", S::REQUEST_TIMEOUT),
            Self::TooLarge => ("too-large", "Too large", S::PAYLOAD_TOO_LARGE),
            Self::UnsupportedMediaType => {
                ("unsupported-media-type", "Unsupported media type", S::UNSUPPORTED_MEDIA_TYPE)
            }
            Self::KeyReused => (
                "idempotency-key-reused",
                "The idempotency key stands for another request",
                S::UNPROCESSABLE_ENTITY,
            ),
            Self::TooManyRequests => ("too-many-requests", "Too many requests", S::TOO_MANY_REQUESTS),
            Self::Internal => ("internal", "Internal error", S::INTERNAL_SERVER_ERROR),
            Self::Unavailable => ("unavailable", "Not available", S::SERVICE_UNAVAILABLE),
        }
    }
}

/// A problem as an answer to a client.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: Kind,
    detail: String,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<String>,
}

/// The cause of an internal problem, for the log only.
#[derive(Clone, Debug)]
pub(crate) struct Cause(pub(crate) String);

impl Problem {
    /// A problem; `detail` is a sentence for a person.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), members: Map::new(), headers: Vec::new(), cause: None }
    }

    /// An internal problem: the client learns that it is internal, and the log has the cause.
    pub fn internal(cause: impl Into<String>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..Self::new(
                Kind::Internal,
                "An internal error occurred. The log has it under the x-request-id of this response.",
            )
        }
    }

    /// Storage or the flow did not answer.
    pub fn unavailable(cause: impl Into<String>) -> Self {
        let problem = Self {
            cause: Some(cause.into()),
            ..Self::new(
                Kind::Unavailable,
                "Storage or the flow did not answer, and crmflow did not accept the request. Send it again in a moment.",
            )
        };
        problem.with_header(header::RETRY_AFTER, HeaderValue::from_static("2"))
    }

    /// The problem of a refused input; `error` describes the input.
    pub fn refused(error: Error) -> Self {
        match error {
            Error::BadInput(why) => Self::new(Kind::BadBody, sentence(&why)),
            Error::TooLarge(why) => Self::too_large(&why),
            error => error.into(),
        }
    }

    /// All faults of a body, each with its JSON Pointer.
    pub(crate) fn of_faults(kind: Kind, faults: &[Fault]) -> Self {
        let sentences: Vec<String> = faults.iter().map(Fault::sentence).collect();
        Self::new(kind, sentence(&sentences.join("; "))).with("errors", json!(faults))
    }

    /// The problem of a too large request, with a hint at uploads.
    pub fn too_large(why: &str) -> Self {
        let detail = format!("{} POST /uploads returns an address for files of any size.", sentence(why));
        Self::new(Kind::TooLarge, detail).with("uploads", json!("/uploads"))
    }

    /// Whether the client must change the request.
    pub(crate) fn is_refusal(&self) -> bool {
        self.kind.status().is_client_error()
    }

    /// The same with a further member.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.members.insert(name.to_owned(), value);
        self
    }

    /// The same with a header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// A text as a sentence, with a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let cause = format!("{}: {error}", error.name());
        if error.is_transient() { Self::unavailable(cause) } else { Self::internal(cause) }
    }
}

impl From<kernel::store::StoreError> for Problem {
    fn from(error: kernel::store::StoreError) -> Self {
        Error::from(error).into()
    }
}

impl From<FlowError> for Problem {
    fn from(error: FlowError) -> Self {
        match &error {
            FlowError::Unavailable(_) => Self::unavailable(error.to_string()),
            FlowError::Refused(_) => Self::internal(error.to_string()),
        }
    }
}

impl From<QueueError> for Problem {
    fn from(error: QueueError) -> Self {
        let problem = match &error {
            QueueError::Full => Self::new(
                Kind::TooManyRequests,
                "The queue of events is full, and crmflow did not accept the request. Send it again in a moment.",
            ),
            QueueError::Unavailable(_) => Self::unavailable(error.to_string()),
            QueueError::Refused(_) => return Self::internal(error.to_string()),
        };
        problem.with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }
}

#[derive(Serialize)]
struct Body {
    #[serde(rename = "type")]
    urn: String,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(flatten)]
    members: Map<String, Value>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { kind, detail, members, headers, cause } = self;
        let body =
            Body { urn: kind.urn(), title: kind.title(), status: kind.status().as_u16(), detail, members };
        let mut response = (kind.status(), Json(body)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        for (name, value) in headers {
            response.headers_mut().insert(name, value);
        }
        if let Some(cause) = cause {
            response.extensions_mut().insert(Cause(cause));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(problem: Problem, status: u16, detail: &str) {
        assert_eq!(problem.detail, detail);
        let response = problem.into_response();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
        assert_eq!(response.headers().contains_key(header::RETRY_AFTER), matches!(status, 429 | 503));
        assert_eq!(response.extensions().get::<Cause>().is_some(), status >= 500);
    }

    #[test]
    fn what_a_client_learns_of_an_error() {
        check(Problem::refused(Error::BadInput("the input is empty".into())), 400, "The input is empty.");
        check(
            Problem::refused(Error::TooLarge("it is large".into())),
            413,
            "It is large. POST /uploads returns an address for files of any size.",
        );
        check(
            Problem::from(Error::BadInput("an item that was stored".into())),
            500,
            "An internal error occurred. The log has it under the x-request-id of this response.",
        );
        check(
            Problem::from(QueueError::Full),
            429,
            "The queue of events is full, and crmflow did not accept the request. Send it again in a moment.",
        );
        check(
            Problem::from(Error::StorageUnavailable("disk".into())),
            503,
            "Storage or the flow did not answer, and crmflow did not accept the request. Send it again in a moment.",
        );
    }
}
