//! A machine with a closure for its tasks.

use states::{Execution, Outcome, Start, StateMachine, Timestamp, Value, simulate};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let definition = r#"{
      "StartAt": "Greet",
      "States": { "Greet": {
        "Type": "Task", "Resource": "arn:aws:lambda:us-east-1:000000000000:function:greet",
        "InputPath": "$.name", "Retry": [{ "ErrorEquals": ["Busy"] }], "End": true
      } }
    }"#;
    let machine = StateMachine::parse(definition, &|_| Ok(()))?;
    let (start, input) = (Start::named("greeter", "first", 1), Value::parse(r#"{ "name": "Ann" }"#)?);
    let execution = Execution::start(machine, start, input, Timestamp::UNIX_EPOCH);
    let outcome = simulate(execution, |task| Ok(Value::string(format!("Hello, {}!", task.arguments))));
    assert_eq!(outcome, Outcome::Succeeded("Hello, \"Ann\"!".into()));
    Ok(())
}
