//! The common parts of all domains: routes and their description, middleware, bodies, queries, pages and problems.

pub(crate) mod accept;
pub(crate) mod body;
pub(crate) mod description;
pub(crate) mod hosts;
pub(crate) mod idempotency;
pub(crate) mod media;
pub(crate) mod middleware;
pub(crate) mod page;
pub mod problem;
pub(crate) mod query;
pub(crate) mod routes;
