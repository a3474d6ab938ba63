//! Agreement between files: machines, template, deployment, documents, the API description.

pub(crate) mod deployment;
mod docs;
mod machines;
mod openapi;
