//! How fast crmflow is, beside its peers.
//!
//! [`generate`] makes record sets with their right counts. [`contest`] runs programs in turns and measures them. The workloads
//! are `b1`, `b4`, `b5`, `b7`, `b10`, `b12` and `b13`. Tests run only small sizes, for their counts.

pub mod b1;
pub mod b10;
pub mod b12;
pub mod b13;
pub mod b4;
pub mod b5;
pub mod b7;
pub mod child;
pub mod clean;
pub mod contest;
pub mod error;
pub mod gate;
pub mod generate;
pub mod peers;
pub mod place;
pub mod report;

pub use error::Error;
