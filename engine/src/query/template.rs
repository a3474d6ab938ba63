//! JSON to be filled in: with JSONata where a string is `{% ... %}`, with JSONPath where a name ends with `.$`.

use std::sync::Arc;

use super::{Expression, Intrinsic, JsonPath, Refusal, Scope, Unresolved, Visibility};
use crate::failure::reserved;
use crate::value::{Number, Value};

/// A JSON value to be filled in.
#[derive(Debug)]
pub(crate) enum Template {
    /// Nothing to fill in, at any depth.
    Constant(Value),
    Expression(Box<Expression>),
    /// A JSONPath, and the field it stands in as messages name it.
    Path(Box<(Arc<str>, JsonPath)>),
    /// A call of an intrinsic function.
    Intrinsic(Box<Intrinsic>),
    Array(Vec<Template>),
    Object(Vec<(Arc<str>, Template)>),
}

/// Something that gave no value.
#[derive(Debug)]
pub(crate) struct EvaluationError {
    /// The error's name.
    pub error: &'static str,
    /// Where a JSONata expression stands: the field and what is below it, as AWS writes it: `Output/a/b[0]`.
    pub location: Option<String>,
    /// Ends a sentence that begins with the state's name.
    pub cause: String,
}

impl Template {
    /// Reads a template of JSONPath; each name whose value is neither a path nor a call is given to `refuse`.
    pub(crate) fn payload(value: &Value, refuse: &mut impl FnMut(&Arc<str>)) -> Self {
        match value {
            Value::Array(items) => {
                Self::list(value, items.iter().map(|item| Self::payload(item, refuse)).collect())
            }
            Value::Object(members) => {
                let members: Vec<_> = members
                    .iter()
                    .map(|(label, value)| match label.strip_suffix(".$") {
                        None => (Arc::clone(label), Self::payload(value, refuse)),
                        Some(name) => {
                            let filled = value.as_str().and_then(|text| Self::reference(label, text));
                            let filled = filled.unwrap_or_else(|| {
                                refuse(label);
                                Self::Constant(Value::Null)
                            });
                            (name.into(), filled)
                        }
                    })
                    .collect();
                let constant = members.iter().all(|(_, member)| member.is_constant());
                if constant { Self::Constant(value.clone()) } else { Self::Object(members) }
            }
            _ => Self::Constant(value.clone()),
        }
    }

    /// A path or a call; `label` is the field it stands in.
    pub(crate) fn reference(label: &str, text: &str) -> Option<Self> {
        if text.trim_start().starts_with('$') {
            return Some(Self::path(label, JsonPath::parse(text)?));
        }
        Some(Self::Intrinsic(Box::new(Intrinsic::parse(text)?)))
    }

    /// A path; `label` is the field it stands in.
    pub(crate) fn path(label: &str, path: JsonPath) -> Self {
        Self::Path(Box::new((label.into(), path)))
    }

