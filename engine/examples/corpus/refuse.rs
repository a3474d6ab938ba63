//! Definitions that AWS refuses, and diagnostics of its validation.

use serde_json::{Value as Json, json};
use states::{MachineType, Severity, StateMachine};

use crate::compare::Comparator;
use crate::{Difference, definition};

/// Compares the refusal of a definition. Wrong arguments of the API call are not run.
pub(crate) fn create(case: &Json) -> Result<(), Difference> {
    if case["rejected_for"] != "definition" {
        return Err(Difference::NotRun);
    }
    let text = definition(case);
    let Err(problems) = StateMachine::parse_as(kind(&case["api_args"]), &text, &|_| Ok(())) else {
        return Err(Difference::Status("it was not refused".into()));
    };
    let cause = case["expected"]["cause"].as_str().unwrap_or_default();
    // The messages of a client or of another program may surround AWS's message.
    let wanted = cause.split_once("Invalid State Machine Definition: ").map_or(cause, |(_, cause)| cause);
    let found = format!("'{}'", problems.cause());
    if wanted.starts_with("Error=") {
        let message = problems.0.first().map(|problem| format!("Args=['{}']", problem.message));
        return match message {
            Some(message) if wanted.contains(&message) => Ok(()),
            message => Err(Difference::Cause(format!("expected {wanted}, got {message:?}"))),
        };
    }
    let difference = Comparator::new(case).first("cause", &json!(wanted), &json!(found));
    difference.map_or(Ok(()), |difference| Err(Difference::Cause(difference)))
}

/// Compares the answer of `ValidateStateMachineDefinition`.
pub(crate) fn validate(case: &Json) -> Result<(), Difference> {
    let problems = StateMachine::diagnose(kind(&case["validate_args"]), &definition(case), &|_| Ok(()));
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
    let diagnostics: Vec<_> = errors
        .map(|problem| {
            let mut diagnostic =
                json!({ "severity": problem.severity, "code": problem.code, "message": problem.message });
            if let Some(place) = problem.place() {
                diagnostic["location"] = json!(place);
            }
            diagnostic
        })
        .collect();
    let result = if diagnostics.is_empty() { "OK" } else { "FAIL" };
    let found = json!({ "diagnostics": diagnostics, "result": result, "truncated": false });
    let difference = Comparator::new(case).first("", &case["expected"], &found);
    difference.map_or(Ok(()), |difference| Err(Difference::Output(difference)))
}

fn kind(args: &Json) -> MachineType {
    if args["type"] == "EXPRESS" { MachineType::Express } else { MachineType::Standard }
}
