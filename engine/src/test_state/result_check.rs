//! The check of a mocked result against the shape of its service's answer.

use super::request::FieldValidationMode;
use crate::services::{self, Field, Range, Shape};
use crate::value::{Number, Object, Value};

/// AWS's message about a value of the wrong shape.
type Violation = String;

/// Checks a Task's result against the shape of its service's answer. Results of an unknown shape pass.
pub(super) fn check(resource: &str, result: &Value, mode: FieldValidationMode) -> Result<(), Violation> {
    let Some(shape) = services::answer(resource).filter(|_| mode != FieldValidationMode::None) else {
        return Ok(());
    };
    if result.as_object().is_none() {
        return Err("Mocked result must be a JSON object.".into());
    }
    let validator = Validator { mode, unchecked: free_form(resource) };
    validator
        .value("", result, &shape, None)
        .map_err(|violation| format!("Mock result schema validation error: {violation}"))
}

/// A structure during the check, with its enclosing structures.
#[derive(Clone, Copy)]
struct Structure<'a> {
    fields: &'a [Field<'a>],
    parent: Option<&'a Structure<'a>>,
}

/// The check of one result.
struct Validator {
    mode: FieldValidationMode,
    /// A field that may contain any JSON in spite of its shape.
    unchecked: Option<&'static str>,
}

impl Validator {
    fn value(
        &self,
        field: &str,
        value: &Value,
        shape: &Shape<'_>,
        structure: Option<&Structure<'_>>,
    ) -> Result<(), Violation> {
        let text = || value.as_str().ok_or_else(|| must(field, "a string"));
        let object = || value.as_object().ok_or_else(|| must(field, "an object"));
        match shape {
            Shape::Any => Ok(()),
            Shape::Text => text().map(|_| ()),
            Shape::Boolean => value.as_bool().map(|_| ()).ok_or_else(|| must(field, "a boolean")),
            Shape::Object => object().map(|_| ()),
            Shape::Blob(min) if text()?.chars().count() < *min => {
                Err(format!("Field '{field}' is less than the minimum length"))
            }
            Shape::Blob(_) => Ok(()),
            Shape::OneOf(allowed) => {
                let known = allowed.contains(&text()?);
                known.then_some(()).ok_or_else(|| format!("Field '{field}' is not an expected value"))
            }
            Shape::Integer(range) => {
                let whole = value.as_number().map(Number::as_f64).filter(|number| number.fract() == 0.0);
                within(field, whole, *range)
            }
            Shape::Number(range) => within(field, value.as_number().map(Number::as_f64), *range),
            Shape::List(of) => {
                let items = value.as_array().ok_or_else(|| must(field, "an array"))?;
                items.iter().try_for_each(|item| self.value(field, item, of, structure))
            }
            Shape::Map(of) => {
                object()?.iter().try_for_each(|(_, member)| self.value(field, member, of, structure))
            }
            Shape::Structure(fields) => self.structure(object()?, &Structure { fields, parent: structure }),
            Shape::Ancestor(levels) => {
                let found = (0..*levels).try_fold(structure, |structure, _| Some(structure?.parent));
                found.flatten().map_or(Ok(()), |structure| self.structure(object()?, structure))
            }
        }
    }

    fn structure(&self, members: &Object, structure: &Structure<'_>) -> Result<(), Violation> {
        let fields = structure.fields;
        if self.mode == FieldValidationMode::Strict {
            let is_present = |name: &str| members.iter().any(|(member, _)| is_same(member, name));
            let missing = fields.iter().find(|field| field.required && !is_present(field.name));
            if let Some(Field { name, .. }) = missing {
                return Err(format!("Required field '{name}' is missing"));
            }
        }
        members.iter().try_for_each(|(name, member)| {
            match fields.iter().find(|field| is_same(name, field.name)) {
                Some(field) if self.unchecked != Some(field.name) => {
                    self.value(name, member, &field.shape, Some(structure))
                }
                // A later version of the service may have more fields than the model.
                _ => Ok(()),
            }
        })
    }
}

/// Step Functions begins a name with a capital. It spells abbreviations in one of two ways (`SSEKMSKeyId`,
/// `SseKmsKeyId`), after the SDK behind the integration.
fn is_same(written: &str, field: &str) -> bool {
    written.as_bytes().first() == field.as_bytes().first() && written.eq_ignore_ascii_case(field)
}

fn within(field: &str, number: Option<f64>, range: Range) -> Result<(), Violation> {
    let number = number.ok_or_else(|| must(field, "a number"))?;
    if range.min.is_some_and(|min| number < min) {
        return Err(format!("Field '{field}' is less than the minimum value"));
    }
    if range.max.is_some_and(|max| number > max) {
        return Err(format!("Field '{field}' exceeds the maximum value"));
    }
    Ok(())
}

fn must(field: &str, expected: &str) -> Violation {
    format!("Field '{field}' must be {expected}")
}

/// The field that an optimized integration converts from text to JSON.
fn free_form(resource: &str) -> Option<&'static str> {
    let optimized = !resource.contains(":aws-sdk:");
    if optimized && resource.contains(":lambda:invoke") {
        return Some("Payload");
    }
    resource.ends_with(".sync:2").then_some("Output")
}
