//! The commands about any state machine.

use std::path::PathBuf;

use ::states::MachineType;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum States {
    /// Run a definition once, and print its path, its output or its error.
    Run(RunStates),
    /// List all faults of a definition, each with JSON Pointer and line.
    Check(CheckStates),
    /// Print a mock configuration file for a definition, as a starting point.
    Mock(MockStates),
}

#[derive(Debug, Args)]
pub(crate) struct RunStates {
    /// The definition, in the Amazon States Language; `-` is the standard input.
    pub(crate) definition: PathBuf,
    /// A JSON file with the input; without it the input is {}.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// A mock configuration file of Step Functions Local. Mocked states do not run their tasks, and all waits pass in
    /// virtual time.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) mock: Option<PathBuf>,
    /// The test case in the mock file; without it the only one.
    #[arg(long, value_name = "NAME", requires = "mock")]
    pub(crate) test_case: Option<String>,
    /// The name of the machine in the mock file; without it the file's name up to its first dot.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The type of the machine: STANDARD or EXPRESS.
    #[arg(long, value_parser = machine_type, default_value = "STANDARD")]
    pub(crate) r#type: MachineType,
    /// Print every event of the history first.
    #[arg(long)]
    pub(crate) trace: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckStates {
    /// The definition, in the Amazon States Language; `-` is the standard input.
    pub(crate) definition: PathBuf,
    /// The type of the machine: STANDARD or EXPRESS.
    #[arg(long, value_parser = machine_type, default_value = "STANDARD")]
    pub(crate) r#type: MachineType,
    /// Print one JSON list of problems.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MockStates {
    /// The definition, in the Amazon States Language; `-` is the standard input.
    pub(crate) definition: PathBuf,
    /// The machine's name in the file; without it the definition's file name up to its first dot.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The type of the machine: STANDARD or EXPRESS.
    #[arg(long, value_parser = machine_type, default_value = "STANDARD")]
    pub(crate) r#type: MachineType,
}

fn machine_type(name: &str) -> Result<MachineType, String> {
    match name {
        "STANDARD" => Ok(MachineType::Standard),
        "EXPRESS" => Ok(MachineType::Express),
        _ => Err("a machine is STANDARD or EXPRESS".to_owned()),
    }
}
