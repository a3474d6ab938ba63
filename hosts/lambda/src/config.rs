//! The configuration of the environment: one struct, read once. No other file reads variables.

use api::Machine;
use kernel::{queue::QueueName, store::Table};

/// A variable without a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {0} is not set")]
pub struct Missing(pub String);

/// A variable, perhaps without a value: each function has only the variables that it needs.
#[derive(Clone, Debug)]
pub struct Setting {
    name: String,
    value: Option<String>,
}

impl Setting {
    fn read(name: impl Into<String>, variable: impl Fn(&str) -> Option<String>) -> Self {
        let name = name.into();
        let value = variable(&name).filter(|value| !value.is_empty());
        Self { name, value }
    }

    /// The value, or the name of the variable without one.
    pub fn get(&self) -> Result<&str, Missing> {
        self.value.as_deref().ok_or_else(|| Missing(self.name.clone()))
    }
}

/// The names of the variables that `template.yaml` sets. The names of tables and queues decide their variables.
pub mod names {
    /// The bucket.
    pub const DATA_BUCKET: &str = "DATA_BUCKET";
    /// Private addresses and networks of destinations, separated by commas.
    pub const ALLOWED_DESTINATIONS: &str = "ALLOWED_DESTINATIONS";
    /// The records machine, STANDARD.
    pub const RECORDS_MACHINE: &str = "RECORDS_STATE_MACHINE_ARN";
    /// The records machine, EXPRESS.
    pub const RECORDS_EXPRESS_MACHINE: &str = "RECORDS_EXPRESS_STATE_MACHINE_ARN";
    /// The batch machine.
    pub const BATCH_MACHINE: &str = "BATCH_STATE_MACHINE_ARN";
    /// The machine that tests a destination.
    pub const TEST_DESTINATION_MACHINE: &str = "TEST_DESTINATION_STATE_MACHINE_ARN";
}

/// The configuration of a function.
#[derive(Clone, Debug)]
pub struct Config {
    /// The region.
    pub region: Setting,
    /// The credentials of the function's role: key, secret, session token.
    pub credentials: [Setting; 3],
    /// The address of AWS, if it is not the usual one: that of an emulator.
    pub endpoint: Option<String>,
    /// The bucket of all objects.
    pub bucket: Setting,
    /// Private addresses and networks of destinations.
    pub allowed_destinations: Setting,
    machines: [Setting; Machine::ALL.len()],
    tables: [Setting; Table::ALL.len()],
    queues: [Setting; QueueName::ALL.len()],
}

impl Config {
    /// The environment of this process.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn from_env() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    /// A configuration from the values of `variable`.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let setting = |name: &str| Setting::read(name, &variable);
        Self {
            region: setting("AWS_REGION"),
            credentials: ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"].map(setting),
            endpoint: setting("AWS_ENDPOINT_URL").value,
            bucket: setting(names::DATA_BUCKET),
            allowed_destinations: setting(names::ALLOWED_DESTINATIONS),
            machines: Machine::ALL.map(|machine| setting(arn_of(machine))),
            tables: Table::ALL.map(|table| Setting::read(variable_of(table), &variable)),
            queues: QueueName::ALL.map(|queue| Setting::read(address_of(queue), &variable)),
        }
    }

    /// The setting with a machine's ARN.
    pub fn machine(&self, machine: Machine) -> &Setting {
        &self.machines[machine as usize]
    }

    /// The setting with a table's name.
    pub fn table(&self, table: Table) -> &Setting {
        &self.tables[table as usize]
    }

    /// The setting with a queue's address.
    pub fn queue(&self, queue: QueueName) -> &Setting {
        &self.queues[queue as usize]
    }
}

/// The variable with a machine's ARN.
fn arn_of(machine: Machine) -> &'static str {
    match machine {
        Machine::Records => names::RECORDS_MACHINE,
        Machine::RecordsExpress => names::RECORDS_EXPRESS_MACHINE,
        Machine::Batch => names::BATCH_MACHINE,
        Machine::TestDestination => names::TEST_DESTINATION_MACHINE,
    }
}

/// The variable with a queue's address.
fn address_of(queue: QueueName) -> String {
    format!("{}_QUEUE_URL", queue.name().to_uppercase())
}

/// The variable with a table's name.
fn variable_of(table: Table) -> String {
    format!("{}_TABLE", table.name().to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_name_is_named() {
        let config = Config::read(|name| (name == "BATCHES_TABLE").then(|| "crm-batches".to_owned()));
        assert_eq!(config.table(Table::Batches).get(), Ok("crm-batches"));
        assert_eq!(
            config.bucket.get().map_err(|missing| missing.to_string()),
            Err("the environment variable DATA_BUCKET is not set".to_owned())
        );
    }
}
