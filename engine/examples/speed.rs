//! Measures state transitions per second: `cargo run --release -p states --example speed`.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people who look at its output")]

use std::time::Instant;

use serde_json::{Map, Value as Json, json};
use states::{Execution, Start, StateMachine, Value};

/// The number of states in the chain.
const CHAIN: usize = 20;

fn main() {
    let plain = |_| json!({});
    let path = |_| json!({ "Output": { "records": "{% $states.input.records %}", "n": 1 } });
    let assign = |i| json!({ "Assign": { format!("v{i}"): "{% $states.input.n %}" } });
    let expression = |_| json!({ "Output": { "records": "{% $states.input.records %}", "n": "{% $states.input.n + 1 %}" } });
    let records: Vec<_> = (0..500)
        .map(|i| json!({ "email": format!("a{i}@example.com"), "name": "Ann", "optIn": true }))
        .collect();
    let small = json!({ "n": 1, "records": [] }).to_string();
    let large = json!({ "n": 1, "records": records }).to_string();
    println!("{:>24} {:>14} {:>14}", "a chain of Pass states", "small input", "large input");
    measure("as they are", plain, "JSONata", &small, &large);
    measure("with a path", path, "JSONata", &small, &large);
    measure("with an assignment", assign, "JSONata", &small, &large);
    measure("with an expression", expression, "JSONata", &small, &large);
    let template = |_| json!({ "Parameters": { "records.$": "$.records", "n": 1 } });
    let place = |_| json!({ "Result": 1, "ResultPath": "$.n" });
    let call = |_| json!({ "Parameters": { "records.$": "$.records", "n.$": "States.MathAdd($.n, 1)" } });
    measure("with a template", template, "JSONPath", &small, &large);
    measure("with a ResultPath", place, "JSONPath", &small, &large);
    measure("with an intrinsic", call, "JSONPath", &small, &large);
}

fn measure(what: &str, fields: impl Fn(usize) -> Json, language: &str, small: &str, large: &str) {
    let mut states = Map::new();
    for i in 0..CHAIN {
        let mut state = fields(i);
        state["Type"] = json!("Pass");
        if i + 1 < CHAIN {
            state["Next"] = json!(format!("S{:02}", i + 1));
        } else {
            state["End"] = json!(true);
        }
        states.insert(format!("S{i:02}"), state);
    }
    let definition = json!({ "QueryLanguage": language, "StartAt": "S00", "States": states });
    let machine = StateMachine::parse(&definition.to_string(), &|_| Ok(())).unwrap();
    let rates = [small, large].map(|input| {
        let input = Value::parse(input).unwrap();
        let now = "2026-11-21T08:00:00Z".parse().unwrap();
        let begun = Instant::now();
        let mut runs = 0_usize;
        while begun.elapsed().as_secs_f64() < 1.0 {
            for _ in 0..100 {
                let start = Start::named("machine", "run", 1);
                let mut execution = Execution::start(machine.clone(), start, input.clone(), now);
                while execution.next_effect(now).is_some() {}
                assert!(execution.outcome().is_some());
            }
            runs += 100;
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = (runs * CHAIN) as f64 / begun.elapsed().as_secs_f64();
        rate
    });
    println!("{what:>24} {:>12.0}/s {:>12.0}/s", rates[0], rates[1]);
}
