//! q
use crate::{cli::Quarantine, exit::Exit};
use std::{path::Path, process::ExitCode};
pub(super) fn run(_data: &Path, _template: Option<&Path>, _args: Quarantine) -> Result<ExitCode, Exit> {
    Err(Exit::failed("x"))
}
