//! Records: batches through the flow, in every format and in every broken form.

pub(crate) mod bad_input;
pub(crate) mod case;
pub(crate) mod cases;
mod dry_run;
pub(crate) mod failures;
mod formats;
mod memory;
pub(crate) mod people;
mod real_data;
