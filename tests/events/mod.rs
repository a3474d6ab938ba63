//! Events: ingest, the flow, and faults on the way.

mod faults;
pub(crate) mod flow;
mod ingest;
