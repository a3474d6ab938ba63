//! The service itself: its health and its description.

mod docs;
mod health;

use kernel::Store;

use crate::{flow::Flow, http::routes::Routes};

/// The routes of this domain.
pub(crate) fn routes<S: Store, F: Flow>() -> Routes<S, F> {
    Routes::described_by(include_str!("openapi.json"))
        .get("/health", health::get::<S, F>)
        .get("/openapi.json", docs::openapi)
        .get("/docs", docs::page)
        .get("/", docs::root)
}
