//! JSON in which strings of the form `{% ... %}` are expressions.

use std::sync::Arc;

use super::{Expression, Reach, Refusal, Scope, Unresolved};
use crate::value::Value;

/// A JSON value to be filled in.
#[derive(Debug)]
pub(crate) enum Template {
    /// Nothing to fill in, at any depth.
    Constant(Value),
    Expression(Box<Expression>),
    Array(Vec<Template>),
    Object(Vec<(Arc<str>, Template)>),
}

/// An expression that gave no value, and where it stands.
#[derive(Debug)]
pub(crate) struct EvaluationError {
    /// The field and what is below it, as AWS writes it: `Output/a/b[0]`.
    pub location: String,
    /// Ends a sentence that begins with the state's name.
    pub cause: String,
}

impl Template {
    /// Reads a template; each expression that cannot be parsed is given to `refuse` with its place.
    pub(crate) fn parse(
        value: &Value,
        reach: Reach,
        at: &str,
        refuse: &mut impl FnMut(&str, Refusal),
    ) -> Self {
        match value {
            Value::String(text) => match expression(text).map(|source| Expression::parse(source, reach)) {
                None => Self::Constant(value.clone()),
                Some(Ok(expression)) => Self::Expression(Box::new(expression)),
                Some(Err(error)) => {
                    refuse(at, error);
                    Self::Constant(Value::Null)
                }
            },
            Value::Array(items) => {
                let items = items.iter().enumerate();
                let items: Vec<_> =
                    items.map(|(i, item)| Self::parse(item, reach, &format!("{at}/{i}"), refuse)).collect();
                if items.iter().all(Self::is_constant) {
                    Self::Constant(value.clone())
                } else {
                    Self::Array(items)
                }
            }
            Value::Object(members) => {
                let members: Vec<_> = members
                    .iter()
                    .map(|(name, value)| {
                        let at = format!("{at}/{}", crate::problem::escape(name));
                        (Arc::clone(name), Self::parse(value, reach, &at, refuse))
                    })
                    .collect();
                let constant = members.iter().all(|(_, member)| member.is_constant());
                if constant { Self::Constant(value.clone()) } else { Self::Object(members) }
            }
            _ => Self::Constant(value.clone()),
        }
    }

    /// The template with every expression replaced by its value; `field` names where the template stands.
    pub(crate) fn fill(&self, field: &str, scope: &mut Scope<'_>) -> Result<Value, EvaluationError> {
        match self {
            Self::Constant(value) => Ok(value.clone()),
            Self::Expression(expression) => {
                expression.evaluate(scope).map_err(|fault| EvaluationError::new(expression, field, fault))
            }
            Self::Array(items) => {
                let items = items.iter().enumerate();
                let items = items.map(|(i, item)| item.fill(&format!("{field}[{i}]"), scope));
                Ok(items.collect::<Result<Vec<_>, _>>()?.into())
            }
            Self::Object(members) => {
                let members = members.iter();
                let members = members.map(|(name, member)| match member {
                    Self::Constant(value) => Ok((Arc::clone(name), value.clone())),
                    member => Ok((Arc::clone(name), member.fill(&format!("{field}/{name}"), scope)?)),
                });
                Ok(Value::Object(members.collect::<Result<Vec<_>, _>>()?.into_iter().collect()))
            }
        }
    }

    /// The template's value, which must be what `accept` takes; `expected` is what AWS calls that.
    pub(crate) fn fill_as<T>(
        &self,
        field: &str,
        expected: &str,
        scope: &mut Scope<'_>,
        accept: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<T, EvaluationError> {
        let value = self.fill(field, scope)?;
        accept(&value).ok_or_else(|| EvaluationError {
            location: field.to_owned(),
            cause: format!(
                "{}returned an unexpected result type. Expected '{expected}', but was '{}' for value: {value}",
                self.sentence(field),
                value.type_name(),
            ),
        })
    }

    /// The value, when nothing in it depends on a run.
    pub(crate) fn constant(&self) -> Option<&Value> {
        match self {
            Self::Constant(value) => Some(value),
            _ => None,
        }
    }

    fn is_constant(&self) -> bool {
        self.constant().is_some()
    }

    fn sentence(&self, field: &str) -> String {
        match self {
            Self::Expression(expression) => {
                format!("The JSONata expression '{}' specified for the field '{field}' ", expression.source())
            }
            _ => format!("The value specified for the field '{field}' "),
        }
    }
}

/// The text between `{%` and `%}`, when the whole string is an expression.
pub(crate) fn expression(text: &str) -> Option<&str> {
    Some(text.strip_prefix("{%")?.strip_suffix("%}")?.trim())
}

impl EvaluationError {
    fn new(expression: &Expression, field: &str, fault: Unresolved) -> Self {
        let what = match fault {
            Unresolved::Undefined => "returned nothing (undefined).".into(),
            Unresolved::Unsupported => "returned an unsupported result type.".into(),
            // A message of JSONata begins with its code and is a sentence of its own.
            Unresolved::Threw(message) => {
                let coded = message.as_bytes().get(5) == Some(&b':');
                format!("threw an error during evaluation{} {message}", if coded { "." } else { ":" })
            }
        };
        Self {
            location: field.to_owned(),
            cause: format!(
                "The JSONata expression '{}' specified for the field '{field}' {what}",
                expression.source()
            ),
        }
    }
}