    /// Reads a template of JSONata; each expression that cannot be parsed is given to `refuse` with its place.
    pub(crate) fn parse(
        value: &Value,
        visible: Visibility,
        at: &str,
        refuse: &mut impl FnMut(&str, Refusal),
    ) -> Self {
        match value {
            Value::String(text) if text.starts_with("{%") && !text.ends_with("%}") => {
                refuse(at, Refusal::Unclosed);
                Self::Constant(Value::Null)
            }
            Value::String(text) => match expression(text).map(|source| Expression::parse(source, visible)) {
                None => Self::Constant(value.clone()),
                Some(Ok(expression)) => Self::Expression(Box::new(expression)),
                Some(Err(error)) => {
                    refuse(at, error);
                    Self::Constant(Value::Null)
                }
            },
            Value::Array(items) => {
                let items = items.iter().enumerate();
                let items = items.map(|(i, item)| Self::parse(item, visible, &format!("{at}/{i}"), refuse));
                Self::list(value, items.collect())
            }
            Value::Object(members) => {
                let members: Vec<_> = members
                    .iter()
                    .map(|(name, value)| {
                        let at = format!("{at}/{}", crate::problem::escape(name));
                        (Arc::clone(name), Self::parse(value, visible, &at, refuse))
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
            Self::Path(labelled) => labelled.1.fill(&labelled.0, scope),
            Self::Intrinsic(call) => call.evaluate(scope).map_err(|error| EvaluationError {
                error: error.error,
                location: None,
                cause: error.cause,
            }),
            Self::Array(items) => {
                let items = items.iter().enumerate();
                let items = items.map(|(i, item)| item.fill(&format!("{field}[{i}]"), scope));
                Ok(items.collect::<Result<Vec<_>, _>>()?.into())
            }
            Self::Object(members) => {
                let members = members.iter();
                let members = members.map(|(name, member)| match member {
                    Self::Constant(value) => Ok((Arc::clone(name), value.clone())),
                    // It knows its field.
                    Self::Path(_) | Self::Intrinsic(_) => Ok((Arc::clone(name), member.fill(field, scope)?)),
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
        self.accepted(&value, field, expected, accept)
    }

    /// A value that the template gave, which must be what `accept` takes.
    fn accepted<T>(
        &self,
        value: &Value,
        field: &str,
        expected: &str,
        accept: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<T, EvaluationError> {
        accept(value).ok_or_else(|| match self {
            Self::Path(labelled) => EvaluationError::runtime(format!(
                "The {} field refers to value \"{}\" which is not a valid {}: {}",
                labelled.0,
                value.as_str().map_or_else(|| value.to_string(), str::to_owned),
                match expected {
                    "number" => "float",
                    "string" => "string",
                    _ => "integer",
                },
                labelled.1.source(),
            )),
            _ => EvaluationError {
                error: reserved::QUERY_EVALUATION_ERROR,
                location: Some(field.to_owned()),
                cause: format!(
                    "{}returned an unexpected result type. Expected '{expected}', but was '{}' for value: {value}",
                    self.sentence(field),
                    value.type_name(),
                ),
            },
        })
    }

    /// A whole number that is not negative, or a negative one that a path leads to. What a path leads to is read as
    /// its text, as on AWS: `"5"` is a whole number and `5.0` is none.
    pub(crate) fn fill_count(
        &self,
        field: &str,
        expected: &str,
        scope: &mut Scope<'_>,
    ) -> Result<i64, EvaluationError> {
        let whole = self.fill_whole(field, expected, scope)?;
        let accept = |_: &Value| (whole >= 0 || self.is_path()).then_some(whole);
        self.accepted(&whole.into(), field, expected, accept)
    }

    /// The same for any whole number.
    pub(crate) fn fill_whole(
        &self,
        field: &str,
        expected: &str,
        scope: &mut Scope<'_>,
    ) -> Result<i64, EvaluationError> {
        let by_path = self.is_path();
        self.fill_as(field, expected, scope, |value| match value {
            Value::String(text) if by_path => text.parse().ok(),
            Value::Number(Number::Float(_)) if by_path => None,
            value => value.as_number()?.as_i64(),
        })
    }

    /// A number. One that a path leads to may be written as a text.
    pub(crate) fn fill_number(&self, field: &str, scope: &mut Scope<'_>) -> Result<f64, EvaluationError> {
        let by_path = self.is_path();
        self.fill_as(field, "number", scope, |value| match value {
            Value::String(text) if by_path => text.parse().ok(),
            value => Some(value.as_number()?.as_f64()),
        })
    }

    /// A number of seconds for the clock of a task. A path that leads nowhere is told as that of `InputPath` is.
    pub(crate) fn fill_seconds(&self, field: &str, scope: &mut Scope<'_>) -> Result<i64, EvaluationError> {
        let value = match self {
            Self::Path(labelled) => labelled.1.pick(scope)?,
            _ => self.fill(field, scope)?,
        };
        self.accepted(&value, field, "positive integer", |value| value.as_number()?.as_i64())
    }

    /// Whether it is the place of a value.
    pub(crate) fn is_path(&self) -> bool {
        matches!(self, Self::Path(_))
    }

    /// What is looked up or evaluated, as it is written.
    pub(crate) fn source(&self) -> Option<&str> {
        match self {
            Self::Expression(expression) => Some(expression.source()),
            Self::Path(labelled) => Some(labelled.1.source()),
            _ => None,
        }
    }

    /// The value, when nothing in it depends on a run.
    pub(crate) fn constant(&self) -> Option<&Value> {
        match self {
            Self::Constant(value) => Some(value),
            _ => None,
        }
    }

    /// A list of templates; `whole` is what they were read from.
    fn list(whole: &Value, items: Vec<Self>) -> Self {
        let constant = items.iter().all(Self::is_constant);
        if constant { Self::Constant(whole.clone()) } else { Self::Array(items) }
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

impl JsonPath {
    /// The value for a field.
    pub(crate) fn fill(&self, label: &str, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
        self.resolve_with_nulls(scope).map_err(|_| {
            EvaluationError::runtime(format!(
                "The JSONPath '{}' specified for the field '{label}' could not be found in the input '{}'",
                self.source(),
                self.document(scope),
            ))
        })
    }

    /// The value for `InputPath`, `OutputPath` or `ItemsPath`.
    pub(crate) fn pick(&self, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
        self.resolve(scope).map_err(|miss| {
            EvaluationError::runtime(format!("Invalid path '{}' : {}", self.source(), miss.reason()))
        })
    }
}

impl EvaluationError {
    /// A failure that nothing catches.
    pub(crate) fn runtime(cause: impl Into<String>) -> Self {
        Self { error: reserved::RUNTIME, location: None, cause: cause.into() }
    }

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
            error: reserved::QUERY_EVALUATION_ERROR,
            location: Some(field.to_owned()),
            cause: format!(
                "The JSONata expression '{}' specified for the field '{field}' {what}",
                expression.source()
            ),
        }
    }
}
