//! What every request goes through: its id, its log line, and that whatever goes wrong ends in a problem.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use kernel::Store;

use crate::{
    api::Api,
    body,
    flow::Flow,
    hosts::Refusal,
    problem::{self, Cause, Kind, Problem},
    routes::Operation,
};

/// Answers a request, and logs one line of it: its route, never its path or its query.
pub(crate) async fn edge<S: Store, F: Flow>(
    State(api): State<Arc<Api<S, F>>>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let id = format!("{:032x}", (api.random)());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let permitted = api.hosts.check(&method, request.uri(), request.headers());
    let (request, rest) = body::lend(request);
    let response = match permitted {
        Ok(()) => {
            let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
            answered.unwrap_or_else(|_| Problem::internal("a route panicked").into_response())
        }
        Err(refusal) => {
            // The rest of the body comes back when the request goes.
            drop(request);
            refused(refusal).into_response()
        }
    };
    let mut response = told(response, &method, route);
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    set(headers, header::CACHE_CONTROL, "no-store");
    set(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    log(&id, &method, route, began, &response);
    if response.status().is_client_error() {
        rest.drain().await;
    }
    response
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.entry(name).or_insert(HeaderValue::from_static(value));
}

fn log(id: &str, method: &Method, route: &str, began: Instant, response: &Response) {
    let status = response.status().as_u16();
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    if let Some(Cause(cause)) = response.extensions().get() {
        tracing::error!(request.id = id, http.status = status, "{method} {route} failed: {cause}");
    }
    macro_rules! line {
        ($level:expr) => {
            tracing::event!(
                $level,
                request.id = id,
                http.method = %method,
                http.route = route,
                http.status = status,
                ms,
                "{method} {route} {status}"
            )
        };
    }
    // Events come by the thousand a second, and clients that are told to wait come back as often.
    let is_usual = status < 400 || status == StatusCode::TOO_MANY_REQUESTS.as_u16();
    if is_usual && method == Method::POST && Operation::takes_events_at(route) {
        line!(tracing::Level::DEBUG);
    } else {
        line!(tracing::Level::INFO);
    }
}

/// The response; an error that is not told as a problem yet becomes one.
fn told(response: Response, method: &Method, route: &str) -> Response {
    let status = response.status();
    let is_problem =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|media| media == problem::MEDIA_TYPE);
    if is_problem || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    if status != StatusCode::METHOD_NOT_ALLOWED {
        return plain(status).into_response();
    }
    let allowed = Operation::methods_of(route).and_then(|allowed| HeaderValue::from_str(&allowed).ok());
    // The router itself sets Allow for a host's own routes.
    match (method, allowed.map(|allowed| [(header::ALLOW, allowed)])) {
        (&Method::OPTIONS, Some(allow)) => (StatusCode::NO_CONTENT, allow).into_response(),
        (_, Some(allow)) => (allow, plain(status)).into_response(),
        (_, None) => plain(status).into_response(),
    }
}

/// The problem of a request that is not for this server, or not from where it may come.
fn refused(refusal: Refusal) -> Problem {
    let kind = match refusal {
        Refusal::NoHost => Kind::BadRequest,
        Refusal::UnknownHost => Kind::WrongHost,
        Refusal::CrossSite => Kind::CrossSite,
    };
    Problem::new(kind, refusal.sentence())
}

/// The problem of an error that came without a word of ours.
fn plain(status: StatusCode) -> Problem {
    match status {
        StatusCode::NOT_FOUND => Problem::new(
            Kind::NotFound,
            "There is nothing at this path; /openapi.json lists what there is, and /docs shows it.",
        ),
        StatusCode::METHOD_NOT_ALLOWED => Problem::new(
            Kind::MethodNotAllowed,
            "This path does not take this method; Allow lists those that it takes.",
        ),
        StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large("the request is larger than is taken"),
        StatusCode::REQUEST_TIMEOUT => Problem::new(Kind::Timeout, "The request took too long to arrive."),
        status if status.is_client_error() => Problem::new(Kind::BadRequest, "The request cannot be read."),
        status => Problem::internal(format!("a route answered {status}")),
    }
}
