//! The reader of `template.yaml`: machines, functions and queues, as the deployment reads them.
//!
//! | module | content |
//! |---|---|
//! | [`template`] | the template as a whole, and what is wrong with it |
//! | [`machine`] | a machine, ready to run, and the ARNs around it |
//! | [`site`] | region and account |
//! | [`resources`] | queues, tables and buckets, by the names that tasks know them by |
//! | [`mappings`] | which queue feeds which function |
//! | `draw` | drawings in Mermaid |
//! | `yaml` | CloudFormation's YAML as JSON |
//!
//! This crate must not know which functions there are, which machines the API starts, or which resources a host runs:
//! [`Names`] gives them.

mod draw;
pub mod machine;
pub mod mappings;
pub mod resources;
pub mod site;
pub mod template;
mod yaml;

pub use machine::{Machine, activity_arn, execution_arn, machine_arn, machine_of, machine_type};
pub use mappings::Mapping;
pub use resources::{Queue, Redrive};
pub use site::{Site, account, region, resource_of};
pub use template::{Names, Problems, Template};
