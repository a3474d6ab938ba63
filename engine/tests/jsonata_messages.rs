//! Errors of JSONata have the messages of jsonata-js 2.2, which AWS shows. The file has expressions with the
//! messages that were recorded from that library.

use serde_json::json;
use states::{Execution, Outcome, Start, StateMachine, Timestamp, Value, simulate};

#[test]
fn errors_have_the_messages_of_jsonata_js() {
    let cases: Vec<(String, String)> = serde_json::from_str(include_str!("jsonata_messages.json")).unwrap();
    let found: Vec<String> = cases.iter().map(|(expression, _)| message_of(expression)).collect();
    let differences: Vec<_> = cases
        .iter()
        .zip(&found)
        .filter(|((_, message), found)| !found.contains(message))
        .map(|((expression, message), found)| {
            format!("{expression}\n  expected {message}\n  found    {found}")
        })
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// The error of a machine whose only state has this output, from its parsing or from its run.
fn message_of(expression: &str) -> String {
    let state = json!({ "Type": "Pass", "Output": format!("{{% {expression} %}}"), "End": true });
    let machine = json!({ "QueryLanguage": "JSONata", "StartAt": "P", "States": { "P": state } }).to_string();
    match StateMachine::parse(&machine, &|_: &str| Ok(())) {
        Err(problems) => problems.to_string(),
        Ok(machine) => {
            let start = Start::named("machine", "run", 1);
            let execution = Execution::start(machine, start, Value::Null, Timestamp::UNIX_EPOCH);
            match simulate(execution, |_| Ok(Value::Null)) {
                Outcome::Failed(failure) => failure.cause.unwrap_or_default(),
                outcome => format!("{outcome:?}"),
            }
        }
    }
}
