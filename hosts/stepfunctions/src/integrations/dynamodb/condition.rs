//! Conditions, as far as the store has them: no item has this key, or the item has a version. DynamoDB's refusals have
//! its words; a condition that only DynamoDB supports is refused by name.

use std::collections::BTreeSet;

use kernel::store::Condition;
use states::{Failure, Object, Value};

use super::{Call, PARTITION, SORT, VERSION};

/// The condition of a put on the stored item.
pub(super) fn read(call: &Call<'_>) -> Result<Condition, Failure> {
    let expression = call.arguments.text("ConditionExpression")?;
    let names = call.arguments.object("ExpressionAttributeNames")?;
    let values = call.arguments.object("ExpressionAttributeValues")?;
    let Some(expression) = expression else {
        return match (names, values) {
            (None, None) => Ok(Condition::None),
            (Some(_), _) => {
                Err(call.invalid("ExpressionAttributeNames can only be specified when using expressions"))
            }
            (None, Some(_)) => Err(call.invalid(
                "ExpressionAttributeValues can only be specified when using expressions: \
                 ConditionExpression is null",
            )),
        };
    };
    let placeholders = Placeholders { call, names, values };
    placeholders.all_used(&expression)?;
    let lacks = || call.arguments.not_here(format_args!("the condition '{expression}'"));
    match parse(&expression).ok_or_else(lacks)? {
        Parsed::NotExists(path) => match placeholders.attribute(path)? {
            PARTITION | SORT => Ok(Condition::Absent),
            _ => Err(lacks()),
        },
        Parsed::Equals(path, value) => match placeholders.attribute(path)? {
            VERSION => {
                let value = placeholders.value(value)?;
                let version = value.get("N").and_then(Value::as_str).and_then(|text| text.parse().ok());
                version.map(Condition::Version).ok_or_else(lacks)
            }
            _ => Err(lacks()),
        },
    }
}

/// A condition of one of the two forms that the store has.
enum Parsed<'a> {
    /// `attribute_not_exists(path)`
    NotExists(&'a str),
    /// `path = :value`
    Equals(&'a str, &'a str),
}

fn parse(expression: &str) -> Option<Parsed<'_>> {
    let word = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let path = |text: &str| word(text.strip_prefix('#').unwrap_or(text));
    let value = |text: &str| text.strip_prefix(':').is_some_and(word);
    let expression = expression.trim();
    if let Some(rest) = expression.strip_prefix("attribute_not_exists") {
        let inner = rest.trim().strip_prefix('(')?.strip_suffix(')')?.trim();
        return path(inner).then_some(Parsed::NotExists(inner));
    }
    let (left, right) = expression.split_once('=')?;
    match (left.trim(), right.trim()) {
        (left, right) if path(left) && value(right) => Some(Parsed::Equals(left, right)),
        (left, right) if value(left) && path(right) => Some(Parsed::Equals(right, left)),
        _ => None,
    }
}

/// The substitutes for names and values in an expression.
struct Placeholders<'a> {
    call: &'a Call<'a>,
    names: Option<&'a Object>,
    values: Option<&'a Object>,
}

impl<'a> Placeholders<'a> {
    /// DynamoDB refuses a placeholder that the expression has no use for.
    fn all_used(&self, expression: &str) -> Result<(), Failure> {
        let part = |character: char| !character.is_ascii_alphanumeric() && !"_#:".contains(character);
        let used: BTreeSet<&str> = expression.split(part).collect();
        for (field, given) in
            [("ExpressionAttributeNames", self.names), ("ExpressionAttributeValues", self.values)]
        {
            let mut keys = given.into_iter().flat_map(Object::iter).map(|(name, _)| &**name);
            if let Some(unused) = keys.find(|name| !used.contains(name)) {
                return Err(self.call.invalid(format!(
                    "Value provided in {field} unused in expressions: keys: {{{unused}}}"
                )));
            }
        }
        Ok(())
    }

    /// The attribute that a path names.
    fn attribute(&self, path: &'a str) -> Result<&'a str, Failure> {
        const INVALID: &str = "Invalid ConditionExpression:";
        if !path.starts_with('#') {
            // Of the three names that the store knows, this one is among DynamoDB's reserved words.
            return if path.eq_ignore_ascii_case(PARTITION) {
                Err(self.call.invalid(format!(
                    "{INVALID} Attribute name is a reserved keyword; reserved keyword: {path}"
                )))
            } else {
                Ok(path)
            };
        }
        let name = self.names.and_then(|names| names.get(path)).and_then(Value::as_str);
        name.ok_or_else(|| {
            self.call.invalid(format!(
                "{INVALID} An expression attribute name used in the document path is not defined; \
                 attribute name: {path}"
            ))
        })
    }

    fn value(&self, name: &str) -> Result<&'a Value, Failure> {
        self.values.and_then(|values| values.get(name)).ok_or_else(|| {
            self.call.invalid(format!(
                "Invalid ConditionExpression: An expression attribute value used in expression is not \
                 defined; attribute value: {name}"
            ))
        })
    }
}
