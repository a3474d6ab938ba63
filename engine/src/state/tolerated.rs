//! How many items of a Map may fail: read for every Map, kept by a distributed one.

use crate::load::Fields;
use crate::query::{EvaluationError, Language, Scope, Template};
use crate::value::{Number, Value};

/// `ToleratedFailureCount` and `ToleratedFailurePercentage`.
#[derive(Debug)]
pub(crate) struct Tolerated {
    count: Option<Template>,
    percentage: Option<Template>,
}

impl Tolerated {
    pub(super) fn parse(fields: &Fields<'_>) -> Self {
        let count = fields.whole_or_path("ToleratedFailureCount", "ToleratedFailureCountPath", 0, i64::MAX);
        let (field, path) = ("ToleratedFailurePercentage", "ToleratedFailurePercentagePath");
        let percentage = if fields.language() == Language::JsonPath && fields.has(path) {
            fields.one_of(&[field, path]);
            fields.reference(path).map(|reference| Template::path(path, reference))
        } else {
            fields.number_or_template(field, 0.0, 100.0)
        };
        Self { count, percentage }
    }

    /// The count and the percentage, where there are any.
    pub(super) fn limits(
        &self,
        scope: &mut Scope<'_>,
    ) -> Result<(Option<usize>, Option<f64>), EvaluationError> {
        let count = self.count.as_ref().map(|template| {
            let whole = |value: &Value| value.as_number().and_then(Number::as_i64);
            let count = template.fill_as("ToleratedFailureCount", "non-negative integer", scope, whole)?;
            let cause = "ToleratedFailureCount cannot be negative.";
            usize::try_from(count).map_err(|_| EvaluationError::runtime(cause))
        });
        let percentage = self.percentage.as_ref().map(|template| {
            let number = |value: &Value| value.as_number().map(Number::as_f64);
            let share = template.fill_as("ToleratedFailurePercentage", "number", scope, number)?;
            let cause = "ToleratedFailurePercentage must be between 0 and 100.";
            if (0.0..=100.0).contains(&share) { Ok(share) } else { Err(EvaluationError::runtime(cause)) }
        });
        Ok((count.transpose()?, percentage.transpose()?))
    }
}
