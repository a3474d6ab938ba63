//! A machine, ready to run, and the ARNs around it.

use std::sync::Arc;

use states::{MachineType, StateMachine};

use crate::site::Site;

/// A machine, ready to run.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Its logical id: `RecordsStateMachine`.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Whether it is EXPRESS: its executions run at least once and are not stored.
    pub express: bool,
    /// The path of its definition.
    pub definition: String,
    /// The definition's text, with all substitutions.
    pub text: Arc<str>,
    /// The name of the stored text: a hash of it.
    pub hash: String,
    /// The role that it is given on AWS; here it is a name.
    pub role: Arc<str>,
    /// The definition.
    pub machine: Arc<StateMachine>,
}

impl Machine {
    /// A machine of this ARN, with its definition's text.
    pub fn new(arn: &str, express: bool, text: &str, role: &str, machine: Arc<StateMachine>) -> Self {
        Self {
            name: arn.rsplit(':').next().unwrap_or(arn).to_owned(),
            arn: arn.to_owned(),
            express,
            definition: String::new(),
            text: text.into(),
            hash: format!("{:032x}", xxhash_rust::xxh3::xxh3_128(text.as_bytes())),
            role: role.into(),
            machine,
        }
    }

    /// The ARN of an execution of it.
    pub fn execution_arn(&self, name: &str) -> String {
        format!("{}:{name}", self.arn.replacen(":stateMachine:", ":execution:", 1))
    }

    /// The ARN of an execution of it as an EXPRESS machine.
    pub fn express_arn(&self, name: &str, id: &str) -> String {
        format!("{}:{name}:{id}", self.arn.replacen(":stateMachine:", ":express:", 1))
    }
}

/// The ARN of a machine.
pub fn machine_arn(name: &str) -> String {
    Site::here().arn("states", &format!("stateMachine:{name}"))
}

/// The ARN of an activity.
pub fn activity_arn(name: &str) -> String {
    Site::here().arn("states", &format!("activity:{name}"))
}

/// The type of a machine for the engine.
pub fn machine_type(express: bool) -> MachineType {
    if express { MachineType::Express } else { MachineType::Standard }
}

/// The ARN of an execution of a machine.
pub fn execution_arn(machine: &str, name: &str) -> String {
    Site::here().arn("states", &format!("execution:{machine}:{name}"))
}

/// The ARN of the machine that an execution is of.
pub fn machine_of(execution: &str) -> String {
    let parts: Vec<&str> = execution.split(':').collect();
    match parts.as_slice() {
        [front @ .., "execution", machine, _] | [front @ .., "express", machine, _, _] => {
            format!("{}:stateMachine:{machine}", front.join(":"))
        }
        _ => execution.to_owned(),
    }
}
