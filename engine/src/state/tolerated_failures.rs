//! The number of items that may fail: every Map parses it, and a distributed Map applies it.

use crate::load::Fields;
use crate::query::{EvaluationError, Scope, Template};

#[derive(Debug)]
pub(crate) struct ToleratedFailures {
    count: Option<Template>,
    percentage: Option<Template>,
}

impl ToleratedFailures {
    pub(super) fn parse(fields: &Fields<'_>) -> Self {
        let count = fields.map_number("ToleratedFailureCount", "ToleratedFailureCountPath", 0, i64::MAX);
        let percentage =
            fields.percentage_or_path("ToleratedFailurePercentage", "ToleratedFailurePercentagePath");
        Self { count, percentage }
    }

    /// The count and the percentage, if the definition has them.
    pub(super) fn limits(
        &self,
        scope: &mut Scope<'_>,
    ) -> Result<(Option<usize>, Option<f64>), EvaluationError> {
        let count = self.count.as_ref().map(|template| {
            let count = template.fill_whole("ToleratedFailureCount", "non-negative integer", scope)?;
            let cause = "ToleratedFailureCount cannot be negative.";
            usize::try_from(count).map_err(|_| EvaluationError::runtime(cause))
        });
        let percentage = self.percentage.as_ref().map(|template| {
            let share = template.fill_number("ToleratedFailurePercentage", scope)?;
            let cause = "ToleratedFailurePercentage must be between 0 and 100.";
            if (0.0..=100.0).contains(&share) { Ok(share) } else { Err(EvaluationError::runtime(cause)) }
        });
        Ok((count.transpose()?, percentage.transpose()?))
    }
}
