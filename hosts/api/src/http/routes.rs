//! The routes of a domain, and the part of the description that documents them.

use std::sync::Arc;

use axum::{
    Router,
    handler::Handler,
    routing::{self, MethodRouter},
};
use kernel::Store;

use crate::{api::Api, flow::Flow};

/// A method of a path.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    /// Whether it accepts events; then the path may end with a slash.
    pub(crate) is_intake: bool,
}

/// The routes of one domain or of several.
#[derive(Debug)]
pub(crate) struct Routes<S, F> {
    pub(crate) router: Router<Arc<Api<S, F>>>,
    /// In the order in which the description lists them.
    pub(crate) operations: Vec<Operation>,
    /// The documents of the domains: what [`Description`](super::description::Description) merges.
    pub(crate) documents: Vec<&'static str>,
}

impl<S: Store, F: Flow> Routes<S, F> {
    /// No routes yet; `document` has the path items, tags and components of the domain as OpenAPI 3.1 names them.
    pub(crate) fn described_by(document: &'static str) -> Self {
        Self { router: Router::new(), operations: Vec::new(), documents: vec![document] }
    }

    /// Adds an operation that reads.
    pub(crate) fn get<H: Handler<T, Arc<Api<S, F>>>, T: 'static>(
        self,
        path: &'static str,
        handler: H,
    ) -> Self {
        self.with("GET", path, routing::get(handler))
    }

    /// Adds an operation that creates or starts something.
    pub(crate) fn post<H: Handler<T, Arc<Api<S, F>>>, T: 'static>(
        self,
        path: &'static str,
        handler: H,
    ) -> Self {
        self.with("POST", path, routing::post(handler))
    }

    /// Adds an operation that replaces.
    pub(crate) fn put<H: Handler<T, Arc<Api<S, F>>>, T: 'static>(
        self,
        path: &'static str,
        handler: H,
    ) -> Self {
        self.with("PUT", path, routing::put(handler))
    }

    /// Adds an operation that removes.
    pub(crate) fn delete<H: Handler<T, Arc<Api<S, F>>>, T: 'static>(
        self,
        path: &'static str,
        handler: H,
    ) -> Self {
        self.with("DELETE", path, routing::delete(handler))
    }

    /// Adds an operation that accepts events. Seed 003 calls `POST /events/`, so the path may end with a slash.
    pub(crate) fn intake<H: Handler<T, Arc<Api<S, F>>>, T: 'static>(
        mut self,
        path: &'static str,
        handler: H,
    ) -> Self {
        self.router = self.router.route(&format!("{path}/"), routing::post(handler.clone()));
        self.operations.push(Operation { method: "POST", path, is_intake: true });
        Self { router: self.router.route(path, routing::post(handler)), ..self }
    }

    /// These routes, and those of another domain after them.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.operations.extend(other.operations);
        self.documents.extend(other.documents);
        Self { router: self.router.merge(other.router), ..self }
    }

    fn with(
        mut self,
        method: &'static str,
        path: &'static str,
        handler: MethodRouter<Arc<Api<S, F>>>,
    ) -> Self {
        self.operations.push(Operation { method, path, is_intake: false });
        Self { router: self.router.route(path, handler), ..self }
    }
}
