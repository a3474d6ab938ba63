//! Value paths: expressions that only name a value (`$states.input.a.b`, `$parts[0]`). They need no
//! evaluator.
//!
//! A path of names over objects means the same in JSONata and here. JSONata maps a name over an array; there
//! this module gives up and the evaluator takes over.

use super::scope::Scope;
use super::{Resolved, Unresolved};
use crate::value::Value;

/// A variable and the segments after it.
#[derive(Debug, PartialEq)]
pub(super) struct ValuePath {
    variable: String,
    segments: Vec<Segment>,
}

/// One segment of a path.
#[derive(Debug, PartialEq)]
pub(super) enum Segment {
    Name(String),
    /// Counted from zero, or from the end if negative.
    Index(i64),
}

impl ValuePath {
    pub(super) fn new(variable: &str, segments: Vec<Segment>) -> Self {
        Self { variable: variable.to_owned(), segments }
    }

    /// The value; `None`: only the evaluator can find it.
    pub(super) fn resolve(&self, scope: &Scope<'_>) -> Option<Resolved> {
        let mut segments = self.segments.iter();
        let mut found = if self.variable == "states" {
            let Some(Segment::Name(name)) = segments.next() else {
                return None;
            };
            scope.member(name)
        } else {
            scope.variables.get(self.variable.as_str()).cloned()
        };
        for segment in segments {
            let Some(value) = found else { break };
            found = match (segment, value) {
                (Segment::Name(_), Value::Array(_)) => return None,
                (Segment::Name(name), Value::Object(members)) => members.get(name).cloned(),
                (Segment::Name(_), _) => None,
                (Segment::Index(index), Value::Array(items)) => at(&items, *index).cloned(),
                (Segment::Index(0 | -1), value) => Some(value),
                (Segment::Index(_), _) => None,
            };
        }
        Some(found.ok_or(Unresolved::Undefined))
    }
}

fn at(items: &[Value], index: i64) -> Option<&Value> {
    let distance = usize::try_from(index.unsigned_abs()).ok()?;
    if index < 0 { items.get(items.len().checked_sub(distance)?) } else { items.get(distance) }
}
