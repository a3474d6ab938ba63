//! Conditions of filters: `[?(@.price > 10 && @.tags contains 'new')]`.

use regex::Regex;

use super::{JsonPath, Root};
use crate::value::Value;

/// A condition on an item.
#[derive(Debug)]
pub(super) enum Filter {
    Any(Vec<Filter>),
    All(Vec<Filter>),
    Not(Box<Filter>),
    /// The path leads somewhere.
    Holds(Operand),
    Compare(Operand, Operator, Operand),
}

#[derive(Debug)]
pub(super) enum Operand {
    Path(JsonPath),
    Literal(Value),
    /// Has to fit the whole of a text.
    Pattern(Regex),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    /// `=~`
    Fits,
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
    /// Every operator by its token; one that begins like another comes first.
    pub(super) const ALL: [(&'static str, Self); 15] = [
        ("=~", Self::Fits),
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
    /// Whether `item` passes; `document` is what `$` names.
    pub(super) fn passes(&self, item: &Value, document: &Value) -> bool {
        match self {
            Self::Any(filters) => filters.iter().any(|filter| filter.passes(item, document)),
            Self::All(filters) => filters.iter().all(|filter| filter.passes(item, document)),
            Self::Not(filter) => !filter.passes(item, document),
            Self::Holds(operand) => operand.value(item, document).is_some(),
            Self::Compare(left, Operator::Fits, Operand::Pattern(pattern)) => {
                let value = left.value(item, document);
                value.as_ref().and_then(Value::as_str).is_some_and(|text| pattern.is_match(text))
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

/// A side that leads nowhere equals nothing.
fn compare(left: Option<&Value>, operator: Operator, right: Option<&Value>) -> bool {
    if operator == Operator::Unequal {
        return left != right;
    }
    let (Some(left), Some(right)) = (left, right) else {
        return false;
    };
    let within = |item: &Value, list: &Value| list.as_array().is_some_and(|list| list.contains(item));
    let items = left.as_array().map(|items| &**items).unwrap_or_default();
    match operator {
        Operator::Equal => left == right,
        Operator::Fits => false,
        Operator::Unequal => left != right,
        Operator::Less => order(left, right).is_some_and(std::cmp::Ordering::is_lt),
        Operator::LessOrEqual => order(left, right).is_some_and(std::cmp::Ordering::is_le),
        Operator::Greater => order(left, right).is_some_and(std::cmp::Ordering::is_gt),
        Operator::GreaterOrEqual => order(left, right).is_some_and(std::cmp::Ordering::is_ge),
        Operator::In => within(left, right),
        Operator::NotIn => !within(left, right),
        Operator::AnyOf => items.iter().any(|item| within(item, right)),
        Operator::NoneOf => !items.iter().any(|item| within(item, right)),
        Operator::SubsetOf => left.as_array().is_some() && items.iter().all(|item| within(item, right)),
        Operator::Contains => match (left, right) {
            (Value::String(text), Value::String(part)) => text.contains(&**part),
            _ => within(right, left),
        },
        Operator::Size => size(left).is_some_and(|size| Value::from(size) == *right),
        Operator::Empty => size(left).is_some_and(|size| Value::from(size == 0) == *right),
    }
}

fn order(left: &Value, right: &Value) -> Option<std::cmp::Ordering> {
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
