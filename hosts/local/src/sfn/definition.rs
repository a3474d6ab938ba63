//! Definitions: what AWS says of those that are not sound, and those that this host cannot run.

use serde_json::{Value as Json, json};
use states::{Problem, StateMachine};

use super::{error::Error, validate::Fields};
use crate::wiring;

/// A definition's most characters.
pub(super) const LONGEST: usize = 1_048_576;
/// So many problems are told at the most.
const MOST: u64 = 100;

/// Every problem of a definition for a machine of this type.
pub(super) fn problems(definition: &str, express: bool) -> Vec<Problem> {
    match StateMachine::parse(definition, &wiring::check_resource) {
        Ok(machine) if express => unfit_for_express(&machine),
        Ok(_) => Vec::new(),
        Err(problems) => problems.0,
    }
}

/// Refuses a definition that is not sound.
pub(super) fn check(definition: &str, express: bool) -> Result<(), Error> {
    let problems: Vec<_> = problems(definition, express).iter().map(told).collect();
    if problems.is_empty() { Ok(()) } else { Err(Error::definition(&problems.join(", "))) }
}

fn told(problem: &Problem) -> String {
    format!("{}: {} at {}", problem.code, problem.message, location(problem))
}

fn location(problem: &Problem) -> &str {
    if problem.pointer.is_empty() { "/" } else { &problem.pointer }
}

/// What an EXPRESS machine cannot wait for.
fn unfit_for_express(machine: &StateMachine) -> Vec<Problem> {
    let unfit = |state: states::StateView<'_>| {
        let resource = state.resource()?;
        let what = if resource.ends_with(".waitForTaskToken") {
            "'.waitForTaskToken' service integration "
        } else if resource.ends_with(".sync") || resource.ends_with(".sync:2") {
            "'.sync' service integration"
        } else if resource.split(':').nth(5) == Some("activity") {
            "Activity ARN"
        } else {
            return None;
        };
        Some(Problem {
            code: states::Code::SchemaValidationFailed,
            pointer: format!("/States/{}/Resource", state.name()),
            state: Some(state.name().to_owned()),
            field: Some("Resource".to_owned()),
            message: format!("Express state machine does not support {what}"),
            line: None,
        })
    };
    machine.states().filter_map(unfit).collect()
}

/// `ValidateStateMachineDefinition`
pub(super) fn validate(mut fields: Fields) -> Result<Json, Error> {
    let definition = fields.secret("definition", 1..=LONGEST);
    let kind = fields.word("type", &["STANDARD", "EXPRESS"]);
    fields.word("severity", &["ERROR", "WARNING"]);
    let most = fields.number("maxResults", 0..=MOST).filter(|most| *most > 0).unwrap_or(MOST);
    fields.finish()?;
    let problems = problems(&definition, kind.as_deref() == Some("EXPRESS"));
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let diagnostics: Vec<_> = problems.iter().take(most).map(diagnostic).collect();
    Ok(json!({
        "result": if problems.is_empty() { "OK" } else { "FAIL" },
        "diagnostics": diagnostics,
        "truncated": problems.len() > most,
    }))
}

fn diagnostic(problem: &Problem) -> Json {
    json!({
        "severity": "ERROR",
        "code": problem.code.to_string(),
        "message": problem.message,
        "location": location(problem),
    })
}
