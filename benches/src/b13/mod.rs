//! B13: what a million records in one upload cost, worked out from what is deployed: the template and the
//! definitions of its machines.
//!
//! Orchestration is what the design decides: transitions of STANDARD machines, requests and memory of EXPRESS
//! ones. Lambda's requests and DynamoDB's writes are shown beside it. Lambda's computing is not counted.

mod stack;

use std::{fmt, ops::Add};

use serde::Serialize;
use serde_json::Value;

use crate::error::Error;

pub use stack::Stack;

/// In one upload.
const RECORDS: f64 = 1_000_000.0;
/// Of 20,000 records each (design, Numbers to hold).
const CHUNKS: f64 = 50.0;
/// How many of them are saved, each with one conditional write of one unit: as in the generated set.
const SAVED: f64 = 516_140.0;
/// How long the express machine takes for a chunk, guessed high: six calls of a second or two each, in which
/// 12,000 puts go to DynamoDB, 64 at a time.
const SECONDS_A_CHUNK: f64 = 20.0;

/// Prices of eu-west-1 in dollars.
const TRANSITION: f64 = 25.0 / 1e6;
const EXPRESS_REQUEST: f64 = 1.0 / 1e6;
/// Step Functions charges memory in steps of 64 MB.
const EXPRESS_SECOND: f64 = 0.000_016_67 * 64.0 / 1024.0;
const LAMBDA_REQUEST: f64 = 0.2 / 1e6;
const WRITE: f64 = 0.625 / 1e6;

/// At most so much is spent on orchestration, in dollars.
pub const TARGET: f64 = 0.01;

/// What is charged for, in the units in which it is charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// State transitions of STANDARD machines, starts of executions included.
    pub transitions: f64,
    /// Executions of EXPRESS machines.
    pub express_requests: f64,
    /// Seconds that they run, in 64 MB.
    pub express_seconds: f64,
    /// Calls of Lambda functions.
    pub lambda_requests: f64,
    /// Write units of DynamoDB.
    pub writes: f64,
}

impl Cost {
    /// What the design decides, in dollars.
    pub fn orchestration(&self) -> f64 {
        self.transitions * TRANSITION
            + self.express_requests * EXPRESS_REQUEST
            + self.express_seconds * EXPRESS_SECOND
    }

    fn dollars(&self) -> f64 {
        self.orchestration() + self.lambda_requests * LAMBDA_REQUEST + self.writes * WRITE
    }

    fn times(self, count: f64) -> Self {
        Self {
            transitions: self.transitions * count,
            express_requests: self.express_requests * count,
            express_seconds: self.express_seconds * count,
            lambda_requests: self.lambda_requests * count,
            writes: self.writes * count,
        }
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            transitions: self.transitions + other.transitions,
            express_requests: self.express_requests + other.express_requests,
            express_seconds: self.express_seconds + other.express_seconds,
            lambda_requests: self.lambda_requests + other.lambda_requests,
            writes: self.writes + other.writes,
        }
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "B13: a million records in one upload, {CHUNKS} chunks\n")?;
        writeln!(f, "| what | count | dollars |\n|---|---|---|")?;
        let orchestration = self.orchestration();
        for (what, count, price) in [
            ("transitions of STANDARD machines", self.transitions, TRANSITION),
            ("requests of EXPRESS machines", self.express_requests, EXPRESS_REQUEST),
            ("seconds of them, in 64 MB", self.express_seconds, EXPRESS_SECOND),
        ] {
            writeln!(f, "| {what} | {count:.0} | {:.5} |", count * price)?;
        }
        writeln!(f, "| orchestration | | {orchestration:.5} |")?;
        let (lambda, writes) = (self.lambda_requests, self.writes);
        writeln!(f, "| requests of Lambda functions | {lambda:.0} | {:.5} |", lambda * LAMBDA_REQUEST)?;
        writeln!(f, "| write units of DynamoDB | {writes:.0} | {:.5} |", writes * WRITE)?;
        let met = if orchestration <= TARGET { "met" } else { "missed" };
        writeln!(f, "\norchestration: ${orchestration:.5} of at most ${TARGET}: {met}")
    }
}

/// What an upload of a million records costs on this stack.
pub fn cost(stack: &Stack) -> Result<Cost, Error> {
    let written = Cost { writes: SAVED, ..Cost::default() };
    Ok(Model { stack }.run("BatchStateMachine", RECORDS)? + written)
}

struct Model<'a> {
    stack: &'a Stack,
}

impl Model<'_> {
    /// An execution of a machine that has so many records before it.
    fn run(&self, id: &str, records: f64) -> Result<Cost, Error> {
        let express = self.stack.is_express(id);
        let started = match express {
            true => Cost {
                express_requests: 1.0,
                express_seconds: SECONDS_A_CHUNK * (records / (RECORDS / CHUNKS)).max(1.0),
                ..Cost::default()
            },
            false => Cost { transitions: 1.0, ..Cost::default() },
        };
        Ok(started + self.states(self.stack.definition(id)?, express, records)?)
    }

    /// The states of a machine or of a map's processor, by the dearest way through them.
    fn states(&self, machine: &Value, express: bool, records: f64) -> Result<Cost, Error> {
        let start = machine["StartAt"].as_str().unwrap_or_default();
        self.from(start, &machine["States"], express, records, 0)
    }

    fn from(
        &self,
        name: &str,
        states: &Value,
        express: bool,
        records: f64,
        depth: usize,
    ) -> Result<Cost, Error> {
        let state = &states[name];
        if depth > states.as_object().map_or(0, serde_json::Map::len) {
            return Err(Error::Missing(format!("{name} is in a loop: its cost is not known")));
        }
        let mut dearest = Cost::default();
        for next in next(state) {
            let behind = self.from(next, states, express, records, depth + 1)?;
            if behind.dollars() > dearest.dollars() {
                dearest = behind;
            }
        }
        let transition = Cost { transitions: if express { 0.0 } else { 1.0 }, ..Cost::default() };
        Ok(transition + self.work(state, express, records)? + dearest)
    }

    /// What a state does, but for its transition.
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

    /// A map over the lines of the manifest is one over chunks; any other may be one over records.
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

/// The states that may follow when nothing fails.
fn next(state: &Value) -> Vec<&str> {
    let choices = state["Choices"].as_array().into_iter().flatten();
    let choices = choices.map(|choice| &choice["Next"]);
    choices.chain([&state["Next"], &state["Default"]]).filter_map(Value::as_str).collect()
}
