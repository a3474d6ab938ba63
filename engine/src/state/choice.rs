//! Choice: the first rule whose condition holds leads on.

use super::Exit;
use crate::failure::{Failure, reserved};
use crate::load::{Fields, Place};
use crate::machine::Transition;
use crate::query::{Reach, Template};
use crate::run::{Fault, Given, Step, Visit};
use crate::value::Value;

/// A Choice state.
#[derive(Debug)]
pub(crate) struct Choice {
    rules: Vec<Rule>,
    default: Option<Exit>,
}

/// A condition and where it leads.
#[derive(Debug)]
struct Rule {
    condition: Template,
    exit: Exit,
}

impl Choice {
    pub(crate) fn parse(fields: Fields<'_>, place: &Place<'_>) -> Option<Self> {
        fields.require(&["Choices"]);
        let rules: Vec<_> =
            fields.objects("Choices").into_iter().map(|fields| Rule::parse(fields, place)).collect();
        let (output, assign) = Exit::results(&fields, Reach::INPUT);
        if !fields.has("Default") && (output.is_some() || !assign.is_empty()) {
            fields.invalid("Default", "'Output' and 'Assign' of a Choice state belong to its 'Default'");
        }
        let default =
            place.target(&fields, "Default").map(|to| Exit { to: Transition::Next(to), output, assign });
        fields.finish(&[]);
        Some(Self { rules: rules.into_iter().collect::<Option<_>>()?, default })
    }

    pub(crate) fn start(&self, visit: &mut Visit<'_>) -> Step {
        for (index, rule) in self.rules.iter().enumerate() {
            let holds = match &rule.condition {
                Template::Constant(value) => value.as_bool().unwrap_or_default(),
                condition => visit.evaluate(Given::default(), |scope| {
                    condition.fill_as(
                        &format!("Choices[{index}]/Condition"),
                        "boolean",
                        scope,
                        Value::as_bool,
                    )
                })?,
            };
            if holds {
                return visit.leave(&rule.exit, &format!("Choices[{index}]/"), Given::default());
            }
        }
        match &self.default {
            Some(exit) => visit.leave(exit, "", Given::default()),
            None => Err(Fault::from(Failure::new(
                reserved::NO_CHOICE_MATCHED,
                visit.sentence(
                    "Failed to transition out of the state. The state does not point to a next state.",
                ),
            ))),
        }
    }

    pub(crate) fn exits(&self) -> Vec<&Exit> {
        self.rules.iter().map(|rule| &rule.exit).chain(&self.default).collect()
    }

    /// Every way out with its condition; the default has none.
    pub(crate) fn rules(&self) -> impl Iterator<Item = (Option<&Template>, &Exit)> {
        let rules = self.rules.iter().map(|rule| (Some(&rule.condition), &rule.exit));
        rules.chain(self.default.as_ref().map(|exit| (None, exit)))
    }
}

impl Rule {
    fn parse(fields: Fields<'_>, place: &Place<'_>) -> Option<Self> {
        fields.text("Comment");
        fields.require(&["Condition"]);
        let condition =
            fields.template_of("Condition", "a boolean", Reach::INPUT, |value| value.as_bool().is_some());
        let exit = Exit::parse_next(&fields, place, Reach::INPUT);
        fields.finish(&[]);
        Some(Self { condition: condition?, exit: exit? })
    }
}
