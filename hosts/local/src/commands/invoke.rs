//! `crmflow invoke`: one function with an event file.

use std::{path::Path, process::ExitCode};

use tracing::Level;

use crate::{
    cli::Invoke, data_folder::DataFolder, event_sources, exit::Exit, functions, logs,
    named_function::NamedFunction,
};

/// Calls the function and prints its output. The command prints a function's own error as Lambda does, and ends with 1.
pub(super) fn run(data: &Path, template: Option<&Path>, args: &Invoke) -> Result<ExitCode, Exit> {
    let template = super::template(template)?;
    let event = super::read(&args.event)?;
    let folder = DataFolder::open_to(data, "invoke", args.reach.allow_destination.clone())?;
    logs::start(&folder.paths.logs(), Level::WARN);
    let flow = super::flow(&folder, template);
    super::block_on(async {
        let called = match args.function {
            NamedFunction::Function(function) => flow.services().call(functions::of(function), event).await,
            NamedFunction::Consumer(consumer) => event_sources::invoke(consumer, &event, &flow).await,
        };
        match called {
            Ok(output) => {
                super::print(&format!("{}\n", String::from_utf8_lossy(&output)));
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => {
                let failure =
                    serde_json::json!({ "errorType": error.name(), "errorMessage": error.to_string() });
                super::print(&format!("{failure}\n"));
                Ok(ExitCode::FAILURE)
            }
        }
    })
}
