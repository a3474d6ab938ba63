//! Batches: intake of the formats that people send, chunks, and the steps that decide the one outcome of every record.

pub mod cancel;
mod cut_chunks;
pub mod dry_run;
pub mod intake;
mod log_schema_errors;
mod quarantine_records;
mod remove_duplicates;
pub mod rows;
pub mod stored;
mod summarize;
mod summarize_batch;
mod validate_schema;

pub use cut_chunks::{Cut, CutChunks, cut_chunks, upload_key};
pub use log_schema_errors::{LogSchemaErrors, log_schema_errors};
pub use quarantine_records::{FailedStep, QuarantineRecords, quarantine_records};
pub use remove_duplicates::{Unique, remove_duplicates};
pub use summarize::{Pair, Summarize, Summary, summarize};
pub use summarize_batch::{SummarizeBatch, summarize_batch};
pub use validate_schema::{Validated, validate_schema};
