//! What every domain of the API shares: routes and their description, what each request passes, bodies, queries, pages
//! and problems.

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
