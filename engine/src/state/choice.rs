//! Choice: takes the exit of the first rule whose condition is true.

use std::sync::Arc;

use super::condition::Test;
use super::exit::{Exit, Transition};
use super::input::StateInput;
use crate::failure::{Failure, reserved};
use crate::load::{Fields, ParseContext};
use crate::query::{Language, Template, Visibility};
use crate::run::{EvalInputs, Fault, Visit, VisitResult};
use crate::value::Value;

#[derive(Debug)]
pub(crate) struct Choice {
    input: StateInput,
    rules: Vec<Rule>,
    default: Option<Exit>,
}

/// A condition and its exit.
#[derive(Debug)]
struct Rule {
    condition: Condition,
    exit: Exit,
}

#[derive(Debug)]
pub(crate) enum Condition {
    Jsonata(Template),
    /// The test, and its text for people.
    JsonPath(Test, Arc<str>),
}

impl Choice {
    pub(crate) fn parse(fields: Fields<'_>, context: &ParseContext<'_>) -> Option<Self> {
        fields.require(&["Choices"]);
        let input = StateInput::parse_path(&fields);
        let rules: Vec<_> = fields
            .nonempty_objects("Choices")
            .into_iter()
            .map(|rule| Rule::parse(rule, context, &fields))
            .collect();
        let default = if fields.has("Default") {
            context.target(&fields, "Default").map(|to| Exit::parse_default(Transition::Next(to), &fields))
        } else {
            // Parses these fields only to check them. Without a default the state never uses them.
            let _ = Exit::parse_default(Transition::End, &fields);
            None
        };
        fields.finish(&[]);
        Some(Self { input, rules: rules.into_iter().collect::<Option<_>>()?, default })
    }

    pub(crate) fn start(&self, visit: &mut Visit<'_>) -> VisitResult {
        let input = visit.evaluate(EvalInputs::default(), |scope| self.input.select(scope))?;
        let inputs = EvalInputs::input(&input);
        for (index, rule) in self.rules.iter().enumerate() {
            let is_true = match &rule.condition {
                Condition::Jsonata(Template::Constant(value)) => value.as_bool().unwrap_or_default(),
                Condition::Jsonata(condition) => visit.evaluate(inputs, |scope| {
                    let field = format!("Choices[{index}]/Condition");
                    condition.fill_as(&field, "boolean", scope, Value::as_bool)
                })?,
                Condition::JsonPath(test, _) => visit.evaluate(inputs, |scope| test.is_true(scope))?,
            };
            if is_true {
                return visit.leave(&rule.exit, &format!("Choices[{index}]/"), inputs);
            }
        }
        match &self.default {
            Some(exit) => visit.leave(exit, "", inputs),
            None => Err(Fault::from(Failure::new(
                reserved::NO_CHOICE_MATCHED,
                visit.cause_in_state(
                    "Failed to transition out of the state. The state does not point to a next state.",
                ),
            ))),
        }
    }

    pub(crate) fn exits(&self) -> Vec<&Exit> {
        self.rules.iter().map(|rule| &rule.exit).chain(&self.default).collect()
    }

    /// Every exit with its condition. The default exit has none.
    pub(crate) fn rules(&self) -> impl Iterator<Item = (Option<&Condition>, &Exit)> {
        let rules = self.rules.iter().map(|rule| (Some(&rule.condition), &rule.exit));
        rules.chain(self.default.as_ref().map(|exit| (None, exit)))
    }
}

impl Condition {
    /// The condition's source text.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Jsonata(Template::Expression(expression)) => expression.source(),
            Self::Jsonata(Template::Constant(value)) if value.as_bool() == Some(true) => "true",
            Self::Jsonata(_) => "false",
            Self::JsonPath(_, text) => text,
        }
    }
}

impl Rule {
    fn parse(fields: Fields<'_>, context: &ParseContext<'_>, state: &Fields<'_>) -> Option<Self> {
        fields.text("Comment");
        let condition = match fields.language() {
            Language::JsonPath => Test::parse(&fields).map(|test| {
                let text = test.to_string();
                Condition::JsonPath(test, text.into())
            }),
            Language::Jsonata => {
                fields.require(&["Condition"]);
                let accept = |value: &Value| value.as_bool().is_some();
                fields.template_of("Condition", "Boolean", Visibility::INPUT, accept).map(Condition::Jsonata)
            }
        };
        let exit = Exit::parse_rule(&fields, context, state);
        fields.finish(&[]);
        Some(Self { condition: condition?, exit: exit? })
    }
}
