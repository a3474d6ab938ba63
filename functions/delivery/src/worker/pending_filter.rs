//! Undecided filters, evaluated by the worker before the call. An event that the filter refuses is removed
//! from the lane. If the filter fails, the delivery fails; a redrive evaluates the filter of that time.

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

/// The error of an event on which the filter failed.
const FILTER_ERROR: &str = "filter";
/// How often a filter that is too slow for an event is evaluated, if the destination permits as many
/// attempts.
const MAX_EVALUATIONS: u32 = 4;

/// A delivery with the evaluation of its filter.
#[derive(Debug)]
pub(super) struct FilterResult {
    task: Box<DeliveryTask>,
    evaluation: Evaluation<bool>,
    at: Timestamp,
    duration_ms: u64,
}

/// The meaning of an evaluation for its delivery.
#[derive(Debug)]
pub(super) enum FilterVerdict {
    /// The filter permits the event.
    Passed(Box<DeliveryTask>),
    /// The event is not sent, or not now.
    Settled(Box<Settlement>),
    /// The evaluation was cancelled, and the row remains.
    Cancelled,
}

/// Evaluates the filter for a delivery.
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
    /// Interprets the evaluation at `now`.
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
                // From now on the delivery has all its attempts.
                (task.row.queued.filter_pending, task.row.queued.tries) = (false, 0);
                return FilterVerdict::Passed(task);
            }
            Evaluation::Value(false) => (Disposition::Filtered, None),
            Evaluation::Failed(message) => (failed(), Some(message)),
            Evaluation::TooSlow(message) => {
                let queued = &task.row.queued;
                // An evaluation before the due time uses no attempt and does not change the due time.
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

/// The retry of an evaluation that was too slow, if any is left.
fn retry(queued: &Queued, of: &Destination, now: Timestamp, random: u128) -> Option<Disposition> {
    let tries = queued.tries + 1;
    if tries >= MAX_EVALUATIONS {
        return None;
    }
    let due = retry_schedule::next_attempt(&of.retry_delays, queued.tries, None, now, random)?;
    // Since when the delivery blocks later events of its user; time before the last change of the destination
    // does not count.
    let counts = |since: &Timestamp| queued.tries > 0 && *since >= of.updated_at;
    let blocking_since = queued.blocking_since.filter(counts).or(Some(now));
    Some(Disposition::Retry {
        due,
        queued: Queued { tries, blocking_since, failed_at: Some(now), ..queued.clone() },
    })
}
