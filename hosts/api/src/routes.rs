//! The operations of the API: each a method, a path and what answers it.

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{MethodRouter, get, post},
};
use functions::Store;

use crate::{api::Api, batches, edge, flow::Flow, health, records};

/// Everything that the API does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Takes records in.
    PostRecords,
    /// Lists batches.
    ListBatches,
    /// Tells how a batch stands.
    GetBatch,
    /// Tells what became of a record.
    GetRecord,
    /// Tells whether storage answers.
    GetHealth,
}

impl Operation {
    /// All of them, in the order in which people are shown them.
    pub const ALL: [Self; 5] = [
        Self::PostRecords,
        Self::ListBatches,
        Self::GetBatch,
        Self::GetRecord,
        Self::GetHealth,
    ];

    /// Its method, in lower case, and its path, with parameters in braces.
    pub fn route(self) -> (&'static str, &'static str) {
        match self {
            Self::PostRecords => ("post", "/records"),
            Self::ListBatches => ("get", "/batches"),
            Self::GetBatch => ("get", "/batches/{id}"),
            Self::GetRecord => ("get", "/batches/{id}/records/{index}"),
            Self::GetHealth => ("get", "/health"),
        }
    }

    fn handler<S: Store, F: Flow>(self) -> MethodRouter<Arc<Api<S, F>>> {
        match self {
            Self::PostRecords => post(records::post::<S, F>),
            Self::ListBatches => get(batches::list::<S, F>),
            Self::GetBatch => get(batches::get::<S, F>),
            Self::GetRecord => get(batches::row::<S, F>),
            Self::GetHealth => get(health::get::<S, F>),
        }
    }
}

/// The API as one router, to be served by any host.
pub fn router<S: Store, F: Flow>(api: Api<S, F>) -> Router {
    let api = Arc::new(api);
    Operation::ALL
        .into_iter()
        .fold(Router::new(), |router, operation| {
            router.route(operation.route().1, operation.handler::<S, F>())
        })
        // Each route that takes a body reads it within a limit of its own.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(api.clone(), edge::edge::<S, F>))
        .with_state(api)
}
