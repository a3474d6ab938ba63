//! The example in the README.

/// The README's examples run as doctests, so this compares their text only.
#[test]
fn readme_shows_the_closure_example() {
    let example = include_str!("../examples/closure.rs");
    let shown = example.split_once("\n\n").map_or(example, |(_, shown)| shown);
    assert!(shown.lines().count() < 20);
    assert!(include_str!("../README.md").contains(&format!("```rust\n{shown}```")));
}

/// Waits, retries, callbacks and jobs take no time in a simulation.
#[test]
fn simulation_skips_waits() -> Result<(), Box<dyn std::error::Error>> {
    use states::{Execution, Failure, Outcome, Start, StateMachine, Timestamp, Value, simulate};
    let definition = r#"{
      "QueryLanguage": "JSONata", "StartAt": "A",
      "States": {
        "A": { "Type": "Wait", "Seconds": 86400, "Next": "B" },
        "B": { "Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
          "Retry": [{ "ErrorEquals": ["Busy"], "IntervalSeconds": 3600 }], "Output": "{% $now() %}", "End": true }
      }
    }"#;
    let machine = StateMachine::parse(definition, &|_| Ok(()))?;
    let run = Execution::start(machine, Start::named("m", "r", 1), Value::Null, Timestamp::UNIX_EPOCH);
    let mut calls = 0;
    let outcome = simulate(run, |_| {
        calls += 1;
        if calls == 1 { Err(Failure::named("Busy")) } else { Ok(Value::Null) }
    });
    assert_eq!(outcome, Outcome::Succeeded("1970-01-02T01:00:00.000Z".into()));
    Ok(())
}
