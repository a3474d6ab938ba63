//! The cost of an execution, by the most expensive path through its machine.

use serde_json::Value;

use super::{CHUNKS, Cost, RECORDS, Stack};
use crate::error::Error;

/// Prices executions on a stack.
pub(super) struct Model<'a> {
    /// The stack.
    pub(super) stack: &'a Stack,
    /// Seconds of an execution of the express machine.
    pub(super) seconds: f64,
}

impl Model<'_> {
    /// The cost of an execution of a machine with this number of records.
    pub(super) fn run(&self, id: &str, records: f64) -> Result<Cost, Error> {
        let express = self.stack.is_express(id);
        let started = match express {
            true => Cost {
                express_requests: 1.0,
                express_seconds: self.seconds * (records / (RECORDS / CHUNKS)).max(1.0),
                ..Cost::default()
            },
            false => Cost { transitions: 1.0, ..Cost::default() },
        };
        Ok(started + self.states(self.stack.definition(id)?, express, records)?)
    }

    /// The cost of the states of a machine or of a map's processor, by the most expensive path.
    fn states(&self, machine: &Value, express: bool, records: f64) -> Result<Cost, Error> {
        let start = machine["StartAt"].as_str().unwrap_or_default();
        self.from(start, &machine["States"], express, records, &mut Vec::new())
    }

    /// The cost from the state `name` on. `before` has the earlier states of the path.
    fn from<'m>(
        &self,
        name: &'m str,
        states: &'m Value,
        express: bool,
        records: f64,
        before: &mut Vec<&'m str>,
    ) -> Result<Cost, Error> {
        let state = &states[name];
        if before.contains(&name) {
            return Err(Error::Missing(format!("{name} is in a loop, so its cost is unknown")));
        }
        before.push(name);
        let mut dearest = Cost::default();
        for next in next(state) {
            if is_another_try(next, states, before) {
                continue;
            }
            let behind = self.from(next, states, express, records, before)?;
            if behind.dollars() > dearest.dollars() {
                dearest = behind;
            }
        }
        before.pop();
        let transition = Cost { transitions: if express { 0.0 } else { 1.0 }, ..Cost::default() };
        Ok(transition + self.work(state, express, records)? + dearest)
    }

    /// The cost of a state without its transition.
    fn work(&self, state: &Value, express: bool, records: f64) -> Result<Cost, Error> {
        let resource = state["Resource"].as_str().unwrap_or_default();
        match state["Type"].as_str() {
            Some("Task") if resource.ends_with(":startSyncExecution") => {
                let named = state["Arguments"]["StateMachineArn"].as_str().unwrap_or_default();
                let id = named.trim_matches(['$', '{', '}']);
                self.run(id.strip_suffix("Arn").unwrap_or(id), records)
            }
            Some("Task") => Ok(Cost { lambda_requests: 1.0, ..Cost::default() }),
            Some("Map") => self.map(state, express, records),
            Some("Parallel") => state["Branches"]
                .as_array()
                .into_iter()
                .flatten()
                .try_fold(Cost::default(), |sum, branch| Ok(sum + self.states(branch, express, records)?)),
            _ => Ok(Cost::default()),
        }
    }

    /// The cost of a map. A map over the lines of the manifest has an item for each chunk; any other counts as one item for
    /// each record.
    fn map(&self, state: &Value, express: bool, records: f64) -> Result<Cost, Error> {
        let over_chunks = state["ItemReader"]["Arguments"]["Key"] == "{% $manifest %}";
        let items = if over_chunks { CHUNKS } else { records };
        let processor = &state["ItemProcessor"];
        let config = &processor["ProcessorConfig"];
        let distributed = config["Mode"] == "DISTRIBUTED";
        let express = if distributed { config["ExecutionType"] == "EXPRESS" } else { express };
        let started = match (distributed, express) {
            (true, true) => Cost { express_requests: 1.0, ..Cost::default() },
            (true, false) => Cost { transitions: 1.0, ..Cost::default() },
            (false, _) => Cost::default(),
        };
        Ok((started + self.states(processor, express, records / items)?).times(items))
    }
}

/// Whether a state waits and then returns to an earlier state, to retry failed work.
fn is_another_try(name: &str, states: &Value, before: &[&str]) -> bool {
    let goes_back = |next: &str| self::next(&states[next]).into_iter().any(|then| before.contains(&then));
    states[name]["Type"] == "Wait"
        && next(&states[name]).into_iter().any(|next| before.contains(&next) || goes_back(next))
}

/// The states that may follow without a failure.
fn next(state: &Value) -> Vec<&str> {
    let choices = state["Choices"].as_array().into_iter().flatten();
    let choices = choices.map(|choice| &choice["Next"]);
    choices.chain([&state["Next"], &state["Default"]]).filter_map(Value::as_str).collect()
}
