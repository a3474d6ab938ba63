//! A mocked result, held against what its service answers.

use super::request::FieldValidationMode;
use crate::services::{self, Field, Kind, Range};
use crate::value::{Number, Object, Value};

/// What is wrong with a value, in AWS's words.
type Flaw = String;

/// Holds the result of a Task with this resource against what its service answers. What is not known passes.
pub(super) fn check(resource: &str, result: &Value, mode: FieldValidationMode) -> Result<(), Flaw> {
    let Some(kind) = services::answer(resource).filter(|_| mode != FieldValidationMode::None) else {
        return Ok(());
    };
    if result.as_object().is_none() {
        return Err("Mocked result must be a JSON object.".into());
    }
    let look = Look { mode, unchecked: free_form(resource) };
    look.value("", result, &kind, None).map_err(|flaw| format!("Mock result schema validation error: {flaw}"))
}

/// A structure that is looked at, and those around it.
#[derive(Clone, Copy)]
struct Inside<'a> {
    fields: &'a [Field<'a>],
    around: Option<&'a Inside<'a>>,
}

/// One look at a result.
struct Look {
    mode: FieldValidationMode,
    /// A field that holds any JSON whatever the model says.
    unchecked: Option<&'static str>,
}

impl Look {
    fn value(
        &self,
        field: &str,
        value: &Value,
        kind: &Kind<'_>,
        inside: Option<&Inside<'_>>,
    ) -> Result<(), Flaw> {
        let text = || value.as_str().ok_or_else(|| must(field, "a string"));
        let object = || value.as_object().ok_or_else(|| must(field, "an object"));
        match kind {
            Kind::Any => Ok(()),
            Kind::Text => text().map(|_| ()),
            Kind::Boolean => value.as_bool().map(|_| ()).ok_or_else(|| must(field, "a boolean")),
            Kind::Object => object().map(|_| ()),
            Kind::Blob(least) if text()?.chars().count() < *least => {
                Err(format!("Field '{field}' is less than the minimum length"))
            }
            Kind::Blob(_) => Ok(()),
            Kind::OneOf(allowed) => {
                let known = allowed.contains(&text()?);
                known.then_some(()).ok_or_else(|| format!("Field '{field}' is not an expected value"))
            }
            Kind::Whole(range) => {
                let whole = value.as_number().map(Number::as_f64).filter(|number| number.fract() == 0.0);
                within(field, whole, *range)
            }
            Kind::Number(range) => within(field, value.as_number().map(Number::as_f64), *range),
            Kind::List(of) => {
                let items = value.as_array().ok_or_else(|| must(field, "an array"))?;
                items.iter().try_for_each(|item| self.value(field, item, of, inside))
            }
            Kind::Map(of) => {
                object()?.iter().try_for_each(|(_, member)| self.value(field, member, of, inside))
            }
            Kind::Structure(fields) => self.structure(object()?, &Inside { fields, around: inside }),
            Kind::Again(levels) => {
                let found = (0..*levels).try_fold(inside, |inside, _| Some(inside?.around));
                found.flatten().map_or(Ok(()), |inside| self.structure(object()?, inside))
            }
        }
    }

    fn structure(&self, members: &Object, inside: &Inside<'_>) -> Result<(), Flaw> {
        let fields = inside.fields;
        if self.mode == FieldValidationMode::Strict {
            let there = |name: &str| members.iter().any(|(member, _)| is_same(member, name));
            let missing = fields.iter().find(|field| field.required && !there(field.name));
            if let Some(Field { name, .. }) = missing {
                return Err(format!("Required field '{name}' is missing"));
            }
        }
        members.iter().try_for_each(|(name, member)| {
            match fields.iter().find(|field| is_same(name, field.name)) {
                Some(field) if self.unchecked != Some(field.name) => {
                    self.value(name, member, &field.kind, Some(inside))
                }
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

fn within(field: &str, number: Option<f64>, range: Range) -> Result<(), Flaw> {
    let number = number.ok_or_else(|| must(field, "a number"))?;
    if range.least.is_some_and(|least| number < least) {
        return Err(format!("Field '{field}' is less than the minimum value"));
    }
    if range.most.is_some_and(|most| number > most) {
        return Err(format!("Field '{field}' exceeds the maximum value"));
    }
    Ok(())
}

fn must(field: &str, expected: &str) -> Flaw {
    format!("Field '{field}' must be {expected}")
}

/// The field that an optimized integration turns from text into JSON.
fn free_form(resource: &str) -> Option<&'static str> {
    let optimized = !resource.contains(":aws-sdk:");
    if optimized && resource.contains(":lambda:invoke") {
        return Some("Payload");
    }
    resource.ends_with(".sync:2").then_some("Output")
}
