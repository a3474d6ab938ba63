//! How a state is left: what it hands on, what it remembers, where it leads.

use std::sync::Arc;

use crate::load::{Fields, Place};
use crate::machine::Transition;
use crate::query::{EvaluationError, Reach, Scope, Template};
use crate::value::Value;

/// A way out of a state.
#[derive(Debug)]
pub(crate) struct Exit {
    pub to: Transition,
    pub output: Option<Template>,
    pub assign: Vec<(Arc<str>, Template)>,
}

/// A way out, taken: its output and the variables it sets.
pub(crate) struct Taken {
    pub to: Transition,
    pub output: Value,
    pub assigned: Vec<(Arc<str>, Value)>,
}

impl Exit {
    /// Reads `Next` or `End`, `Output` and `Assign`.
    pub(crate) fn parse(fields: &Fields<'_>, place: &Place<'_>, reach: Reach) -> Option<Self> {
        let (output, assign) = Self::results(fields, reach);
        Some(Self { to: place.transition(fields)?, output, assign })
    }

    /// Reads `Next`, `Output` and `Assign`: the way out of a rule or a catcher.
    pub(crate) fn parse_next(fields: &Fields<'_>, place: &Place<'_>, reach: Reach) -> Option<Self> {
        let (output, assign) = Self::results(fields, reach);
        fields.require(&["Next"]);
        Some(Self { to: Transition::Next(place.target(fields, "Next")?), output, assign })
    }

    pub(crate) fn results(
        fields: &Fields<'_>,
        reach: Reach,
    ) -> (Option<Template>, Vec<(Arc<str>, Template)>) {
        (fields.template("Output", reach), assignments(fields, reach))
    }

    /// `prefix` names the place of the exit in its state; `otherwise` is the output when none is written.
    pub(crate) fn take(
        &self,
        prefix: &str,
        otherwise: &Value,
        scope: &mut Scope<'_>,
    ) -> Result<Taken, EvaluationError> {
        let mut assigned = Vec::with_capacity(self.assign.len());
        for (name, template) in &self.assign {
            assigned.push((Arc::clone(name), template.fill(&format!("{prefix}Assign/{name}"), scope)?));
        }
        let output = match &self.output {
            None => otherwise.clone(),
            Some(Template::Constant(value)) => value.clone(),
            Some(template) => template.fill(&format!("{prefix}Output"), scope)?,
        };
        Ok(Taken { to: self.to, output, assigned })
    }
}

fn assignments(fields: &Fields<'_>, reach: Reach) -> Vec<(Arc<str>, Template)> {
    let assignments = match fields.template("Assign", reach) {
        None => Vec::new(),
        Some(Template::Object(members)) => members,
        Some(Template::Constant(Value::Object(members))) => members
            .iter()
            .map(|(name, value)| (Arc::clone(name), Template::Constant(value.clone())))
            .collect(),
        Some(_) => {
            fields.invalid("Assign", "Expected value of type 'object'");
            Vec::new()
        }
    };
    for (name, _) in assignments.iter().filter(|(name, _)| !is_variable(name)) {
        fields.invalid("Assign", format!("'{name}' cannot be the name of a variable"));
    }
    assignments
}

fn is_variable(name: &str) -> bool {
    let mut letters = name.chars();
    let first = letters.next().is_some_and(|first| first.is_alphabetic() || first == '_');
    first
        && letters.all(|c| c.is_alphanumeric() || c == '_')
        && name.chars().count() <= 80
        && name != "states"
}
