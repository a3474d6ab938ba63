//! `GET /openapi.json`, `/docs` and `/`: the description of the API, for programs and for people.

use std::sync::Arc;

use axum::{
    Extension,
    http::header,
    response::{IntoResponse, Redirect, Response},
};

use crate::http::{description::Description, problem::Problem};

/// The page, complete but for the description.
const PAGE: &str = include_str!("docs.html");

/// The permissions of the page: its own script and style, and calls to its own server.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                      connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The description.
pub(crate) async fn openapi(description: Extension<Arc<Description>>) -> Result<Response, Problem> {
    let media = [(header::CONTENT_TYPE, "application/json")];
    Ok((media, description.text()?.to_owned()).into_response())
}

/// The page that shows the description and sends requests.
pub(crate) async fn page() -> Response {
    let headers =
        [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, POLICY)];
    (headers, PAGE).into_response()
}

/// The redirect to the page.
pub(crate) async fn root() -> Redirect {
    Redirect::temporary("/docs")
}
