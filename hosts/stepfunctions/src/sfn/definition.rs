//! Definitions: AWS's problems of invalid ones, and the resources that this host cannot run.

use serde_json::{Value as Json, json};
use states::{Problem, Problems, Severity, StateMachine};

use super::{Endpoint, error::Error, validate::Fields};
use crate::resource::check_resource;

/// A definition's most characters.
pub(super) const MAX_CHARS: usize = 1_048_576;
/// The most problems of one answer.
const MAX_PROBLEMS: u64 = 100;

/// Gives the reason why this host cannot run a resource.
type Check<'a> = &'a dyn Fn(&str) -> Result<(), String>;

/// Every problem of a definition for a machine of this type, warnings included.
fn problems(definition: &str, express: bool, check: Check<'_>) -> Vec<Problem> {
    StateMachine::diagnose(template::machine_type(express), definition, &check)
}

/// Refuses an invalid definition.
pub(super) fn check(definition: &str, express: bool, check: Check<'_>) -> Result<(), Error> {
    let mut problems = problems(definition, express, check);
    problems.retain(|problem| problem.severity == Severity::Error);
    if problems.is_empty() { Ok(()) } else { Err(Error::definition(&Problems(problems).cause())) }
}

/// `ValidateStateMachineDefinition`
pub(super) fn validate(endpoint: &Endpoint, mut fields: Fields) -> Result<Json, Error> {
    let definition = fields.secret("definition", 1..=MAX_CHARS);
    let kind = fields.word("type", &["STANDARD", "EXPRESS"]);
    let severity = fields.word("severity", &["ERROR", "WARNING"]);
    let most = fields.number("maxResults", 0..=MAX_PROBLEMS).filter(|most| *most > 0).unwrap_or(MAX_PROBLEMS);
    fields.finish()?;
    let find = endpoint.executions.services.host.functions.find;
    let check = |resource: &str| check_resource(resource, find);
    let mut problems = problems(&definition, kind.as_deref() == Some("EXPRESS"), &check);
    let sound = problems.iter().all(|problem| problem.severity == Severity::Warning);
    if severity.as_deref() != Some("WARNING") {
        problems.retain(|problem| problem.severity == Severity::Error);
    }
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let diagnostics: Vec<_> = problems.iter().take(most).map(diagnostic).collect();
    Ok(json!({
        "result": if sound { "OK" } else { "FAIL" },
        "diagnostics": diagnostics,
        "truncated": problems.len() > most,
    }))
}

fn diagnostic(problem: &Problem) -> Json {
    let mut diagnostic =
        json!({ "severity": problem.severity, "code": problem.code, "message": problem.message });
    if let Some(place) = problem.place() {
        diagnostic["location"] = json!(place);
    }
    diagnostic
}
