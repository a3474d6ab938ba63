//! What the answers of AWS operations look like: a mocked result is held against it.
//!
//! The table, `shapes.json`, is written by `engine/tools/shapes.py`. What is not in it is not checked.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde::Deserialize;

use super::request::FieldValidationMode;
use crate::value::{Number, Object, Value};

/// The whole table.
#[derive(Default, Deserialize)]
pub(super) struct Shapes {
    /// `service:operation` to the name of the shape of its answer.
    operations: HashMap<String, String>,
    shapes: HashMap<String, Shape>,
}

/// What a value may be. A plain scalar has no entry; its name says what it is.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Shape {
    Structure {
        fields: HashMap<String, String>,
        #[serde(default)]
        required: Vec<String>,
    },
    List {
        of: String,
    },
    Map {
        of: String,
    },
    String {
        #[serde(rename = "enum")]
        allowed: Vec<String>,
    },
    Integer {
        min: Option<f64>,
        max: Option<f64>,
    },
    Number {
        min: Option<f64>,
        max: Option<f64>,
    },
}

/// What is wrong with a value, in AWS's words.
type Flaw = String;

impl Shapes {
    pub(super) fn table() -> &'static Self {
        static TABLE: OnceLock<Shapes> = OnceLock::new();
        TABLE.get_or_init(|| serde_json::from_str(include_str!("shapes.json")).unwrap_or_default())
    }

    /// Holds the result of a Task with this resource against what its service answers.
    pub(super) fn check(
        &self,
        resource: &str,
        result: &Value,
        mode: FieldValidationMode,
    ) -> Result<(), Flaw> {
        let Some(shape) = operation(resource).and_then(|operation| self.operations.get(&operation)) else {
            return Ok(());
        };
        if mode == FieldValidationMode::None {
            return Ok(());
        }
        if result.as_object().is_none() {
            return Err("Mocked result must be a JSON object.".into());
        }
        let look = Look { shapes: self, mode, unchecked: free_form(resource) };
        look.value("", result, shape).map_err(|flaw| format!("Mock result schema validation error: {flaw}"))
    }
}

/// One look at a result.
struct Look<'a> {
    shapes: &'a Shapes,
    mode: FieldValidationMode,
    /// A field that holds any JSON whatever the model says.
    unchecked: Option<&'static str>,
}

impl Look<'_> {
    fn value(&self, field: &str, value: &Value, shape: &str) -> Result<(), Flaw> {
        let Some(shape) = self.shapes.shapes.get(shape) else {
            return scalar(field, value, shape);
        };
        match shape {
            Shape::Structure { fields, required } => {
                let members = value.as_object().ok_or_else(|| must(field, "an object"))?;
                self.structure(members, fields, required)
            }
            Shape::List { of } => {
                let items = value.as_array().ok_or_else(|| must(field, "an array"))?;
                items.iter().try_for_each(|item| self.value(field, item, of))
            }
            Shape::Map { of } => {
                let members = value.as_object().ok_or_else(|| must(field, "an object"))?;
                members.iter().try_for_each(|(_, member)| self.value(field, member, of))
            }
            Shape::String { allowed } => {
                let text = value.as_str().ok_or_else(|| must(field, "a string"))?;
                let known = allowed.iter().any(|name| name == text);
                known.then_some(()).ok_or_else(|| format!("Field '{field}' is not an expected value"))
            }
            Shape::Integer { min, max } => {
                scalar(field, value, "integer")?;
                within(field, value, *min, *max)
            }
            Shape::Number { min, max } => {
                scalar(field, value, "number")?;
                within(field, value, *min, *max)
            }
        }
    }

    fn structure(
        &self,
        members: &Object,
        fields: &HashMap<String, String>,
        required: &[String],
    ) -> Result<(), Flaw> {
        if self.mode == FieldValidationMode::Strict {
            let there = |name: &str| members.iter().any(|(member, _)| is_same(member, name));
            if let Some(missing) = required.iter().find(|name| !there(name)) {
                return Err(format!("Required field '{missing}' is missing"));
            }
        }
        members.iter().try_for_each(|(name, member)| {
            let known = fields.iter().find(|(field, _)| is_same(name, field));
            match known {
                Some((field, shape)) if self.unchecked != Some(field) => self.value(name, member, shape),
                // What the model does not name may come with a later version of the service.
                _ => Ok(()),
            }
        })
    }
}

/// Step Functions begins a name with a capital letter and writes abbreviations in one of two ways (`SSEKMSKeyId`,
/// `SseKmsKeyId`), as the SDK does that the integration is made of.
fn is_same(written: &str, field: &str) -> bool {
    written.as_bytes().first() == field.as_bytes().first() && written.eq_ignore_ascii_case(field)
}

fn scalar(field: &str, value: &Value, kind: &str) -> Result<(), Flaw> {
    let (fits, expected) = match kind {
        "string" => (value.as_str().is_some(), "a string"),
        "boolean" => (value.as_bool().is_some(), "a boolean"),
        "integer" => (value.as_number().is_some_and(|n| n.as_f64().fract() == 0.0), "a number"),
        "number" => (value.as_number().is_some(), "a number"),
        _ => (true, ""),
    };
    fits.then_some(()).ok_or_else(|| must(field, expected))
}

fn within(field: &str, value: &Value, min: Option<f64>, max: Option<f64>) -> Result<(), Flaw> {
    let number = value.as_number().map_or(0.0, Number::as_f64);
    if min.is_some_and(|min| number < min) {
        return Err(format!("Field '{field}' is less than the minimum value"));
    }
    if max.is_some_and(|max| number > max) {
        return Err(format!("Field '{field}' exceeds the maximum value"));
    }
    Ok(())
}

fn must(field: &str, expected: &str) -> Flaw {
    format!("Field '{field}' must be {expected}")
}

/// `service:operation`, whose answer a Task with this resource gets; `None`: the resource is not an operation's, or
/// what it gives is not what the operation answers.
fn operation(resource: &str) -> Option<String> {
    let rest = resource.split_once(":states:")?.1.split_once(':')?.1.split_once(':')?.1;
    let rest = rest.strip_prefix("aws-sdk:").unwrap_or(rest);
    let (service, action) = rest.split_once(':')?;
    let service = match service {
        "states" => "sfn",
        "events" => "eventbridge",
        other => other,
    };
    match action.split_once('.') {
        None => Some(format!("{service}:{action}")),
        // A task that waits for its execution gets what the last look at that execution showed.
        Some(("startExecution", "sync" | "sync:2")) => Some("sfn:describeExecution".into()),
        Some(_) => None,
    }
}

/// The field that an optimized integration turns from text into JSON.
fn free_form(resource: &str) -> Option<&'static str> {
    let optimized = !resource.contains(":aws-sdk:");
    if optimized && resource.contains(":lambda:invoke") {
        return Some("Payload");
    }
    resource.ends_with(".sync:2").then_some("Output")
}

#[cfg(test)]
mod tests {
    use super::Shapes;

    #[test]
    fn every_name_in_the_table_stands_for_something() {
        let table = Shapes::table();
        assert!(table.operations.len() > 60);
        for shape in table.operations.values() {
            assert!(shape == "any" || table.shapes.contains_key(shape), "{shape}");
        }
    }
}
