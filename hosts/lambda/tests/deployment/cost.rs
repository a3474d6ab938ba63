//! What a million records cost in orchestration, worked out from the definitions and the template (B13).
//!
//! Counted are state transitions of STANDARD machines, requests and memory of EXPRESS ones, and Lambda
//! requests. Not counted, since any design pays them: Lambda's computing and DynamoDB's writes.

use serde_json::{Value, json};

use crate::stack::{definition, resources, template};

/// In one batch.
const RECORDS: f64 = 1_000_000.0;
/// Of 20,000 records each (design, Numbers to hold).
const CHUNKS: f64 = 50.0;
/// How long the express machine takes for a chunk, guessed high: six calls of a second or two each, in which
/// 12,000 puts go to DynamoDB, 64 at a time.
const SECONDS_A_CHUNK: f64 = 20.0;

/// Prices of eu-west-1 in dollars.
const TRANSITION: f64 = 25.0 / 1e6;
const EXPRESS_REQUEST: f64 = 1.0 / 1e6;
/// Step Functions charges memory in steps of 64 MB.
const EXPRESS_SECOND: f64 = 0.000_016_67 * 64.0 / 1024.0;
const LAMBDA_REQUEST: f64 = 0.2 / 1e6;

#[test]
fn a_million_records_cost_at_most_a_cent() {
    let cost = cost(&template(), definition);
    assert!(cost <= 0.01, "a million records cost ${cost:.4}");
    assert!(cost > 0.001, "a million records cannot cost as little as ${cost:.4}");
}

#[test]
fn what_is_done_for_each_record_is_noticed() {
    let per_record = json!({
        "StartAt": "Put",
        "States": { "Put": { "Type": "Task", "Resource": "${PutOptInsFunctionArn}", "End": true } },
    });
    let map = |next: &str| {
        json!({
            "Type": "Map", "Items": "{% $records %}", "ItemProcessor": per_record, "Next": next,
        })
    };
    // A map over records in the batch machine, in the machine of each chunk, and among its children.
    check(|id, states| {
        if id == "Batch" {
            states["EachRecord"] = map("AllDecided");
            states["SummarizeBatch"]["Next"] = "EachRecord".into();
        }
    });
    check(|id, states| {
        if id == "Records" {
            states["EachRecord"] = map("AnyOptedOut");
            states["PutOptIns"]["Next"] = "EachRecord".into();
        }
    });
    check(|id, states| {
        if id == "Batch" {
            states["RunChunks"]["ItemProcessor"]["States"]["EachRecord"] = map("RunRecords");
            states["RunChunks"]["ItemProcessor"]["StartAt"] = "EachRecord".into();
        }
    });
    // The distributed map itself over records, and chunks that run as STANDARD.
    check(|id, states| {
        if id == "Batch" {
            states["RunChunks"]["ItemReader"]["Arguments"]["Key"] = "{% $batch.records %}".into();
        }
    });
    let mut standard = template();
    standard["Resources"]["RecordsExpressStateMachine"]["Properties"]["Type"] = "STANDARD".into();
    assert!(cost(&standard, definition) > 0.01);
}

/// The cost with a changed definition is noticed.
#[track_caller]
fn check(change: impl Fn(&str, &mut Value)) {
    let template = template();
    let changed = |machine: &Value| {
        let mut definition = definition(machine);
        let uri = machine["Properties"]["DefinitionUri"].as_str().unwrap();
        let id = if uri.contains("batch") { "Batch" } else { "Records" };
        change(id, &mut definition["States"]);
        definition
    };
    let cost = cost(&template, changed);
    assert!(cost > 0.01, "the change costs ${cost:.4} only");
}

/// What a million records in one upload cost.
fn cost(template: &Value, definition: impl Fn(&Value) -> Value) -> f64 {
    let model = Model { template, definition: &definition };
    let batch = &template["Resources"]["BatchStateMachine"];
    model.run(batch, RECORDS)
}

struct Model<'a> {
    template: &'a Value,
    definition: &'a dyn Fn(&Value) -> Value,
}

impl Model<'_> {
    /// An execution of a machine that has so many records before it.
    fn run(&self, machine: &Value, records: f64) -> f64 {
        let express = machine["Properties"]["Type"] == "EXPRESS";
        let started = if express { EXPRESS_REQUEST + SECONDS_A_CHUNK * EXPRESS_SECOND } else { TRANSITION };
        started + self.states(&(self.definition)(machine), express, records)
    }

    /// The states of a machine or of a map's processor, by the dearest way through them.
    fn states(&self, machine: &Value, express: bool, records: f64) -> f64 {
        self.from(machine["StartAt"].as_str().unwrap(), &machine["States"], express, records)
    }

    fn from(&self, name: &str, states: &Value, express: bool, records: f64) -> f64 {
        let state = &states[name];
        let transition = if express { 0.0 } else { TRANSITION };
        let behind = next(state).into_iter().map(|next| self.from(next, states, express, records));
        transition + self.work(state, express, records) + behind.fold(0.0, f64::max)
    }

    /// What a state does, but for its transition.
    fn work(&self, state: &Value, express: bool, records: f64) -> f64 {
        let resource = state["Resource"].as_str().unwrap_or_default();
        match state["Type"].as_str().unwrap() {
            "Task" if resource.ends_with(":startSyncExecution") => {
                let named = state["Arguments"]["StateMachineArn"].as_str().unwrap();
                let id = named.trim_matches(['$', '{', '}']).strip_suffix("Arn").unwrap();
                self.run(&self.template["Resources"][id], records)
            }
            "Task" => LAMBDA_REQUEST,
            "Map" => self.map(state, express, records),
            _ => 0.0,
        }
    }

    /// A map over the lines of the manifest is one over chunks; any other may be one over records.
    fn map(&self, state: &Value, express: bool, records: f64) -> f64 {
        let over_chunks = state["ItemReader"]["Arguments"]["Key"] == "{% $manifest %}";
        let items = if over_chunks { CHUNKS } else { records };
        let processor = &state["ItemProcessor"];
        let distributed = processor["ProcessorConfig"]["Mode"] == "DISTRIBUTED";
        let express =
            if distributed { processor["ProcessorConfig"]["ExecutionType"] == "EXPRESS" } else { express };
        let started = match (distributed, express) {
            (true, true) => EXPRESS_REQUEST,
            (true, false) => TRANSITION,
            (false, _) => 0.0,
        };
        items * (started + self.states(processor, express, records / items))
    }
}

/// The states that may follow when nothing fails.
fn next(state: &Value) -> Vec<&str> {
    let choices = state["Choices"].as_array().into_iter().flatten();
    let choices = choices.map(|choice| &choice["Next"]);
    choices.chain([&state["Next"], &state["Default"]]).filter_map(Value::as_str).collect()
}

#[test]
fn machines_are_deployed_as_the_model_takes_them() {
    let template = template();
    let mut types: Vec<_> = resources(&template, "AWS::Serverless::StateMachine")
        .map(|(id, machine)| (id, machine["Properties"]["Type"].as_str().unwrap()))
        .collect();
    types.sort_unstable();
    assert_eq!(
        types,
        [
            ("BatchStateMachine", "STANDARD"),
            ("RecordsExpressStateMachine", "EXPRESS"),
            ("RecordsStateMachine", "STANDARD"),
        ]
    );
}
