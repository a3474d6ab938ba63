//! serve
use crate::{cli::Serve, exit::Exit};
use std::{path::Path, process::ExitCode};
pub(super) fn run(_data: &Path, _template: Option<&Path>, _args: &Serve) -> Result<ExitCode, Exit> {
    Err(Exit::failed("x"))
}
