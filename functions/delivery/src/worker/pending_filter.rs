//! The filter of a destination, evaluated for what was routed before it was. An event that the filter does not let
//! through leaves the lane; one for which it cannot be evaluated has failed, and a replay evaluates the filter as it is then.

use std::{sync::Arc, time::Instant};

use jiff::Timestamp;

use super::{
    attempt::Target,
    evaluator::Evaluation,
    load::DeliveryTask,
    record::{Disposition, Settlement},
    schedule,
};
use crate::model::{Attempt, Queued, Wakeup};
use destinations::{destination::Destination, expression::Subject};

/// The error of an event for which the filter could not be evaluated.
const FILTER: &str = "filter";
/// How often a filter is evaluated for an event that is too slow for it, where the destination has as many tries.
const MAX_EVALUATIONS: u32 = 4;

/// A parcel, and what the filter says of it.
#[derive(Debug)]
pub(super) struct FilterResult {
    parcel: Box<DeliveryTask>,
    answer: Evaluation<bool>,
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
pub(super) async fn evaluate(target: Arc<Target>, parcel: Box<DeliveryTask>, at: Timestamp) -> FilterResult {
    let began = Instant::now();
    let (filtering, canonical) = (Arc::clone(&target), parcel.letter.canonical.clone());
    let work = move |limit| match filtering.filter() {
        Some(Ok(filter)) => filter.is_true_within(&Subject::read(&canonical)?, limit),
        _ => Ok(true),
    };
    let answer = match target.filter() {
        None => Evaluation::Value(true),
        Some(Err(error)) => Evaluation::Failed(format!("it is not JSONata that is taken: {error}")),
        Some(Ok(_)) => target.evaluator.evaluate(&target.filtering, work).await,
    };
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    FilterResult { parcel, answer, at, duration_ms }
}

impl FilterResult {
    /// Judges it at `now`.
    pub(super) fn judge(
        self,
        wake: &Wakeup,
        of: &Destination,
        now: Timestamp,
        random: u128,
    ) -> FilterVerdict {
        let Self { mut parcel, answer, at, duration_ms } = self;
        let failed = || Disposition::Failed { reason: FILTER.to_owned() };
        let (fate, message) = match answer {
            Evaluation::Cancelled => return FilterVerdict::Cancelled,
            Evaluation::Value(true) => {
                // From here on it is wanted, with all the tries of a delivery.
                (parcel.row.queued.filter_pending, parcel.row.queued.tries) = (false, 0);
                return FilterVerdict::Passed(parcel);
            }
            Evaluation::Value(false) => (Disposition::Filtered, None),
            Evaluation::Failed(message) => (failed(), Some(message)),
            Evaluation::TooSlow(message) => {
                let queued = &parcel.row.queued;
                // Brought forward, it keeps its tries and its time.
                let fate = if at < parcel.row.due {
                    Disposition::Requeued { queued: Queued { failed_at: Some(now), ..queued.clone() } }
                } else {
                    again(queued, of, now, random).unwrap_or_else(failed)
                };
                (fate, Some(message))
            }
        };
        if let (Disposition::Failed { .. }, Some(message)) = (&fate, &message) {
            tracing::warn!(
                tenant = %wake.tenant,
                destination = %wake.destination,
                sequence = parcel.row.sequence,
                "the filter of destination {} could not be evaluated, and the delivery failed for good: {message}",
                wake.destination
            );
        }
        let mut ended = Settlement::new(*parcel, fate);
        ended.was_sent = true;
        if message.is_some() {
            let error = Some(FILTER.to_owned());
            ended.attempts.push(Attempt { at, duration_ms, status: None, error, message });
        }
        FilterVerdict::Settled(Box::new(ended))
    }
}

/// When the filter is evaluated again that was too slow, if it is.
fn again(queued: &Queued, of: &Destination, now: Timestamp, random: u128) -> Option<Disposition> {
    let tries = queued.tries + 1;
    if tries >= MAX_EVALUATIONS {
        return None;
    }
    let due = schedule::next(&of.retry_delays, queued.tries, None, now, random)?;
    // Since when later events of its user wait for it; what was before the destination was changed last does not count.
    let counts = |since: &Timestamp| queued.tries > 0 && *since >= of.updated_at;
    let stuck_since = queued.stuck_since.filter(counts).or(Some(now));
    Some(Disposition::Retry {
        due,
        queued: Queued { tries, stuck_since, failed_at: Some(now), ..queued.clone() },
    })
}
