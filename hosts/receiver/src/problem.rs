//! Errors, in the form of the API's: problem details (RFC 9457).

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// The kinds of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    BadBody,
    NotFound,
    TooLarge,
    Internal,
}

impl Kind {
    fn parts(self) -> (&'static str, &'static str, StatusCode) {
        use StatusCode as S;
        match self {
            Self::BadBody => ("urn:crmflow:problem:bad-body", "The body cannot be taken", S::BAD_REQUEST),
            Self::NotFound => ("urn:crmflow:problem:not-found", "Not found", S::NOT_FOUND),
            Self::TooLarge => ("urn:crmflow:problem:too-large", "Too large", S::PAYLOAD_TOO_LARGE),
            Self::Internal => ("urn:crmflow:problem:internal", "Internal error", S::INTERNAL_SERVER_ERROR),
        }
    }
}

/// A problem on its way to the client; `detail` is a sentence for a person.
#[derive(Debug)]
pub(crate) struct Problem {
    kind: Kind,
    detail: String,
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// A problem of ours.
    pub(crate) fn internal() -> Self {
        Self::new(Kind::Internal, "An internal error occurred.")
    }
}

#[derive(Serialize)]
struct Body {
    #[serde(rename = "type")]
    urn: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (urn, title, status) = self.kind.parts();
        let body = Body { urn, title, status: status.as_u16(), detail: self.detail };
        let mut response = (status, Json(body)).into_response();
        let media = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, media);
        response
    }
}
