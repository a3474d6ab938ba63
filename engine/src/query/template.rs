//! JSON templates: a string `{% ... %}` is JSONata, and a name that ends with `.$` has a JSONPath or a call.

use std::sync::Arc;

use super::{Expression, Intrinsic, JsonPath, Refusal, Scope, Unresolved, Visibility};
use crate::failure::reserved;
use crate::value::{Number, Value};

/// A JSON value with parts that a run fills in.
#[derive(Debug)]
pub(crate) enum Template {
    /// A value without such parts at any depth.
    Constant(Value),
    Expression(Box<Expression>),
    /// A JSONPath, with the name of its field for messages.
    Path(Box<(Arc<str>, JsonPath)>),
    /// A call of an intrinsic function.
    Intrinsic(Box<Intrinsic>),
    Array(Vec<Template>),
    Object(Vec<(Arc<str>, Template)>),
}

/// The failure of an evaluation.
#[derive(Debug)]
pub(crate) struct EvaluationError {
    /// The error's name.
    pub error: &'static str,
    /// The location of a JSONata expression in AWS's form: the field and the path below it, such as
    /// `Output/a/b[0]`.
    pub location: Option<String>,
    /// The end of a sentence that begins with the state's name.
    pub cause: String,
}

impl Template {
    /// Parses a JSONPath template. Calls `refuse` for each name whose value is neither a path nor a call.
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

    /// A path or a call; `label` is the name of its field.
    pub(crate) fn reference(label: &str, text: &str) -> Option<Self> {
        if text.trim_start().starts_with('$') {
            return Some(Self::path(label, JsonPath::parse(text)?));
        }
        Some(Self::Intrinsic(Box::new(Intrinsic::parse(text)?)))
    }

    /// A path; `label` is the name of its field.
    pub(crate) fn path(label: &str, path: JsonPath) -> Self {
        Self::Path(Box::new((label.into(), path)))
    }

    /// Parses a JSONata template. Calls `refuse` for each expression that does not parse, with its place.
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

    /// Evaluates the template. `field` is the template's location.
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
                    // A path or a call has its own field name.
                    Self::Path(_) | Self::Intrinsic(_) => Ok((Arc::clone(name), member.fill(field, scope)?)),
                    member => Ok((Arc::clone(name), member.fill(&format!("{field}/{name}"), scope)?)),
                });
                Ok(Value::Object(members.collect::<Result<Vec<_>, _>>()?.into_iter().collect()))
            }
        }
    }

    /// Evaluates to a value that `accept` admits. `expected` is AWS's name for its type.
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

    /// Checks that `accept` admits the template's value.
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

    /// Evaluates to an integer that is not negative, or that a path leads to. As on AWS, a value behind a
    /// path is read as text: `"5"` is an integer and `5.0` is not.
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

    /// Evaluates to any integer, with the same rule for paths.
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

    /// Evaluates to a number. A value behind a path may be a text.
    pub(crate) fn fill_number(&self, field: &str, scope: &mut Scope<'_>) -> Result<f64, EvaluationError> {
        let by_path = self.is_path();
        self.fill_as(field, "number", scope, |value| match value {
            Value::String(text) if by_path => text.parse().ok(),
            value => Some(value.as_number()?.as_f64()),
        })
    }

    /// Evaluates to a number of seconds for a timeout. A path without a value fails with the message of `InputPath`.
    pub(crate) fn fill_seconds(&self, field: &str, scope: &mut Scope<'_>) -> Result<i64, EvaluationError> {
        let value = match self {
            Self::Path(labelled) => labelled.1.pick(scope)?,
            _ => self.fill(field, scope)?,
        };
        self.accepted(&value, field, "positive integer", |value| value.as_number()?.as_i64())
    }

    /// Whether the template is a path.
    pub(crate) fn is_path(&self) -> bool {
        matches!(self, Self::Path(_))
    }

    /// The source text of the path or the expression.
    pub(crate) fn source(&self) -> Option<&str> {
        match self {
            Self::Expression(expression) => Some(expression.source()),
            Self::Path(labelled) => Some(labelled.1.source()),
            _ => None,
        }
    }

    /// The value, if it is the same in every run.
    pub(crate) fn constant(&self) -> Option<&Value> {
        match self {
            Self::Constant(value) => Some(value),
            _ => None,
        }
    }

    /// A list of templates, parsed from `whole`.
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

/// The text between `{%` and `%}`, if the whole string is an expression.
pub(crate) fn expression(text: &str) -> Option<&str> {
    Some(text.strip_prefix("{%")?.strip_suffix("%}")?.trim())
}

impl JsonPath {
    /// Resolves the path for a field of a template.
    pub(crate) fn fill(&self, label: &str, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
        self.resolve_with_nulls(scope).map_err(|_| {
            EvaluationError::runtime(format!(
                "The JSONPath '{}' specified for the field '{label}' could not be found in the input '{}'",
                self.source(),
                self.document(scope),
            ))
        })
    }

    /// Resolves the path for `InputPath`, `OutputPath` or `ItemsPath`.
    pub(crate) fn pick(&self, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
        self.resolve(scope).map_err(|miss| {
            EvaluationError::runtime(format!("Invalid path '{}' : {}", self.source(), miss.reason()))
        })
    }
}

impl EvaluationError {
    /// A failure that no catcher matches.
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
