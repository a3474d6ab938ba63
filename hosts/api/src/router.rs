//! The API as one router, for any host.

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::DefaultBodyLimit,
    http::{HeaderValue, header},
};
use kernel::Store;
use tower_http::{catch_panic::CatchPanicLayer, set_header::SetResponseHeaderLayer};

use crate::{
    api::Api,
    batches, contacts, delivery, destinations, events,
    flow::Flow,
    http::{
        description::Description,
        middleware::{self, Edge},
        problem::Problem,
        routes::Routes,
    },
    quarantine, service,
};

/// The domains, in the order in which the description lists them.
fn domains<S: Store, F: Flow>() -> Routes<S, F> {
    batches::routes()
        .and(contacts::routes())
        .and(quarantine::routes())
        .and(events::routes())
        .and(destinations::routes())
        .and(delivery::routes())
}

/// The API as one router.
pub fn router<S: Store, F: Flow>(api: Api<S, F>) -> Router {
    router_with(api, Router::new())
}

/// The API with further routes of the host. The same middleware logs them, and makes problems of their errors.
pub fn router_with<S: Store, F: Flow>(api: Api<S, F>, own: Router) -> Router {
    let api = Arc::new(api);
    let (domains, service) = (domains::<S, F>(), service::routes::<S, F>());
    let operations = [domains.operations, service.operations].concat();
    let documents = [domains.documents, service.documents].concat();
    let edge = Edge::new(api.clone(), &operations);
    let description = Extension(Arc::new(Description::new(operations, documents)));
    let plumbing = (
        SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        SetResponseHeaderLayer::if_not_present(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        axum::middleware::from_fn_with_state(Arc::new(edge), middleware::edge::<S, F>),
        // Each route reads its body within its own limit.
        DefaultBodyLimit::disable(),
        CatchPanicLayer::custom(|_| {
            axum::response::IntoResponse::into_response(Problem::internal("a route panicked"))
        }),
    );
    domains.router.merge(service.router.layer(description)).with_state(api).merge(own).layer(plumbing)
}
