//! The middleware of every request: its id, its log line, and a problem for every error.

use std::{collections::HashMap, sync::Arc, time::Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use kernel::Store;

use crate::{
    api::Api,
    flow::Flow,
    http::{
        body,
        hosts::Refusal,
        problem::{self, Cause, Kind, Problem},
        routes::Operation,
    },
};

/// The state of the middleware.
#[derive(Debug)]
pub(crate) struct Edge<S, F> {
    api: Arc<Api<S, F>>,
    routes: HashMap<String, Route>,
}

/// A route, as the middleware needs it.
#[derive(Debug, Default)]
struct Route {
    methods: Vec<&'static str>,
    takes_events: bool,
}

impl<S, F> Edge<S, F> {
    pub(crate) fn new(api: Arc<Api<S, F>>, operations: &[Operation]) -> Self {
        let mut routes: HashMap<String, Route> = HashMap::new();
        for operation in operations {
            let slashed = operation.is_intake.then(|| format!("{}/", operation.path));
            for path in slashed.into_iter().chain([operation.path.to_owned()]) {
                let route = routes
                    .entry(path)
                    .or_insert_with(|| Route { methods: vec!["OPTIONS"], ..Route::default() });
                route.methods.push(operation.method);
                if operation.method == "GET" {
                    route.methods.push("HEAD");
                }
                route.takes_events |= operation.is_intake;
            }
        }
        Self { api, routes }
    }
}

/// Answers a request, and logs one line with its route, never with its path or query.
pub(crate) async fn edge<S: Store, F: Flow>(
    State(edge): State<Arc<Edge<S, F>>>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let id = format!("{:032x}", (edge.api.random)());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let known = edge.routes.get(route);
    let permitted = edge.api.hosts.check(&method, request.uri(), request.headers());
    let (request, rest) = body::split_rest(request);
    let response = match permitted {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            // Dropping the request returns the rest of its body.
            drop(request);
            refused(refusal).into_response()
        }
    };
    let mut response = as_problem(response, &method, known);
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    // Thousands of events arrive each second, and as many repeated requests after a 429.
    let status = response.status();
    let is_usual = status.as_u16() < 400 || status == StatusCode::TOO_MANY_REQUESTS;
    let is_frequent = is_usual && method == Method::POST && known.is_some_and(|route| route.takes_events);
    log(&id, &method, route, began, &response, is_frequent);
    if response.status().is_client_error() {
        rest.drain().await;
    }
    response
}

fn log(id: &str, method: &Method, route: &str, began: Instant, response: &Response, is_frequent: bool) {
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
    if is_frequent {
        line!(tracing::Level::DEBUG);
    } else {
        line!(tracing::Level::INFO);
    }
}

/// The response; an error that is no problem yet becomes one.
fn as_problem(response: Response, method: &Method, route: Option<&Route>) -> Response {
    let status = response.status();
    let is_problem =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|media| media == problem::MEDIA_TYPE);
    if is_problem || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    if status != StatusCode::METHOD_NOT_ALLOWED {
        return plain(status).into_response();
    }
    // The router itself sets Allow for a host's own routes.
    let allow = route.and_then(|route| HeaderValue::from_str(&route.methods.join(", ")).ok());
    match allow.map(|allow| [(header::ALLOW, allow)]) {
        Some(allow) if method == Method::OPTIONS => (StatusCode::NO_CONTENT, allow).into_response(),
        Some(allow) => (allow, plain(status)).into_response(),
        None => plain(status).into_response(),
    }
}

/// The problem of a request with a foreign host or a foreign origin.
fn refused(refusal: Refusal) -> Problem {
    let kind = match refusal {
        Refusal::NoHost => Kind::BadRequest,
        Refusal::UnknownHost => Kind::WrongHost,
        Refusal::CrossSite => Kind::CrossSite,
    };
    Problem::new(kind, refusal.sentence())
}

/// The problem of an error that the router answered by itself.
fn plain(status: StatusCode) -> Problem {
    match status {
        StatusCode::NOT_FOUND => Problem::new(
            Kind::NotFound,
            "There is no operation at this path. /openapi.json lists all operations, and /docs shows them.",
        ),
        StatusCode::METHOD_NOT_ALLOWED => Problem::new(
            Kind::MethodNotAllowed,
            "This path does not support this method. Allow lists the supported ones.",
        ),
        StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large("the request is too large"),
        StatusCode::REQUEST_TIMEOUT => Problem::new(Kind::Timeout, "The request took too long to arrive."),
        status if status.is_client_error() => Problem::new(Kind::BadRequest, "The request cannot be read."),
        status => Problem::internal(format!("a route answered {status}")),
    }
}
