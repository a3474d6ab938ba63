//! The filter of a destination, evaluated for what was routed before it was. An event that the filter does not let
//! through leaves the lane; one for which it cannot be evaluated has failed, and a replay evaluates the filter as it is then.

use std::{sync::Arc, time::Instant};

use jiff::Timestamp;

use super::{
    attempt::Target,
    evaluator::Evaluation,
    retry_schedule,
    settlement::{Disposition, Settlement},
    task::DeliveryTask,
};
use crate::model::{Attempt, Queued, Wakeup};
use destinations::{destination::Destination, expression::Subject};

/// The error of an event for which the filter could not be evaluated.
const FILTER_ERROR: &str = "filter";
/// How often a filter is evaluated for an event that is too slow for it, where the destination has as many tries.
const MAX_EVALUATIONS: u32 = 4;

/// A parcel, and what the filter says of it.
#[derive(Debug)]
pub(super) struct FilterResult {
    task: Box<DeliveryTask>,
    evaluation: Evaluation<bool>,
    at: Timestamp,
    duration_ms: u64,
}

/// What that means.
#[derive(Debug)]
pub(super) enum FilterVerdict {
    /// It is to be sent.
    Passed(Box<DeliveryTask>),
    /// It is not to be sent, or not now.
    Settled(Box<Settlement>),
    /// Nothing: its row is there still.
    Cancelled,
}

/// Evaluates the filter for a parcel.
pub(super) async fn evaluate(target: Arc<Target>, task: Box<DeliveryTask>, at: Timestamp) -> FilterResult {
    let began = Instant::now();
    let (filter_evaluations, canonical) = (Arc::clone(&target), task.payload.canonical.clone());
    let work = move |limit| match filter_evaluations.filter() {
        Some(Ok(filter)) => filter.is_true_within(&Subject::read(&canonical)?, limit),
        _ => Ok(true),
    };
    let evaluation = match target.filter() {
        None => Evaluation::Value(true),
        Some(Err(error)) => Evaluation::Failed(format!("it is not JSONata that is taken: {error}")),
        Some(Ok(_)) => target.evaluator.evaluate(&target.filter_evaluations, work).await,
    };
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    FilterResult { task, evaluation, at, duration_ms }
}

impl FilterResult {
    /// Judges it at `now`.
    pub(super) fn interpret(
        self,
        wakeup: &Wakeup,
        of: &Destination,
        now: Timestamp,
        random: u128,
    ) -> FilterVerdict {
        let Self { mut task, evaluation, at, duration_ms } = self;
        let failed = || Disposition::Failed { reason: FILTER_ERROR.to_owned() };
        let (disposition, message) = match evaluation {
            Evaluation::Cancelled => return FilterVerdict::Cancelled,
            Evaluation::Value(true) => {
                // From here on it is wanted, with all the tries of a delivery.
                (task.row.queued.filter_pending, task.row.queued.tries) = (false, 0);
                return FilterVerdict::Passed(task);
            }
            Evaluation::Value(false) => (Disposition::Filtered, None),
            Evaluation::Failed(message) => (failed(), Some(message)),
            Evaluation::TooSlow(message) => {
                let queued = &task.row.queued;
                // Brought forward, it keeps its tries and its time.
                let disposition = if at < task.row.due {
                    Disposition::Requeued { queued: Queued { failed_at: Some(now), ..queued.clone() } }
                } else {
                    retry(queued, of, now, random).unwrap_or_else(failed)
                };
                (disposition, Some(message))
            }
        };
        if let (Disposition::Failed { .. }, Some(message)) = (&disposition, &message) {
            tracing::warn!(
                tenant = %wakeup.tenant,
                destination = %wakeup.destination,
                sequence = task.row.sequence,
                "the filter of destination {} could not be evaluated, and the delivery failed for good: {message}",
                wakeup.destination
            );
        }
        let mut settlement = Settlement::not_sent(*task, disposition);
        settlement.was_sent = true;
        if message.is_some() {
            let error = Some(FILTER_ERROR.to_owned());
            settlement.attempts.push(Attempt { at, duration_ms, status: None, error, message });
        }
        FilterVerdict::Settled(Box::new(settlement))
    }
}

/// When the filter is evaluated again that was too slow, if it is.
fn retry(queued: &Queued, of: &Destination, now: Timestamp, random: u128) -> Option<Disposition> {
    let tries = queued.tries + 1;
    if tries >= MAX_EVALUATIONS {
        return None;
    }
    let due = retry_schedule::next_attempt(&of.retry_delays, queued.tries, None, now, random)?;
    // Since when later events of its user wait for it; what was before the destination was changed last does not count.
    let counts = |since: &Timestamp| queued.tries > 0 && *since >= of.updated_at;
    let blocking_since = queued.blocking_since.filter(counts).or(Some(now));
    Some(Disposition::Retry {
        due,
        queued: Queued { tries, blocking_since, failed_at: Some(now), ..queued.clone() },
    })
}
