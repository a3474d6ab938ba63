//! The context object of a test: that of the request, or a default.

use std::sync::Arc;

use jiff::Timestamp;

use super::error::TestStateError;
use crate::effect::Pattern;
use crate::machine::State;
use crate::query::format_timestamp;
use crate::run::Start;
use crate::state::Kind;
use crate::value::{Object, Value};

/// The type of a field of the context object.
#[derive(Clone, Copy)]
enum FieldType {
    Text,
    Count,
    Anything,
}

/// The members of the context object, with their fields.
const FIELDS: [(&str, &[(&str, FieldType)]); 4] = [
    (
        "Execution",
        &[
            ("Id", FieldType::Text),
            ("Input", FieldType::Anything),
            ("Name", FieldType::Text),
            ("RoleArn", FieldType::Text),
            ("StartTime", FieldType::Text),
            ("RedriveCount", FieldType::Count),
            ("RedriveTime", FieldType::Text),
        ],
    ),
    (
        "State",
        &[("EnteredTime", FieldType::Text), ("Name", FieldType::Text), ("RetryCount", FieldType::Count)],
    ),
    ("StateMachine", &[("Id", FieldType::Text), ("Name", FieldType::Text)]),
    ("Task", &[("Token", FieldType::Text)]),
];

/// The context object of a request.
pub(super) fn from_request(text: &str, state: &State) -> Result<Value, TestStateError> {
    let context =
        Value::parse(text).map_err(|_| TestStateError::context("Context object must be valid JSON"))?;
    let Some(members) = context.as_object() else {
        return Err(TestStateError::context("Context object must be a JSON object"));
    };
    check(members).map_err(TestStateError::context)?;
    if members.get("Task").is_some() && !has_token(state) {
        return Err(TestStateError::context(
            "Context object contains 'Task' when state is not a Task state with a '.sync' or \
             '.waitForTaskToken' service integration pattern",
        ));
    }
    Ok(context)
}

fn check(members: &Object) -> Result<(), String> {
    for (name, value) in members.iter() {
        if &**name == "Map" {
            return Err("'Map' field is not supported when mocking a Context object".into());
        }
        let Some((_, fields)) = FIELDS.iter().find(|(known, _)| *known == &**name) else {
            return Err(format!("Field '{name}' is not allowed"));
        };
        let inner = value.as_object().ok_or_else(|| format!("{name} must be an object"))?;
        for (field, value) in inner.iter() {
            let Some((_, field_type)) = fields.iter().find(|(known, _)| *known == &**field) else {
                return Err(format!("Field '{field}' is not allowed"));
            };
            match field_type {
                FieldType::Text if value.as_str().is_none() => {
                    return Err(format!("{name}.{field} must be a string"));
                }
                FieldType::Count if value.as_number().is_none() => {
                    return Err(format!("{name}.{field} must be a number"));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Whether the task of this state has a task token.
fn has_token(state: &State) -> bool {
    matches!(&state.kind, Kind::Task(task) if matches!(task.pattern(), Pattern::Callback | Pattern::Sync))
}

/// The context object of a test without one in its request, with AWS's fields.
pub(super) fn default_context(
    start: &Start,
    state: &State,
    input: &Value,
    token: String,
    now: Timestamp,
) -> Value {
    let text = |text: &Arc<str>| Value::String(Arc::clone(text));
    let now = Value::string(format_timestamp(now));
    let mut execution = vec![
        (Arc::from("Id"), text(&start.execution_id)),
        ("Input".into(), input.clone()),
        ("StartTime".into(), now.clone()),
        ("Name".into(), text(&start.execution_name)),
    ];
    execution.extend(start.role.as_ref().map(|role| ("RoleArn".into(), text(role))));
    let mut here = vec![(Arc::from("Name"), text(&state.name)), ("EnteredTime".into(), now)];
    if state.kind.recovery().is_some() {
        here.push(("RetryCount".into(), 0.into()));
    }
    let machine = Value::from([("Id", text(&start.machine_id)), ("Name", text(&start.machine_name))]);
    let mut context = vec![
        (Arc::from("Execution"), execution.into_iter().collect()),
        ("StateMachine".into(), machine),
        ("State".into(), here.into_iter().collect()),
    ];
    if has_token(state) {
        context.push(("Task".into(), Value::from([("Token", Value::string(token))])));
    }
    context.into_iter().collect()
}
