//! The workloads of B7: machines, their inputs, and the number of states that each run enters.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Executor;

/// A machine and its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Workload {
    /// Twenty Pass states.
    Chain,
    /// One Map of 2,000 items, a Pass each.
    Map,
    /// Six states; executions one after the other.
    Six,
    /// Six states, two of which call a function; executions one after the other.
    Calls,
    /// The record flow on one record, with its functions.
    Flow,
    /// One state that waits for an hour: measures the memory of many such executions.
    Waiting,
}

/// States of the chain.
const CHAIN: u64 = 20;
/// Items of the Map.
const ITEMS: u64 = 2_000;

impl Workload {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Chain, Self::Map, Self::Six, Self::Calls, Self::Flow, Self::Waiting];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chain => "chain",
            Self::Map => "map",
            Self::Six => "six",
            Self::Calls => "calls",
            Self::Flow => "flow",
            Self::Waiting => "waiting",
        }
    }

    /// Whether the workload needs no function of crmflow, and many executions may run at once.
    pub fn runs_anywhere(self) -> bool {
        matches!(self, Self::Chain | Self::Map)
    }

    /// Whether executions run one after the other, to measure the time of each.
    pub fn is_timed(self) -> bool {
        matches!(self, Self::Six | Self::Calls | Self::Flow)
    }

    /// Number of states that an execution enters.
    pub fn transitions(self) -> u64 {
        match self {
            Self::Chain => CHAIN,
            Self::Map => ITEMS + 1,
            Self::Six | Self::Calls => 6,
            Self::Flow => 9,
            Self::Waiting => 1,
        }
    }

    /// Number of executions for a run of about a second; fewer for a peer that cannot run so many.
    pub fn executions(self, executor: Executor) -> u64 {
        match (self, executor) {
            (Self::Chain, Executor::Memory) => 200_000,
            (Self::Chain, Executor::Durable) => 50_000,
            (Self::Chain, Executor::Moto) => 100,
            (Self::Map, Executor::Memory) => 500,
            (Self::Map, Executor::Durable) => 200,
            (Self::Map, Executor::Moto) => 1,
            (Self::Six | Self::Calls | Self::Flow, _) => 2_000,
            (Self::Waiting, _) => 10_000,
        }
    }

    /// The definition. That of [`Workload::Flow`] is in the template.
    pub fn definition(self) -> Value {
        match self {
            Self::Chain | Self::Flow => chain(),
            Self::Map => json!({
                "StartAt": "Each",
                "States": { "Each": {
                    "Type": "Map", "ItemsPath": "$.items", "End": true,
                    "ItemProcessor": {
                        "StartAt": "One", "States": { "One": { "Type": "Pass", "End": true } },
                    },
                } },
            }),
            Self::Six => six(&json!({ "Type": "Pass" })),
            Self::Calls => six(&call()),
            Self::Waiting => json!({
                "StartAt": "Pause",
                "States": { "Pause": { "Type": "Wait", "Seconds": 3_600, "End": true } },
            }),
        }
    }

    /// The input of the execution with this number.
    pub fn input(self, number: u64) -> Value {
        match self {
            Self::Chain | Self::Waiting => json!({ "n": number }),
            Self::Map => json!({ "items": (0..ITEMS).collect::<Vec<_>>() }),
            Self::Six | Self::Calls | Self::Flow => {
                let record =
                    json!({ "name": "Ann", "email": format!("ann{number}@example.com"), "optIn": true });
                json!([record])
            }
        }
    }
}

fn chain() -> Value {
    let state = |number: u64| {
        let next = format!("S{:02}", number + 1);
        let state = if number + 1 == CHAIN {
            json!({ "Type": "Pass", "End": true })
        } else {
            json!({ "Type": "Pass", "Next": next })
        };
        (format!("S{number:02}"), state)
    };
    let states: Map<String, Value> = (0..CHAIN).map(state).collect();
    json!({ "StartAt": "S00", "States": states })
}

/// Six states: begin, check, choose, check again, wait for zero seconds, end.
fn six(check: &Value) -> Value {
    let check = |next: &str| {
        let mut state = check.clone();
        state["Next"] = next.into();
        state
    };
    json!({
        "QueryLanguage": "JSONata",
        "StartAt": "Begin",
        "States": {
            "Begin": { "Type": "Pass", "Next": "Check" },
            "Check": check("Any"),
            "Any": {
                "Type": "Choice", "Default": "Done",
                "Choices": [{ "Condition": "{% $count($states.input) > 0 %}", "Next": "Again" }],
            },
            "Again": check("Pause"),
            "Pause": { "Type": "Wait", "Seconds": 0, "Next": "Done" },
            "Done": { "Type": "Succeed" },
        },
    })
}

/// A check by a function. Its answer must be on the disk before the next state begins.
fn call() -> Value {
    json!({
        "Type": "Task",
        "Resource": "arn:aws:lambda:local:000000000000:function:ValidateSchemaFunction",
        "Output": "{% $states.input %}",
        "Arguments": {
            "input": "{% $states.input %}",
            "execution": {
                "name": "{% $states.context.Execution.Name %}",
                "startedAt": "{% $states.context.Execution.StartTime %}",
            },
        },
    })
}
