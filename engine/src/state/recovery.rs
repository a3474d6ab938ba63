//! Retry and Catch: the recovery of a failed state.

use std::sync::Arc;
use std::time::Duration;

use super::Exit;
use crate::failure::reserved;
use crate::ids::StateId;
use crate::load::{Fields, MAX_SECONDS, ParseContext};
use crate::rng::Rng;
use crate::run::Fault;

/// The maximum delay of a retry in seconds, unless `MaxDelaySeconds` is lower.
const MAX_DELAY_SECONDS: f64 = 99_999_999.0;

/// A state's retriers and catchers, in their order.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    pub retry: Vec<Retrier>,
    pub catch: Vec<Catcher>,
}

/// The delays and the number of a state's retries.
#[derive(Debug)]
pub(crate) struct Retrier {
    pub errors: Vec<Arc<str>>,
    interval: f64,
    max_attempts: u32,
    backoff_rate: f64,
    max_delay: Option<f64>,
    jitter: bool,
}

/// The exit for a failure that is not retried.
#[derive(Debug)]
pub(crate) struct Catcher {
    pub errors: Vec<Arc<str>>,
    pub exit: Exit,
}

impl Recovery {
    pub(crate) fn parse(fields: &Fields<'_>, context: &ParseContext<'_>) -> Option<Self> {
        let list = |field| {
            if fields.has(field) { fields.objects(field) } else { Vec::new() }
        };
        let retry: Vec<_> = list("Retry").into_iter().map(Retrier::parse).collect();
        let catch: Vec<_> = list("Catch").into_iter().map(|fields| Catcher::parse(fields, context)).collect();
        let recovery = Self {
            retry: retry.into_iter().collect::<Option<_>>()?,
            catch: catch.into_iter().collect::<Option<_>>()?,
        };
        wildcard_last(fields, "Retry", recovery.retry.iter().map(|retrier| &retrier.errors));
        wildcard_last(fields, "Catch", recovery.catch.iter().map(|catcher| &catcher.errors));
        Some(recovery)
    }

    pub(crate) fn targets(&self) -> Vec<StateId> {
        self.catch.iter().filter_map(|catcher| catcher.exit.to.target()).collect()
    }

    /// The first retrier that matches this fault.
    pub(crate) fn retrier(&self, fault: &Fault) -> Option<(usize, &Retrier)> {
        self.retry.iter().enumerate().find(|(_, retrier)| fault.matches(&retrier.errors))
    }

    /// The first catcher that matches this fault.
    pub(crate) fn catcher(&self, fault: &Fault) -> Option<(usize, &Catcher)> {
        self.catch.iter().enumerate().find(|(_, catcher)| fault.matches(&catcher.errors))
    }
}

impl Retrier {
    fn parse(fields: Fields<'_>) -> Option<Self> {
        fields.text("Comment");
        let errors = errors(&fields);
        let retrier = Self {
            errors: errors?,
            interval: fields.number("IntervalSeconds", 0.0, 99_999_999.0).unwrap_or(1.0),
            max_attempts: fields
                .integer("MaxAttempts", 0, MAX_SECONDS)
                .map_or(Some(3), |attempts| u32::try_from(attempts).ok())?,
            backoff_rate: fields.number("BackoffRate", 1.0, f64::MAX).unwrap_or(2.0),
            max_delay: fields.number("MaxDelaySeconds", 1.0, 31_622_400.0),
            jitter: fields.choice("JitterStrategy", &["NONE", "FULL"]).as_deref() == Some("FULL"),
        };
        if retrier.max_delay.is_some_and(|max_delay| max_delay <= retrier.interval) {
            fields.invalid("MaxDelaySeconds", "'MaxDelaySeconds' must be greater than 'IntervalSeconds'");
        }
        fields.finish(&[]);
        Some(retrier)
    }

    /// The delay after the `failures`-th failure, counted from one; `None`: the retries are exhausted.
    pub(crate) fn delay(&self, failures: u32, rng: &mut Rng) -> Option<Duration> {
        if failures > self.max_attempts {
            return None;
        }
        let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let max_delay = self.max_delay.unwrap_or(MAX_DELAY_SECONDS);
        // An interval of zero stays zero for every number of failures.
        let delay = (self.interval * self.backoff_rate.powi(exponent).min(MAX_DELAY_SECONDS)).min(max_delay);
        let delay = if self.jitter { delay * rng.unit() } else { delay };
        Some(Duration::from_secs_f64(delay))
    }
}

impl Catcher {
    fn parse(fields: Fields<'_>, context: &ParseContext<'_>) -> Option<Self> {
        fields.text("Comment");
        let errors = errors(&fields);
        let exit = Exit::parse_catch(&fields, context);
        fields.finish(&[]);
        Some(Self { errors: errors?, exit: exit? })
    }
}

fn errors(fields: &Fields<'_>) -> Option<Vec<Arc<str>>> {
    fields.require(&["ErrorEquals"]);
    let errors = fields.texts("ErrorEquals")?;
    if errors.is_empty() {
        fields.invalid("ErrorEquals", "Value cannot be empty");
    }
    Some(errors)
}

/// Checks that `States.ALL` is alone in its list, and that its list is the last.
fn wildcard_last<'r>(
    fields: &Fields<'_>,
    field: &str,
    lists: impl DoubleEndedIterator<Item = &'r Vec<Arc<str>>> + ExactSizeIterator,
) {
    let last = lists.len();
    for (index, errors) in lists.enumerate() {
        let wild = errors.iter().any(|error| &**error == reserved::ALL);
        if wild && (errors.len() > 1 || index + 1 < last) {
            fields.invalid_item(
                field,
                index,
                "ErrorEquals",
                "States.ALL must appear alone and at end of list",
            );
        }
    }
}
