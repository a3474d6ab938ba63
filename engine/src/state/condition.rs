//! The tests of a Choice rule in JSONPath: a comparison, or tests joined by `And`, `Or` and `Not`.

use std::cmp::Ordering;
use std::fmt;

use jiff::Timestamp;

use super::wait::parse_timestamp;
use crate::load::Fields;
use crate::query::{EvaluationError, JsonPath, Scope};
use crate::value::Value;

/// A condition that is true or false.
#[derive(Debug)]
pub(crate) enum Test {
    And(Vec<Test>),
    Or(Vec<Test>),
    Not(Box<Test>),
    Compare(Comparison),
}

/// A variable and its operand.
#[derive(Debug)]
pub(crate) struct Comparison {
    variable: JsonPath,
    name: &'static str,
    operator: Operator,
    operand: Operand,
}

#[derive(Debug)]
enum Operand {
    Value(Value),
    Path(JsonPath),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Compare(OperandKind, Relation),
    Matches,
    Is(ValueKind),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OperandKind {
    String,
    Numeric,
    Boolean,
    Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Equals,
    LessThan,
    GreaterThan,
    LessThanEquals,
    GreaterThanEquals,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ValueKind {
    Present,
    Null,
    String,
    Numeric,
    Boolean,
    Timestamp,
}

/// Every operator, with the names of its field without and with `Path`.
const OPERATORS: [(&str, Option<&str>, Operator); 23] = {
    use OperandKind::{Boolean, Numeric, String, Timestamp};
    use Operator::{Compare, Is, Matches};
    use Relation::{Equals, GreaterThan, GreaterThanEquals, LessThan, LessThanEquals};
    [
        ("StringEquals", Some("StringEqualsPath"), Compare(String, Equals)),
        ("StringLessThan", Some("StringLessThanPath"), Compare(String, LessThan)),
        ("StringGreaterThan", Some("StringGreaterThanPath"), Compare(String, GreaterThan)),
        ("StringLessThanEquals", Some("StringLessThanEqualsPath"), Compare(String, LessThanEquals)),
        ("StringGreaterThanEquals", Some("StringGreaterThanEqualsPath"), Compare(String, GreaterThanEquals)),
        ("NumericEquals", Some("NumericEqualsPath"), Compare(Numeric, Equals)),
        ("NumericLessThan", Some("NumericLessThanPath"), Compare(Numeric, LessThan)),
        ("NumericGreaterThan", Some("NumericGreaterThanPath"), Compare(Numeric, GreaterThan)),
        ("NumericLessThanEquals", Some("NumericLessThanEqualsPath"), Compare(Numeric, LessThanEquals)),
        (
            "NumericGreaterThanEquals",
            Some("NumericGreaterThanEqualsPath"),
            Compare(Numeric, GreaterThanEquals),
        ),
        ("BooleanEquals", Some("BooleanEqualsPath"), Compare(Boolean, Equals)),
        ("TimestampEquals", Some("TimestampEqualsPath"), Compare(Timestamp, Equals)),
        ("TimestampLessThan", Some("TimestampLessThanPath"), Compare(Timestamp, LessThan)),
        ("TimestampGreaterThan", Some("TimestampGreaterThanPath"), Compare(Timestamp, GreaterThan)),
        ("TimestampLessThanEquals", Some("TimestampLessThanEqualsPath"), Compare(Timestamp, LessThanEquals)),
        (
            "TimestampGreaterThanEquals",
            Some("TimestampGreaterThanEqualsPath"),
            Compare(Timestamp, GreaterThanEquals),
        ),
        ("StringMatches", None, Matches),
        ("IsPresent", None, Is(ValueKind::Present)),
        ("IsNull", None, Is(ValueKind::Null)),
        ("IsString", None, Is(ValueKind::String)),
        ("IsNumeric", None, Is(ValueKind::Numeric)),
        ("IsBoolean", None, Is(ValueKind::Boolean)),
        ("IsTimestamp", None, Is(ValueKind::Timestamp)),
    ]
};

impl Test {
    /// Reads a test from a rule, or from a test that contains it.
    pub(super) fn parse(fields: &Fields<'_>) -> Option<Self> {
        let forms = ["And", "Or", "Not", "Variable", "Condition"];
        if forms.iter().filter(|form| fields.has(form)).count() != 1 {
            fields.refuse_object(
                "The object must have only one of the following fields, [And, Or, Not, Variable, Condition]",
            );
            return None;
        }
        let inner = |field| {
            let tests = fields.nonempty_objects(field).into_iter().map(|fields| {
                fields.text("Comment");
                let test = Self::parse(&fields);
                fields.finish(&[]);
                test
            });
            tests.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>()
        };
        if fields.has("And") {
            inner("And").map(Self::And)
        } else if fields.has("Or") {
            inner("Or").map(Self::Or)
        } else if fields.has("Not") {
            let negated = fields.object("Not")?;
            negated.text("Comment");
            let test = Self::parse(&negated);
            negated.finish(&[]);
            Some(Self::Not(Box::new(test?)))
        } else if fields.has("Variable") {
            Comparison::parse(fields).map(Self::Compare)
        } else {
            // `Fields::finish` refuses `Condition`, since nothing reads it here.
            None
        }
    }

    pub(super) fn is_true(&self, scope: &mut Scope<'_>) -> Result<bool, EvaluationError> {
        match self {
            Self::Not(test) => Ok(!test.is_true(scope)?),
            Self::Compare(comparison) => comparison.is_true(scope),
            Self::And(tests) | Self::Or(tests) => {
                let decides = matches!(self, Self::Or(_));
                for test in tests {
                    if test.is_true(scope)? == decides {
                        return Ok(decides);
                    }
                }
                Ok(!decides)
            }
        }
    }
}

impl Comparison {
    fn parse(fields: &Fields<'_>) -> Option<Self> {
        let variable = fields.reference("Variable");
        let mut found = Vec::new();
        for (name, path, operator) in OPERATORS {
            if let Some(value) = fields.value(name) {
                found.push((name, operator, Some(Operand::Value(value.clone()))));
                operator.check(fields, name, value);
                fields.warn_of_path(name);
            }
            if let Some(path) = path.filter(|path| fields.has(path)) {
                found.push((path, operator, fields.reference(path).map(Operand::Path)));
            }
        }
        if found.len() != 1 {
            let all: Vec<_> =
                OPERATORS.iter().flat_map(|(name, path, _)| [Some(*name), *path]).flatten().collect();
            let names: Vec<_> = found.iter().map(|(name, ..)| *name).collect();
            fields.refuse_object(if found.is_empty() {
                format!("This object should have only one of the following fields: [{}]", all.join(", "))
            } else {
                format!("There should only be one of the following fields: [{}]", names.join(", "))
            });
            return None;
        }
        let (name, operator, operand) = found.pop()?;
        Some(Self { variable: variable?, name, operator, operand: operand? })
    }

    fn is_true(&self, scope: &mut Scope<'_>) -> Result<bool, EvaluationError> {
        let value = self.variable.resolve(scope);
        if let Operator::Is(kind) = self.operator {
            let expected = matches!(self.operand, Operand::Value(Value::Bool(true)));
            return match (kind, value) {
                (ValueKind::Present, value) => Ok(value.is_ok() == expected),
                (_, Ok(value)) => Ok(kind.of(&value) == expected),
                (_, Err(_)) => Err(invalid(&self.variable)),
            };
        }
        let value = value.map_err(|_| invalid(&self.variable))?;
        let operand = match &self.operand {
            Operand::Value(operand) => operand.clone(),
            Operand::Path(path) => path.resolve(scope).map_err(|_| invalid(path))?,
        };
        Ok(match self.operator {
            Operator::Compare(kind, relation) => {
                kind.order(&value, &operand).is_some_and(|order| relation.allows(order))
            }
            _ => match (&value, &operand) {
                (Value::String(text), Value::String(pattern)) => matches_pattern(text, pattern),
                _ => false,
            },
        })
    }
}

fn invalid(path: &JsonPath) -> EvaluationError {
    EvaluationError::runtime(format!(
        "Invalid path '{}': The choice state's condition path references an invalid value.",
        path.source()
    ))
}

impl Operator {
    /// Refuses an operand of another type.
    fn check(self, fields: &Fields<'_>, name: &str, operand: &Value) {
        let expected = match (self, operand) {
            (Self::Compare(OperandKind::String, _) | Self::Matches, Value::String(_))
            | (Self::Compare(OperandKind::Numeric, _), Value::Number(_))
            | (Self::Compare(OperandKind::Boolean, _) | Self::Is(_), Value::Bool(_)) => return,
            (Self::Compare(OperandKind::Timestamp, _), operand) => {
                if parse_timestamp(operand).is_none() {
                    fields.invalid(name, "String does not match RFC3339 timestamp");
                }
                return;
            }
            (Self::Compare(OperandKind::String, _) | Self::Matches, _) => "String",
            (Self::Compare(OperandKind::Numeric, _), _) => "Number",
            (Self::Compare(OperandKind::Boolean, _) | Self::Is(_), _) => "Boolean",
        };
        fields.invalid(name, format!("Expected value of type {expected}"));
    }
}

impl OperandKind {
    /// The order of two values of this kind; `None`: one of them is of another kind.
    fn order(self, left: &Value, right: &Value) -> Option<Ordering> {
        match (self, left, right) {
            (Self::String, Value::String(left), Value::String(right)) => Some(left.cmp(right)),
            (Self::Numeric, Value::Number(left), Value::Number(right)) => {
                if left == right {
                    Some(Ordering::Equal)
                } else {
                    left.as_f64().partial_cmp(&right.as_f64())
                }
            }
            (Self::Boolean, Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
            (Self::Timestamp, left, right) => {
                let (left, right): (Timestamp, Timestamp) = (parse_timestamp(left)?, parse_timestamp(right)?);
                Some(left.cmp(&right))
            }
            _ => None,
        }
    }
}

impl Relation {
    fn allows(self, order: Ordering) -> bool {
        match self {
            Self::Equals => order.is_eq(),
            Self::LessThan => order.is_lt(),
            Self::GreaterThan => order.is_gt(),
            Self::LessThanEquals => order.is_le(),
            Self::GreaterThanEquals => order.is_ge(),
        }
    }
}

impl ValueKind {
    fn of(self, value: &Value) -> bool {
        match self {
            Self::Present => true,
            Self::Null => *value == Value::Null,
            Self::String => value.as_str().is_some(),
            Self::Numeric => value.as_number().is_some(),
            Self::Boolean => value.as_bool().is_some(),
            Self::Timestamp => parse_timestamp(value).is_some(),
        }
    }
}

/// Matches a pattern: `*` matches any text, and a backslash makes the next character literal.
fn matches_pattern(text: &str, pattern: &str) -> bool {
    let mut parts = vec![String::new()];
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '*' => parts.push(String::new()),
            letter => {
                let letter = if letter == '\\' { letters.next().unwrap_or('\\') } else { letter };
                parts.last_mut().into_iter().for_each(|part| part.push(letter));
            }
        }
    }
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        return false;
    };
    if parts.len() == 1 {
        return text == first;
    }
    let Some(rest) = text.strip_prefix(first.as_str()) else {
        return false;
    };
    let middle = &parts[1..parts.len() - 1];
    let found =
        middle.iter().try_fold(rest, |rest, part| Some(&rest[rest.find(part.as_str())? + part.len()..]));
    found.is_some_and(|rest| rest.ends_with(last.as_str()))
}

impl fmt::Display for Test {
    /// The test in one line, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, tests: &[Self], word: &str| {
            for (index, test) in tests.iter().enumerate() {
                write!(f, "{}({test})", if index > 0 { word } else { "" })?;
            }
            Ok(())
        };
        match self {
            Self::And(tests) => joined(f, tests, " And "),
            Self::Or(tests) => joined(f, tests, " Or "),
            Self::Not(test) => write!(f, "Not ({test})"),
            Self::Compare(Comparison { variable, name, operand, .. }) => {
                write!(f, "{} {name} ", variable.source())?;
                match operand {
                    Operand::Value(value) => write!(f, "{value}"),
                    Operand::Path(path) => f.write_str(path.source()),
                }
            }
        }
    }
}
