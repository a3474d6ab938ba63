//! `GET /openapi.json`, `/docs` and `/`: the API described, for programs and for people.

use axum::{
    http::header,
    response::{IntoResponse, Redirect, Response},
};

/// The description (OpenAPI 3.1), as it stands in the repository.
pub const OPENAPI: &str = include_str!("../openapi.json");

/// The page; it holds all that it needs but the description.
const PAGE: &str = include_str!("../docs.html");

/// What the page may do: its own script and style, and calls to where it came from.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                      connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The description.
pub(crate) async fn openapi() -> Response {
    let media = [(header::CONTENT_TYPE, "application/json")];
    (media, OPENAPI).into_response()
}

/// The page to read it and to try it.
pub(crate) async fn page() -> Response {
    let headers =
        [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, POLICY)];
    (headers, PAGE).into_response()
}

/// The way to the page.
pub(crate) async fn root() -> Redirect {
    Redirect::temporary("/docs")
}
