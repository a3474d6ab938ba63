//! Fail: ends its flow with an error of its own.

use crate::failure::Failure;
use crate::load::Fields;
use crate::query::{Reach, Template};
use crate::run::{Fault, Given, Step, Visit};

/// A Fail state.
#[derive(Debug)]
pub(crate) struct Fail {
    pub error: Option<Template>,
    pub cause: Option<Template>,
}

impl Fail {
    pub(crate) fn parse(fields: Fields<'_>) -> Self {
        let text =
            |field| fields.template_of(field, "a string", Reach::INPUT, |value| value.as_str().is_some());
        let (error, cause) = (text("Error"), text("Cause"));
        fields.finish(&[]);
        Self { error, cause }
    }

    pub(crate) fn start(&self, visit: &mut Visit<'_>) -> Step {
        let failure = visit.evaluate(Given::default(), |scope| {
            let mut text = |field: &str, template: &Option<Template>| {
                let template = template.as_ref()?;
                Some(template.fill_as(field, "string", scope, |value| value.as_str().map(str::to_owned)))
            };
            let error = text("Error", &self.error).transpose()?;
            Ok(Failure { error, cause: text("Cause", &self.cause).transpose()? })
        })?;
        Err(Fault::from(failure))
    }
}
