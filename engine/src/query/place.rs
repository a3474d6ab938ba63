//! Expressions that only name a place (`$states.input.a.b`, `$parts[0]`) are answered on the value itself.
//!
//! A path of names over objects means the same in JSONata and here. Where JSONata would begin to map over an
//! array, this gives up and the real evaluator is asked.

use super::scope::Scope;
use super::{Resolved, Unresolved};
use crate::value::Value;

/// A variable and the steps from it.
#[derive(Debug, PartialEq)]
pub(super) struct Place {
    variable: String,
    steps: Vec<Step>,
}

/// One step of a path.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    Name(String),
    /// Counted from zero, from the end when negative.
    Index(i64),
}

impl Place {
    pub(super) fn new(variable: &str, steps: Vec<Step>) -> Self {
        Self { variable: variable.to_owned(), steps }
    }

    /// The place's value, or `None` when only the real evaluator can tell.
    pub(super) fn resolve(&self, scope: &Scope<'_>) -> Option<Resolved> {
        let mut steps = self.steps.iter();
        let mut place = if self.variable == "states" {
            let Some(Step::Name(name)) = steps.next() else {
                return None;
            };
            scope.member(name)
        } else {
            scope.variables.get(self.variable.as_str()).cloned()
        };
        for step in steps {
            let Some(value) = place else { break };
            place = match (step, value) {
                (Step::Name(_), Value::Array(_)) => return None,
                (Step::Name(name), Value::Object(members)) => members.get(name).cloned(),
                (Step::Name(_), _) => None,
                (Step::Index(index), Value::Array(items)) => at(&items, *index).cloned(),
                (Step::Index(0 | -1), value) => Some(value),
                (Step::Index(_), _) => None,
            };
        }
        Some(place.ok_or(Unresolved::Undefined))
    }
}

fn at(items: &[Value], index: i64) -> Option<&Value> {
    let distance = usize::try_from(index.unsigned_abs()).ok()?;
    if index < 0 { items.get(items.len().checked_sub(distance)?) } else { items.get(distance) }
}
