//! The budget of a filter: how much time of a step it may use. RouteEvents serves all destinations, so a
//! filter that is too slow for it is evaluated by the delivery worker of its own destination.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How long one evaluation may take in a step.
pub(super) const STEP_TIMEOUT: Duration = Duration::from_millis(1);
/// How long evaluations may take on average,
const MAX_MEAN_EVALUATION: Duration = Duration::from_micros(250);
/// and by how much a few evaluations may exceed that in total.
const MAX_CREDIT: Duration = Duration::from_millis(20);
/// How many events skip a filter that was too slow the first time. Each further time it is [`SKIP_FACTOR`]
/// times as many,
const MIN_SKIPPED_EVENTS: u32 = 500;
/// but at most this many.
const MAX_SKIPPED_EVENTS: u32 = 128_000;
const SKIP_FACTOR: u32 = 4;
/// How many filters may be too slow in a step before filters without a timely evaluation are skipped.
const MAX_SLOW_FILTERS: usize = 5;

/// The budget of one filter, which outlives the step.
#[derive(Debug, Default)]
pub(super) struct FilterBudget(Mutex<State>);

#[derive(Clone, Debug)]
struct State {
    /// The time that is left, beside the mean of the next event.
    credit: Duration,
    /// How many more events skip the filter.
    to_skip: u32,
    /// How many events skip it the next time.
    next_skip: u32,
    /// Whether the last evaluation was in time.
    is_known: bool,
}

impl Default for State {
    fn default() -> Self {
        Self { credit: MAX_CREDIT, to_skip: 0, next_skip: MIN_SKIPPED_EVENTS, is_known: false }
    }
}

/// The number of filters that were too slow in a step.
#[derive(Debug, Default)]
pub(super) struct SlowFilters(usize);

impl FilterBudget {
    /// Whether the filter may be evaluated for the next event.
    pub(super) fn permits(&self, slow_filters: &SlowFilters) -> bool {
        let mut state = self.lock();
        if state.to_skip > 0 {
            state.to_skip -= 1;
            return false;
        }
        state.is_known || slow_filters.0 < MAX_SLOW_FILTERS
    }

    /// Records the duration of an evaluation, and whether it reached its time limit; returns whether events
    /// skip the filter from now on.
    pub(super) fn record(&self, took: Duration, is_timeout: bool, slow_filters: &mut SlowFilters) -> bool {
        let mut state = self.lock();
        // A longer evaluation that ended was delayed by a busy machine.
        let left = (state.credit + MAX_MEAN_EVALUATION).checked_sub(took.min(STEP_TIMEOUT));
        if let Some(left) = left.filter(|_| !is_timeout) {
            (state.credit, state.is_known) = (left.min(MAX_CREDIT), true);
            if left >= MAX_CREDIT {
                state.next_skip = MIN_SKIPPED_EVENTS;
            }
            return false;
        }
        slow_filters.0 += 1;
        let skip = state.next_skip;
        let next_skip = skip.saturating_mul(SKIP_FACTOR).min(MAX_SKIPPED_EVENTS);
        *state = State { to_skip: skip, next_skip, ..State::default() };
        true
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // No holder of the mutex panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Evaluates a filter for some events of one step, at `micros` microseconds each; returns the number of
    /// evaluations.
    fn evaluated(budget: &FilterBudget, events: u32, micros: u64) -> u32 {
        let mut slow_filters = SlowFilters::default();
        let mut count = 0;
        for _ in 0..events {
            if budget.permits(&slow_filters) {
                count += 1;
                let took = Duration::from_micros(micros).min(STEP_TIMEOUT);
                budget.record(took, took == STEP_TIMEOUT, &mut slow_filters);
            }
        }
        count
    }

    #[test]
    fn a_fast_filter_is_never_skipped() {
        let budget = FilterBudget::default();
        assert_eq!(evaluated(&budget, 100_000, 40), 100_000);
        // A busy machine is no fault of the filter.
        assert!(!budget.record(Duration::from_millis(20), false, &mut SlowFilters::default()));
        assert_eq!(evaluated(&budget, 100, 40), 100);
    }

    #[test]
    fn a_slow_filter_is_skipped_ever_longer() {
        let budget = FilterBudget::default();
        let steps: Vec<u32> = (0..30).map(|_| evaluated(&budget, 400, 24_000)).collect();
        let expected = (0..30).map(|step| u32::from([0, 1, 6, 26].contains(&step)));
        assert_eq!(steps, expected.collect::<Vec<_>>());
    }

    #[test]
    fn a_filter_above_the_mean_is_skipped() {
        let budget = FilterBudget::default();
        let count = evaluated(&budget, 100_000, 900);
        assert!((20..200).contains(&count), "{count}");
    }

    #[test]
    fn a_filter_that_became_fast_is_evaluated_again() {
        let budget = FilterBudget::default();
        assert_eq!(evaluated(&budget, 501, 24_000), 1);
        assert_eq!(evaluated(&budget, 10_000, 5), 10_000);
        // As if it had never been slow.
        assert_eq!(evaluated(&budget, 502, 24_000), 2);
    }

    #[test]
    fn slow_filters_share_one_limit_of_a_step() {
        let budgets: Vec<FilterBudget> = std::iter::repeat_with(FilterBudget::default).take(40).collect();
        let fast = FilterBudget::default();
        let mut slow_filters = SlowFilters::default();
        assert!(fast.permits(&slow_filters));
        assert!(!fast.record(Duration::from_micros(5), false, &mut slow_filters));
        let asked: Vec<&FilterBudget> =
            budgets.iter().filter(|budget| budget.permits(&slow_filters)).collect();
        assert_eq!(asked.len(), 40, "nothing is wasted yet");
        let mut count = 0;
        for budget in &budgets {
            if budget.permits(&slow_filters) {
                count += 1;
                budget.record(STEP_TIMEOUT, true, &mut slow_filters);
            }
        }
        assert_eq!(count, 5);
        assert!(fast.permits(&slow_filters), "a filter that is known to be fast is evaluated all the same");
    }
}
