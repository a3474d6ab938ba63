//! The steps of the flow: one file a function, named as its state in the machine.

mod cut_chunks;
mod log_schema_errors;
mod put_events;
mod put_opt_ins;
mod quarantine_records;
mod remove_duplicates;
mod route_events;
mod summarize;
mod summarize_batch;
mod test_destination;
mod validate_schema;
mod withdraw_opt_ins;

pub use cut_chunks::{Cut, CutChunks, cut_chunks, upload_key};
pub use log_schema_errors::{LogSchemaErrors, log_schema_errors};
pub use put_events::{Stored, put_events};
pub use put_opt_ins::put_opt_ins;
pub use quarantine_records::{FailedStep, QuarantineRecords, quarantine_records};
pub use remove_duplicates::{Unique, remove_duplicates};
pub use route_events::route_events;
pub use summarize::{Pair, Summarize, Summary, summarize};
pub use summarize_batch::{SummarizeBatch, summarize_batch};
pub use test_destination::{TestDestination, Tested, test_destination};
pub use validate_schema::{Validated, validate_schema};
pub use withdraw_opt_ins::withdraw_opt_ins;
