//! `crmflow check`: checks that everything the template names exists.

use std::{path::Path, process::ExitCode};

use registry::Function;

use crate::{cli::Check, exit::Exit};

/// Reads the template and its machines as `serve` and a deployment would.
pub(super) fn run(template: Option<&Path>, args: &Check) -> Result<ExitCode, Exit> {
    let template = super::template(template)?;
    if args.diagrams {
        super::print(&template.diagrams());
        return Ok(ExitCode::SUCCESS);
    }
    for machine in &template.machines {
        let kind = if machine.express { "EXPRESS" } else { "STANDARD" };
        super::print(&format!("{} ({kind}, {}): ok\n", machine.name, machine.definition));
    }
    super::print(&format!("{} functions, {} machines: ok\n", Function::ALL.len(), template.machines.len()));
    Ok(ExitCode::SUCCESS)
}
