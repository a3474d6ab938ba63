//! Fail: ends its flow with an error of its own.

use crate::failure::Failure;
use crate::load::Fields;
use crate::query::{Language, Stage, Template, Visibility};
use crate::run::{EvalInputs, Fault, Visit, VisitResult};

#[derive(Debug)]
pub(crate) struct Fail {
    error: Option<Template>,
    cause: Option<Template>,
    language: Language,
}

impl Fail {
    pub(crate) fn parse(fields: Fields<'_>) -> Self {
        let text = |field, path| {
            fields.at_most_one_of(&[field, path]);
            if fields.language() == Language::JsonPath && fields.has(path) {
                return fields.path_or_call(path);
            }
            fields.warn_of_path(field);
            fields.template_of(field, "String", Visibility::INPUT, |value| value.as_str().is_some())
        };
        let (error, cause) = (text("Error", "ErrorPath"), text("Cause", "CausePath"));
        let language = fields.language();
        fields.finish(&[]);
        Self { error, cause, language }
    }

    pub(crate) fn start(&self, visit: &mut Visit<'_>) -> VisitResult {
        let failure = visit.evaluate(EvalInputs::default(), |scope| {
            if self.language == Language::JsonPath {
                scope.inspect(Stage::AfterInputPath, scope.input);
            }
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
