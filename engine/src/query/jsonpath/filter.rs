//! Conditions of filters: `[?(@.price > 10 && @.tags contains 'new')]`.

use std::cmp::Ordering;

use regex::Regex;

use super::{JsonPath, Root};
use crate::value::{Number, Value};

/// A condition on an item.
#[derive(Debug)]
pub(super) enum Filter {
    Any(Vec<Filter>),
    All(Vec<Filter>),
    Not(Box<Filter>),
    /// The path finds a value.
    Exists(Operand),
    Compare(Operand, Operator, Operand),
}

#[derive(Debug)]
pub(super) enum Operand {
    Path(JsonPath),
    Literal(Value),
    /// A pattern for a whole text.
    Pattern(Regex),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    /// `=~`
    Matches,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
    AnyOf,
    NoneOf,
    SubsetOf,
    Contains,
    Size,
    Empty,
}

impl Operator {
    /// Every operator by its token. An operator comes before its own prefixes.
    pub(super) const ALL: [(&'static str, Self); 15] = [
        ("=~", Self::Matches),
        ("==", Self::Equal),
        ("!=", Self::Unequal),
        ("<=", Self::LessOrEqual),
        (">=", Self::GreaterOrEqual),
        ("<", Self::Less),
        (">", Self::Greater),
        ("in ", Self::In),
        ("nin ", Self::NotIn),
        ("anyof ", Self::AnyOf),
        ("noneof ", Self::NoneOf),
        ("subsetof ", Self::SubsetOf),
        ("contains ", Self::Contains),
        ("size ", Self::Size),
        ("empty ", Self::Empty),
    ];
}

impl Filter {
    /// Whether `item` passes the filter; `document` is the value of `$`.
    pub(super) fn passes(&self, item: &Value, document: &Value) -> bool {
        match self {
            Self::Any(filters) => filters.iter().any(|filter| filter.passes(item, document)),
            Self::All(filters) => filters.iter().all(|filter| filter.passes(item, document)),
            Self::Not(filter) => !filter.passes(item, document),
            Self::Exists(operand) => operand.value(item, document).is_some(),
            Self::Compare(left, Operator::Matches, Operand::Pattern(pattern)) => {
                match left.value(item, document) {
                    Some(Value::String(text)) => pattern.is_match(&text),
                    // As in Jayway, the pattern also matches the text of a number or of a boolean.
                    Some(value @ (Value::Number(_) | Value::Bool(_))) => pattern.is_match(&value.to_string()),
                    _ => false,
                }
            }
            Self::Compare(left, operator, right) => {
                compare(left.value(item, document).as_ref(), *operator, right.value(item, document).as_ref())
            }
        }
    }
}

impl Operand {
    fn value(&self, item: &Value, document: &Value) -> Option<Value> {
        match self {
            Self::Literal(value) => Some(value.clone()),
            Self::Pattern(_) => None,
            Self::Path(path) => path.find(if path.root == Root::Item { item } else { document }).ok(),
        }
    }
}

/// Compares as Jayway does. A side without a value equals nothing, not even another such side.
fn compare(left: Option<&Value>, operator: Operator, right: Option<&Value>) -> bool {
    match (operator, left, right) {
        (Operator::Unequal, Some(left), Some(right)) => !equal(left, right),
        (Operator::Unequal, ..) => true,
        (Operator::NotIn, None, Some(Value::Array(_))) => true,
        (_, Some(left), Some(right)) => compare_values(left, operator, right),
        _ => false,
    }
}

fn compare_values(left: &Value, operator: Operator, right: &Value) -> bool {
    let within = |item: &Value, list: &Value| {
        list.as_array().is_some_and(|list| list.iter().any(|other| equal(item, other)))
    };
    let items = left.as_array().map(|items| &**items).unwrap_or_default();
    let lists = left.as_array().is_some() && right.as_array().is_some();
    match operator {
        Operator::Equal => equal(left, right),
        Operator::Matches => false,
        Operator::Unequal => !equal(left, right),
        Operator::Less => order(left, right).is_some_and(Ordering::is_lt),
        Operator::LessOrEqual => order(left, right).is_some_and(Ordering::is_le),
        Operator::Greater => order(left, right).is_some_and(Ordering::is_gt),
        Operator::GreaterOrEqual => order(left, right).is_some_and(Ordering::is_ge),
        Operator::In => within(left, right),
        Operator::NotIn => right.as_array().is_some() && !within(left, right),
        Operator::AnyOf => items.iter().any(|item| within(item, right)),
        Operator::NoneOf => lists && !items.iter().any(|item| within(item, right)),
        Operator::SubsetOf => lists && items.iter().all(|item| within(item, right)),
        Operator::Contains => match (left, right) {
            (Value::String(text), Value::String(part)) => text.contains(&**part),
            _ => within(right, left),
        },
        Operator::Size => size(left).is_some_and(|size| Value::from(size) == *right),
        Operator::Empty => size(left).is_some_and(|size| Value::from(size == 0) == *right),
    }
}

/// Equality in which the left side decides the type: a number reads a text as a number, and a text compares
/// with the text of a number.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(number), Value::String(text)) => read(text).is_some_and(|other| *number == other),
        (Value::String(text), Value::Number(_)) => **text == *right.to_string(),
        _ => left == right,
    }
}

/// The number in a text.
fn read(text: &str) -> Option<Number> {
    let written = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let whole = || text.parse().ok().map(Number::Int);
    whole().filter(|_| written).or_else(|| Number::from_f64(text.parse().ok()?).filter(|_| written))
}

fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64().partial_cmp(&right.as_f64()),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

fn size(value: &Value) -> Option<usize> {
    match value {
        Value::Array(items) => Some(items.len()),
        Value::String(text) => Some(text.chars().count()),
        _ => None,
    }
}
